"""No message holds a word of anybody else's: everybody has a canary of their own in every field.

A few hundred people here; LARISMA_CANARIES=10000 makes it as many.
"""

import os
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from html import unescape
from pathlib import Path

import pyarrow as pa
import pytest

from campaigns.message import Sender
from campaigns.spec import Campaign, load_campaign
from campaigns.tables import CUSTOMERS, DECISIONS
from campaigns.words import languages, load_words, register_of
from flows.deciding.messages import message_id, render_messages
from recsys.tables import ITEMS

PEOPLE = int(os.environ.get("LARISMA_CANARIES", "300"))
SENT = datetime(2026, 12, 11, 17, tzinfo=UTC)
STATED = ("id", "en", "jv", "jv-krama", "jv-ngoko", "su", "su-lemes", "su-loma", "id-ID", None, "tlh")
ZONES = ("Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", None)
NAMES = (
    "{}",
    'O\'{} "Bos" <b>&amp;</b>',
    "{} 🎉👩‍👩‍👧 Nurhaliza",
    "محمد {} عبد الرحمن",
    "{}\u2028\u2029Santoso\r\nBcc: a@b.example",
    "{} " + "Wirjodiningrat" * 14,
    "{{{{ shop }}}} {}",
    "\u202e{}",
)
CANARY = re.compile(r"zq(\d{6})([a-z]+)")
SHOWN = {"name", "tier", "city", "title", "brand", "url", "image", "code", "bought"}
KEPT = {"id", "email", "token"}  # are in no message

OFFERS = """
  - id: {id}
    benefit: {benefit}
    scope: {{categories: [Dapur > Kopi]}}
    min_spend: {spend}
    quota: {{redeemed: 9}}
    code: {{pool: kode}}
    uplift: 0.1
    text:
"""
BENEFITS = {
    "diskon": ("{kind: percent_off, percent: 20, max_discount: 30000}", 50_000),
    "ongkir": ("{kind: free_shipping, amount: 20000}", 0),
    "poin": ("{kind: points_multiplier, factor: 2}", 10_000),
}
WORDS = """
  {language}:
    subject: "{{{{ customer.called }}}}: {{{{ offer.benefit }}}} {{{{ customer.points }}}}"
    heading: "{{{{ customer.greeting }}}}"
    intro: "{{{{ customer.tier }}}} {{{{ customer.city }}}}{{% for o in offers %}} {{{{ o.until }}}}{{% endfor %}}"
    push_title: "{{{{ customer.name }}}}"
    push_body: "{{{{ customer.tier }}}} {{{{ customer.city }}}}"
"""


@cache
def campaign() -> Campaign:
    """It speaks every language that there are words in."""
    text = (
        "id: promo\nname: Promo\nschedule: {occasion: always}\nwindow_days: 7\nbudgets: {retailer: 1000}\n"
        "channels: {email: {capacity: 9, placements: {hero: 1, grid: 2}}, push: {capacity: 9, placements: {push: 1}}}\n"
        "offers:"
    )
    for name, (benefit, spend) in BENEFITS.items():
        text += OFFERS.format(id=name, benefit=benefit, spend=spend)
        text += "".join(f'      {one}: {{title: "Judul {one} {name}", body: "Isi {one}"}}\n' for one in languages())
    return load_campaign(
        Path("promo.yaml"), text + "content:" + "".join(WORDS.format(language=one) for one in languages())
    )


def canary(k: int, field: str) -> str:
    return f"zq{k:06d}{field}"


def people() -> Iterator[dict]:
    for k in range(PEOPLE):
        yield {
            "customer_id": canary(k, "id"),
            "name": NAMES[k % len(NAMES)].format(canary(k, "name")),
            "salutation": ("Ibu", "Bapak", None, "Kak")[k % 4],
            "email": f"{canary(k, 'email')}@pelanggan.example",
            "push_tokens": [canary(k, "token")],
            "language": STATED[k % len(STATED)],
            "timezone": ZONES[k % len(ZONES)],
            "city": canary(k, "city"),
            "tier": canary(k, "tier"),
            "points": 7_000_000 + k,
        }


def goods() -> Iterator[dict]:
    for k in range(PEOPLE):
        shared = {"brand": canary(k, "brand"), "price": 50_000_000 + k}
        for part in "abc":
            address = f"https://toko.example/{part}{canary(k, 'url')}"
            image = f"https://toko.example/{part}{canary(k, 'image')}.jpg"
            title = f"Kopi {part}{canary(k, 'title')}"
            yield {**shared, "item_id": f"{k}{part}", "title": title, "url": address, "image_url": image}
        yield {**shared, "item_id": f"{k}past", "title": f"Teh {canary(k, 'bought')}"}


