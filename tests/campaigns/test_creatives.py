"""An offer's words by placement and language: its own where it has them, else those for all places."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from campaigns.content import Content, Texts
from campaigns.message import message_context, offer_titles
from campaigns.rendering import Sender, check_content, compile_content, render_email, render_push
from campaigns.spec import load_campaign
from campaigns.words import languages, load_words

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


def test_titles_are_filled_in_for_lists_as_at_home_for_nobody_in_particular() -> None:
    text = TEXT.replace("title: Kopi,", 'title: "{{ offer.benefit }} untuk {{ customer.called }}, {{ starts }}",')
    content = compile_content(load_campaign(Path("promo.yaml"), text))
    ends = {"": SENT + timedelta(days=7)}
    titles = offer_titles(content, Sender("Toko", ""), sent_at=SENT, until=ends)
    assert titles == {"kopi": {"id": "Potongan Rp5.000 untuk Kak, 00.00 WIB", "en": "Coffee"}}


@pytest.mark.parametrize("purpose", ["promotion", "greeting", "service"])
@pytest.mark.parametrize("language", languages())
def test_why_it_came_and_how_to_stop_it_follow_purpose_and_channel(language: str, purpose: str) -> None:
    said = {language: Texts({}, {})}
    found = {
        channel: message_context(
            Content("promo", said, purpose), {"language": language}, [], {}, channel=channel,
            sender=Sender("Toko Uji", ""), sent_at=SENT, until=SENT,
        )
        for channel in ("email", "push")
    }  # fmt: skip
    words = load_words(language)
    for channel, context in found.items():
        assert words["media"][channel] in context["why"]
        assert words["media"][channel] in context["stop"]
        assert "Toko Uji" in context["why"]
        assert not context["prices"]
    assert found["email"]["why"] != found["push"]["why"]


def test_a_message_without_offers_is_a_greeting() -> None:
    text = TEXT[: TEXT.index("offers:")] + "offers: []\n" + TEXT[TEXT.index("content:") :]
    text = text.replace('"{{ offer.title }}"', "Salam").replace('"{{ offer.body }}"', "Apa kabar")
    campaign = load_campaign(Path("promo.yaml"), text)
    assert check_content(campaign) == []
    content, sender = compile_content(campaign), Sender("Toko", "https://toko.example")
    greeting = message_context(content, {"name": "Siti"}, [], {}, sender=sender, sent_at=SENT, until=SENT)
    assert render_push(content, greeting)[:2] == ("Salam", "Apa kabar")
    assert "Halo" in render_email(content, greeting).html
