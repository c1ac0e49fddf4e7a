"""What one funder of a campaign agrees to, as a page for A4 and as a CSV of its items."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from babel.dates import format_datetime
from ruamel.yaml import YAML

from campaigns.calendar import Occurrence
from campaigns.firing import in_phase, offer_ends
from campaigns.offer import Offer, Quota
from campaigns.spec import Campaign
from campaigns.terms import Terms
from campaigns.value import benefit_of_baskets
from campaigns.words import clock_words, date_words, number, offer_words, rupiah, until_words
from flows.codes import plain
from flows.reporting.report import TEMPLATES

COLUMNS = ("offer_id", "offer", "item_id", "title", "category", "brand", "price", "benefit_of_one", "share_of_one")
EXAMPLE = 100_000  # rupiah, a basket that an example is worked out on, where the minimum spend is not above it


@cache
def terms_words(language: str) -> Mapping[str, Any]:
    """The page's own words, in id or en."""
    text = (files("flows.reporting") / "templates" / f"terms.{language}.yaml").read_text(encoding="utf-8")
    return YAML(typ="safe", pure=True).load(text)


def terms_page(
    terms: Terms,
    campaign: Campaign,
    items: pa.Table,
    firings: Sequence[Occurrence],
    as_of: datetime,
    shop: str,
    language: str,
) -> str:
    """firings: the next ones, of which those that send an offer of the funder's are shown."""
    say = terms_words(language)
    offers = [offer for offer in campaign.offers if offer.id in terms.covered]
    zone = campaign.schedule.timezone
    tolerance = terms.values["items"]["price_tolerance"]
    return TEMPLATES.get_template("terms.html.j2").render(
        say=say,
        language=language,
        shop=shop,
        funder=terms.funder,
        campaign=campaign,
        cap=rupiah(campaign.budgets[terms.funder]),
        night_cap=terms.values["cap"].get("night_budget"),
        rupiah=rupiah,
        offers=[offer_card(offer, terms, items, language) for offer in offers],
        dates=[row for firing in firings for row in _sent(campaign, offers, firing, zone, language)],
        moon=any(firing.estimated for firing in firings),
        local=campaign.schedule.local,
        limits=sorted(path for path in terms.values["quota"] if path.startswith("limits")),
        values=terms.values["quota"],
        tolerance=number(100 * float(str(tolerance)), language) if tolerance else "",
        as_of=date_words(as_of, zone, language),
        hash=terms.hash,
        csv=f"{campaign.id}-{terms.funder}.csv",
    )


def offer_card(offer: Offer, terms: Terms, items: pa.Table, language: str) -> dict[str, Any]:
    """One offer's part of the page, in words and rupiah."""
    say, share = terms_words(language), offer.funders[terms.funder]
    said = offer_words(offer, language if language in offer.text else "id")
    basket = max(EXAMPLE, offer.min_spend)
    benefit = int(np.rint(benefit_of_baskets(offer.benefit, [basket])[0]))
    most = getattr(offer.benefit, "max_discount", None)
    prices = items["price"].take(pa.array(terms.covered[offer.id])).drop_null().to_pylist()
    return {
        "id": offer.id,
        "title": offer.text.get(language, offer.text["id"]).title,
        "benefit": said["benefit"],
        "terms": said["terms"],
        "share": number(100 * share, language),
        "most": rupiah(round(most * share)) if most else "",
        "example": say["example"].format(
            basket=rupiah(basket), benefit=rupiah(benefit), share=rupiah(round(benefit * share))
        ),
        "quota": _counted(offer.quota, say, "quota"),
        "minimum": _counted(offer.minimum, say, "minimum"),
        "scope": said["applies_to"],
        "rule": scope_words(offer, say),
        "items": number(len(terms.covered[offer.id]), language),
        "everything": offer.scope.everything,
        "prices": f"{rupiah(min(prices))} – {rupiah(max(prices))}" if prices else "",
        "code": _code(offer, say),
    }


def scope_words(offer: Offer, say: Mapping[str, Any]) -> list[str]:
    """What the scope names, list by list."""
    scope = offer.scope
    if scope.everything:
        return [say["everything"]]
    named = [
        f"{say['scope'][key]}: {', '.join(values)}"
        for key in ("categories", "brands", "merchants", "items")
        if (values := getattr(scope, key))
    ]
    return [*named, *([say["scope"]["green"]] if scope.green else [])]


def _counted(quota: Quota | None, say: Mapping[str, Any], kind: str) -> str:
    return say[f"{kind}_{quota.kind}"].format(count=f"{quota.limit:,}".replace(",", ".")) if quota else ""


def _code(offer: Offer, say: Mapping[str, Any]) -> str:
    if offer.code is None:
        return say["no_code"]
    return (
        say["shared"].format(code=offer.code.shared) if offer.code.shared else say["pool"].format(pool=offer.code.pool)
    )


def _sent(
    campaign: Campaign, offers: Sequence[Offer], firing: Occurrence, zone: str, language: str
) -> list[dict[str, Any]]:
    """A row for each end of the offers that a firing sends."""
    plainly = in_phase(campaign, firing.phase)
    ends = offer_ends(plainly, firing.send_at)
    sent = [offer for offer in offers if offer.id in {other.id for other in plainly.offers}]
    day = format_datetime(firing.send_at, "EEEE, d MMMM y", tzinfo=ZoneInfo(campaign.schedule.zone), locale=language)
    clock = clock_words(firing.send_at, zone, zone, language)
    when = f"{day}, {campaign.schedule.time.replace(':', '.')}" if campaign.schedule.local else f"{day}, {clock}"
    titles: dict[str, list[str]] = {}
    for offer in sent:
        title = offer.text.get(language, offer.text["id"]).title
        titles.setdefault(until_words(ends[offer.id], zone, language), []).append(title)
    return [
        {"sent": "" if k else when, "estimated": firing.estimated and not k, "offers": listed, "until": until}
        for k, (until, listed) in enumerate(titles.items())
    ]


def terms_csv(terms: Terms, campaign: Campaign, items: pa.Table) -> str:
    """A row for each offer and item; money in rupiah. benefit_of_one, share_of_one: what one unit costs all funders,
    and this one, when it is redeemed; the order's cap and minimum spend set aside."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for offer in campaign.offers:
        if offer.id not in terms.covered:
            continue
        rows = items.take(pa.array(terms.covered[offer.id])).sort_by("item_id")
        benefit = benefit_of_baskets(offer.benefit, rows["price"].fill_null(0).to_numpy())
        own = np.rint(benefit * offer.funders[terms.funder]).astype(np.int64).tolist()
        listed = rows.select(["item_id", "title", "category", "brand", "price"]).to_pylist()
        for row, whole, part in zip(listed, np.rint(benefit).astype(np.int64).tolist(), own, strict=True):
            costs = {"benefit_of_one": whole, "share_of_one": part} if row["price"] is not None else {}
            full = {"offer_id": offer.id, "offer": offer.text["id"].title, **row, **costs}
            writer.writerow({key: plain(value) for key, value in full.items()})
    return text.getvalue()
