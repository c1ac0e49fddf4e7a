"""One customer and the offers decided for them → the plain values that a message is rendered from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from campaigns.content import Content, Texts, fill
from campaigns.reasons import Reason, read_reason, rhythm_words, segment_words
from campaigns.words import (
    HOME_ZONE,
    called,
    clock_words,
    count,
    date_words,
    load_words,
    rupiah,
    salutation_words,
    tame,
    until_words,
    zone_of,
)

MOST_PICKS = {"hero": 6, "grid": 3, "push": 1}  # items shown within an offer
LONGEST_URL = 1_000
_ADDRESS = re.compile(r"""https?://[^\s"'<>\\`]*""")
_ORDER = {"": 0, "hero": 0, "push": 0, "grid": 1}

Context = dict[str, Any]  # of dict, list, str and int alone


@dataclass(frozen=True)
class Sender:
    """The shop as its customers know it. address: where it can be written to, shown in each mail."""

    name: str
    url: str
    address: str = ""


def message_context(
    content: Content,
    customer: Mapping[str, Any],
    decisions: Sequence[Mapping[str, Any]],
    items: Mapping[str, Mapping[str, Any]],
    *,
    sender: Sender,
    sent_at: datetime,
    until: datetime | Mapping[str, datetime],
    starts_at: datetime | None = None,
    home: str = HOME_ZONE,
    unsubscribe_url: str = "",
    channel: str | None = None,
) -> Context:
    """The context of one message.

    customer: a row of CUSTOMERS; decisions: its rows of DECISIONS for one channel, at least one, each with offer_id,
    channel, placement, position, item_ids and, if known, reason and because (ids of bought items, the reason for it);
    items: item id → row of ITEMS, of which those not known are left out. until: the instant at which the offers end, or
    that of each offer by its id, and under "" that of the rest. starts_at: when they begin, by default when it is sent;
    home: the zone in which that is told first. Without decisions it is a greeting. channel: email or push, by default
    that of the first decision. Of items with one title the first is shown, once in the whole message.
    """
    language = content.language(customer.get("language"))
    texts, words, zone = content.languages[language], load_words(language), zone_of(customer.get("timezone"))
    shop, date = tame(sender.name, 80), date_words(sent_at, zone, language)
    channel = channel or (decisions[0]["channel"] if decisions else "email")
    base: Context = {
        "language": language,
        "campaign": content.campaign,
        "shop": shop,
        "shop_url": web_address(sender.url) or "#",
        "initial": _initial(shop),
        "address": tame(sender.address),
        "date": date,
        "starts": clock_words(starts_at or sent_at, zone, home, language),
        "customer": _customer(customer, language),
        "unsubscribe_url": web_address(unsubscribe_url) or "#",
        **_grounds(shop, content.purpose, channel, language),
    }
    ends = until if isinstance(until, Mapping) else {"": until}
    ordered = sorted(decisions, key=lambda row: (_ORDER[row["placement"]], row["position"]))
    offers: list[Context] = []
    titles: set[str] = set()
    for place, decision in enumerate(ordered):
        end = ends.get(decision["offer_id"]) or ends[""]
        times = {
            "until": until_words(end, zone, language),
            "until_short": until_words(end, zone, language, short=True),
        }
        offer = {**texts.offers[decision["offer_id"]].said, **times}
        offer["place"] = "grid" if place and decision["placement"] != "push" else "hero"
        offer["url"] = _offer_url(base["shop_url"], content.campaign, decision["offer_id"], decision["channel"])
        reason = read_reason(decision.get("reason") or "")
        offer["chosen"] = _reason(reason, decision.get("because") or (), items, words, language)
        offer["code"] = tame(decision.get("code"), 64)
        offer["code_words"] = f"{words['labels']['code']}: {offer['code']}" if offer["code"] else ""
        offer["picks"] = _picks(decision["item_ids"] or (), items, offer["url"], MOST_PICKS[offer["place"]], titles)
        offers.append(_worded(offer, decision["placement"], texts, base))
    grid = offers[1:]
    pairs = [grid[start : start + 2] for start in range(0, len(grid), 2)]
    for pair in pairs:
        for offer in pair:
            offer["width"] = "half" if len(pair) == 2 else "alone"
    priced = any(pick["price"] for offer in offers for pick in offer["picks"])
    base["prices"] = words["prices"].format(date=date) if priced else ""
    return {**base, "offer": offers[0] if offers else {}, "offers": offers, "hero": offers[:1], "pairs": pairs}


@lru_cache(maxsize=1024)
def _grounds(shop: str, purpose: str, channel: str, language: str) -> dict[str, str]:
    """Why somebody gets a message on a channel, and how to be rid of it."""
    words = load_words(language)
    medium = words["media"][channel]
    return {key: words[key][purpose].format(shop=shop, medium=medium) for key in ("why", "stop")}


def web_address(url: str | None) -> str:
    """The address if it may stand in a message (http or https, no spaces, at most 1,000 characters), else nothing."""
    if not url or len(url) > LONGEST_URL or not _ADDRESS.fullmatch(url):
        return ""
    return url if url.isprintable() else ""