def decisions() -> Iterator[dict]:
    for k in range(PEOPLE):
        push = k % 5 == 0
        for place, (offer, part) in enumerate(zip(BENEFITS, "abc", strict=True)):
            if place and push:
                continue
            yield {
                "campaign_id": "promo",
                "occurrence": "20261211t170000z",
                "customer_id": canary(k, "id"),
                "arm": "treatment",
                "bucket": 1,
                "channel": "push" if push else "email",
                "placement": "push" if push else "grid" if place else "hero",
                "position": place or 1,
                "offer_id": offer,
                "item_ids": [f"{k}{part}"],
                "propensity": 0.1,
                "value": 1,
                "costs": [],
                "reason": f"because:{k}past",
                "code": f"{part}{canary(k, 'code')}",
            }


@cache
def tables() -> tuple[pa.Table, pa.Table, pa.Table]:
    made = ((DECISIONS, decisions()), (CUSTOMERS, people()), (ITEMS, goods()))
    return tuple(pa.Table.from_pylist(list(rows), schema=table.schema) for table, rows in made)


def rendered(chosen: pa.Table) -> list[dict]:
    _, customers, items = tables()
    blocks = render_messages(
        campaign(),
        chosen,
        customers,
        items,
        sender=Sender("Toko Uji", "https://toko.example", "Jalan Melati 1"),
        optout_url="https://toko.example/berhenti",
        send_at=SENT,
        until=SENT + timedelta(days=7),
    )
    return [row for block in blocks for row in block.to_pylist()]


@pytest.fixture(scope="module")
def messages() -> list[dict]:
    """Everybody's, rendered at once by eight threads, each of a part of the people in an order of its own."""
    chosen = tables()[0]
    parts = [list(range(start, PEOPLE, 8)) for start in range(8)]
    order = random.Random(1)
    for part in parts:
        order.shuffle(part)
    by_customer: dict[str, list[int]] = {}
    for row, name in enumerate(chosen["customer_id"].to_pylist()):
        by_customer.setdefault(name, []).append(row)
    with ThreadPoolExecutor(8) as pool:
        rows = [[row for k in part for row in by_customer[canary(k, "id")]] for part in parts]
        found = list(pool.map(lambda some: rendered(chosen.take(pa.array(some, pa.int64()))), rows))
    return sorted((row for part in found for row in part), key=lambda row: row["customer_id"])


def whole(message: dict) -> str:
    return "\n".join(message[key] or "" for key in ("subject", "body_html", "body_text", "payload"))


def number(message: dict) -> int:
    return int(CANARY.match(message["customer_id"])[1])


def test_everybody_has_one_message(messages):
    assert [row["customer_id"] for row in messages] == [canary(k, "id") for k in range(PEOPLE)]


def test_no_message_holds_another_s_canary_nor_an_address(messages):
    for message in messages:
        found = CANARY.findall(whole(message))
        assert {int(k) for k, _ in found} == {number(message)}
        fields = {field for _, field in found}
        assert not fields & KEPT
        assert fields == (SHOWN if message["channel"] == "email" else {"name", "tier", "city", "code"})


def test_no_message_holds_another_s_figures_or_link(messages):
    for message in messages:
        text, k = whole(message), number(message)
        said = re.findall(r"Rp50\.(\d{3})\.(\d{3})\b", text)
        assert {int(high + low) for high, low in said} <= {k}
        assert re.findall(r"70\d{5}", message["subject"]) in ([], [str(7_000_000 + k)])
        assert set(re.findall(r"/berhenti/([0-9a-f]+)", text)) == {message["message_id"]}


BUTTONS = {language: load_words(language)["labels"]["shop_now"] for language in languages()}


def test_each_message_is_of_one_language_whole(messages):
    for message in messages:
        language = message["language"]
        assert language == (register_of(STATED[number(message) % len(STATED)]) or "id")
        text, words = unescape(whole(message)).replace("\xa0", " "), load_words(language)
        assert set(re.findall(r"Judul ([a-z-]+) ", text)) <= {language}
        if message["channel"] == "email":
            said = (words["labels"]["unsubscribe"], words["prices"].partition("{")[0], words["labels"]["terms"])
            assert [one for one in said if one not in text] == []
            assert [one for one in set(BUTTONS.values()) - {BUTTONS[language]} if one in text] == []
        why = words["why"]["promotion"].format(medium=words["media"][message["channel"]], shop="Toko Uji")
        assert why in text
        assert words["terms"]["while_stock"].casefold() in text.casefold()


def test_no_field_is_undefined_and_no_text_missing(messages):
    for message in messages:
        assert message["subject"].strip()
        assert message["body_text"].strip()
        assert not re.search(r"\{%|Undefined|None\b|\(\)", whole(message))
        assert message["subject"].count("\u2068") == message["subject"].count("\u2069")
        assert len(message["subject"].splitlines()) == 1
        assert "<b>&amp;</b>" not in (message["body_html"] or "")


def test_threads_change_no_byte(messages):
    """And neither does who else is rendered beside."""
    some = {row["customer_id"] for row in messages[: min(PEOPLE, 60)]}
    chosen = tables()[0].filter(pa.array([name in some for name in tables()[0]["customer_id"].to_pylist()]))
    assert sorted(rendered(chosen), key=lambda row: row["customer_id"]) == messages[: len(some)]
    assert message_id(chosen.to_pylist()[0]) == messages[0]["message_id"]
