"""What a manifest says of an offer."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from campaigns.spec import load_campaign
from flows.deciding.facts import said_titles

PROMO = """\
id: promo
name: Promo
schedule: {occasion: always}
window_days: 7
channels: {email: {capacity: 9, placements: {hero: 1}}}
budgets: {retailer: 1000}
offers:
  - id: kopi
    benefit: {kind: amount_off, amount: 5000}
    scope: {everything: true}
    uplift: 0.1
    text:
      id: {title: "{{ offer.benefit }} di {{ shop }} untuk {{ customer.called }}"}
      en: {title: "{{ offer.benefit }}, from {{ starts }}"}
  - id: teh
    benefit: {kind: amount_off, amount: 5000}
    scope: {everything: true}
    uplift: 0.1
    text:
      id: {title: Teh hemat}
      en: {title: Tea for less}
content:
  id: {subject: Halo, heading: Halo, intro: Halo}
  en: {subject: Hi, heading: Hi, intro: Hi}
"""


def test_a_title_is_filled_in_as_it_would_be_read_by_nobody_in_particular():
    campaign = load_campaign(Path("promo.yaml"), PROMO)
    plan = SimpleNamespace(
        campaign=campaign, occurrence=SimpleNamespace(send_at=datetime(2026, 12, 11, 17, tzinfo=UTC))
    )
    assert said_titles(plan, 0, "Toko Uji") == {
        "id": "Potongan Rp5.000 di Toko Uji untuk Kak",
        "en": "Rp5.000 off, from 00:00 WIB",
    }
    assert said_titles(plan, 1, "Toko Uji") == {"id": "Teh hemat", "en": "Tea for less"}