def _customer(row: Mapping[str, Any], language: str) -> Context:
    name, salutation = row.get("name"), row.get("salutation")
    address = called(name, salutation, language)
    return {
        "name": tame(name),
        "salutation": salutation_words(salutation, language),
        "called": address,
        "greeting": load_words(language)["greeting" if name else "greeting_nameless"].format(called=address),
        "tier": tame(row.get("tier"), 40),
        "city": tame(row.get("city"), 60),
        "points": int(row.get("points") or 0),
        "points_words": count(int(row.get("points") or 0), language),
    }


def _worded(offer: Context, placement: str, texts: Texts, base: Context) -> Context:
    title, body = (fill(text, {**base, "offer": offer}) for text in texts.offers[offer["id"]].placed[placement])
    offer["title"], offer["body"] = title or offer["benefit"], body
    return offer


def _picks(
    ids: Sequence[str], items: Mapping[str, Mapping[str, Any]], offer_url: str, most: int, titles: set[str]
) -> list[dict[str, str]]:
    """At most so many items; titles: of what the message shows already, to which theirs are added."""
    picks: list[dict[str, str]] = []
    for row in (items.get(item_id) for item_id in ids):
        title = tame(row.get("title"), 80) if row else ""
        if row and title and len(picks) < most and title.casefold() not in titles:
            titles.add(title.casefold())
            picks.append(
                {
                    "title": title,
                    "brand": tame(row.get("brand"), 40),
                    "price": rupiah(row["price"]) if row.get("price") else "",
                    "was": rupiah(row["was"]) if row.get("price") and row.get("was") else "",
                    "initial": _initial(title),
                    "image_url": web_address(row.get("image_url")),
                    "url": web_address(row.get("url")) or offer_url,
                }
            )
    return picks


def _reason(
    reason: Reason,
    because: Sequence[str],
    items: Mapping[str, Mapping[str, Any]],
    words: Mapping[str, Any],
    language: str,
) -> str:
    """Names one item that was bought, or whom an item is popular with; never an item that one does not speak of."""
    for row in (items.get(item_id) for item_id in because):
        if row and row.get("title") and not row.get("restriction"):
            title = tame(row["title"], 60)
            if reason.every is not None:
                return rhythm_words(reason, language, title)
            return words["because"].format(title=title)
    known = {name: tame(value, 40) for name, value in reason.segment.items() if name != "age"}  # a mail tells no age
    if known:
        said = segment_words(known, language)
        return said[:1].upper() + said[1:]
    return words["chosen"]


@lru_cache(maxsize=8192)
def _offer_url(shop_url: str, campaign: str, offer: str, channel: str) -> str:
    if shop_url == "#":
        return shop_url
    query = urlencode({"utm_source": "larisma", "utm_medium": channel, "utm_campaign": campaign, "utm_content": offer})
    return f"{shop_url}{'&' if '?' in shop_url else '?'}{query}"


@lru_cache(maxsize=65536)
def _initial(text: str) -> str:
    return next((letter.upper() for letter in text if letter.isalnum()), "·")


def offer_titles(
    content: Content,
    sender: Sender,
    *,
    sent_at: datetime,
    until: datetime | Mapping[str, datetime],
    home: str = HOME_ZONE,
) -> dict[str, dict[str, str]]:
    """Offer id → language → its title as somebody at home reads it of whom nothing is known: for lists and reports."""
    found: dict[str, dict[str, str]] = {}
    for language, texts in sorted(content.languages.items()):
        rows = [
            {"offer_id": offer, "channel": "email", "placement": "", "position": place, "item_ids": []}
            for place, offer in enumerate(texts.offers)
        ]
        context = message_context(
            content, {"language": language, "timezone": home}, rows, {}, sender=sender, sent_at=sent_at, until=until,
            home=home,
        )  # fmt: skip
        for offer in context["offers"]:
            found.setdefault(offer["id"], {})[language] = offer["title"]
    return found


def sample_contexts(content: Content, language: str, sent_at: datetime) -> list[Context]:
    """Made-up messages with every offer of the campaign, to someone of whom all is known and to a nameless one."""
    offers = list(content.languages[language].offers)
    grid = [_sample_decision(offer, "grid", position) for position, offer in enumerate(offers[:4], 1)]
    known = {"name": "Siti Nurhaliza", "salutation": "Ibu", "tier": "gold", "city": "Bandung", "points": 1200}
    items = {"kopi": {"title": "Kopi Bubuk Robusta 200 g", "brand": "Sari Murni", "price": 24_500}}
    return [
        message_context(
            content,
            {**customer, "language": language},
            [_sample_decision(offer, "hero", 1), *grid, _sample_decision(offer, "push", 1)] if offer else [],
            items,
            sender=Sender("Toko", "https://toko.example", "Jakarta"),
            sent_at=sent_at,
            until=sent_at + timedelta(days=14),
        )
        for customer in (known, {})
        for offer in offers or [""]
    ]


def _sample_decision(offer_id: str, placement: str, position: int) -> Context:
    return {
        "offer_id": offer_id,
        "channel": "email",
        "placement": placement,
        "position": position,
        "item_ids": ["kopi"],
        "because": ["kopi"],
    }
