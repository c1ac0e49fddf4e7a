"""An offer's words by placement and language: its own where it has them, else those for all places."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from campaigns.message import message_context
from campaigns.rendering import Sender, check_content, compile_content, render_email, render_push
from campaigns.spec import load_campaign

TEXT = """\
id: promo
name: Promo
schedule: {occasion: always}
window_days: 7
channels: {email: {capacity: 9, placements: {hero: 1, grid: 1}}, push: {capacity: 9, placements: {push: 1}}}
budgets: {retailer: 1000}
offers:
  - id: kopi
    benefit: {kind: amount_off, amount: 5000}
    scope: {everything: true}
    uplift: 0.1
    text:
      id: {title: Kopi, body: "Mulai {{ starts }}", grid: {title: Kopi juga}, push: {title: Kopi di HP, body: Buka}}
      en: {title: Coffee}
content:
  id: {subject: Halo, heading: Halo, intro: Halo, push_title: "{{ offer.title }}", push_body: "{{ offer.body }}"}
  en: {subject: Hi, heading: Hi, intro: Hi, push_title: "{{ offer.title }}", push_body: "{{ offer.body }}"}
"""
SENT = datetime(2026, 12, 11, 17, tzinfo=UTC)


def context(language: str, *placements: str, zone: str = "Asia/Jakarta") -> dict:
    channel = "push" if placements == ("push",) else "email"
    decisions = [
        {"offer_id": "kopi", "channel": channel, "placement": name, "position": 1, "item_ids": []}
        for name in placements
    ]
    content = compile_content(load_campaign(Path("promo.yaml"), TEXT))
    customer = {"language": language, "timezone": zone}
    ends = {"": SENT + timedelta(days=7), "kopi": SENT + timedelta(hours=2)}
    sender = Sender("Toko", "https://toko.example")
    return message_context(content, customer, decisions, {}, sender=sender, sent_at=SENT, until=ends)


@pytest.mark.parametrize(
    ("language", "placement", "title"),
    [("id", "hero", "Kopi"), ("id", "grid", "Kopi juga"), ("id", "push", "Kopi di HP"), ("en", "push", "Coffee")],
)
def test_a_placement_has_its_own_words_or_those_for_all(language: str, placement: str, title: str) -> None:
    assert context(language, placement)["offer"]["title"] == title


def test_an_offer_ends_when_it_says_and_begins_in_the_readers_time() -> None:
    said = context("id", "hero", zone="Asia/Jayapura")["offer"]
    assert said["until_short"].replace("\xa0", " ") == "Sampai 12 Des 2026 03.59 WIT"
    assert said["body"] == "Mulai 00.00 WIB / 02.00 WIT"


def test_a_message_without_offers_is_a_greeting() -> None:
    text = TEXT[: TEXT.index("offers:")] + "offers: []\n" + TEXT[TEXT.index("content:") :]
    text = text.replace('"{{ offer.title }}"', "Salam").replace('"{{ offer.body }}"', "Apa kabar")
    campaign = load_campaign(Path("promo.yaml"), text)
    assert check_content(campaign) == []
    content, sender = compile_content(campaign), Sender("Toko", "https://toko.example")
    greeting = message_context(content, {"name": "Siti"}, [], {}, sender=sender, sent_at=SENT, until=SENT)
    assert render_push(content, greeting)[:2] == ("Salam", "Apa kabar")
    assert "Halo" in render_email(content, greeting).html
