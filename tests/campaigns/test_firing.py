"""A campaign on the day of one firing: its phase, what couriers and stock still allow, when offers end."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from campaigns.calendar import Occurrence, occurrences
from campaigns.firing import campaign_at, greets, in_phase, offer_ends
from campaigns.hijri import Announcement, Moon
from campaigns.rendering import check_content, compile_content
from campaigns.spec import Campaign, load_campaign
from recsys.tables import ITEMS

PRESETS = Path(__file__).parents[2] / "campaigns" / "presets"
WIB = ZoneInfo("Asia/Jakarta")
TEXT = """\
id: lebaran
name: Lebaran
schedule:
  occasion: lebaran
  time: "10:00"
  phases:
    - {id: thr, days: [-12, -7, -2], window_days: 5}
    - {id: sahur, occasion: ramadan, days: 10, time: "03:30"}
    - {id: hari-raya, time: "07:00", estimate: wait}
    - {id: arus-balik, days: 4}
window_days: 14
channels: {push: {capacity: 10, placements: {push: 1}}}
budgets: {retailer: 1000000, mitra: 5}
last_order:
  reguler: {days: 7, provinces: {Papua: 14, DKI Jakarta: 2}}
  kargo: {days: 12}
offers:
  - id: kue
    benefit: {kind: percent_off, percent: 10}
    scope: {categories: [Kue]}
    delivery: [reguler]
    uplift: 0.3
    phases: [thr, arus-balik]
    text: {id: {title: Kue}}
  - id: hampers
    benefit: {kind: percent_off, percent: 10}
    scope: {everything: true}
    funders: {mitra: 1}
    uplift: 0.3
    phases: [thr]
    text: {id: {title: Hampers, push: {title: Hampers di HP}}}
  - id: pulsa
    benefit: {kind: cashback, percent: 5}
    scope: {items: [pulsa]}
    delivery: [digital]
    valid: {hours: 3}
    uplift: 0.3
    phases: [thr, sahur]
    text: {id: {title: Pulsa}}
content:
  id:
    push_title: "{{ offer.title }}"
    push_body: Sampai {{ offer.until }}
    phases:
      hari-raya: {push_title: Selamat Idul Fitri, push_body: "{{ customer.greeting }}"}
"""


def campaign(old: str = "", new: str = "") -> Campaign:
    assert old in TEXT
    return load_campaign(Path("lebaran.yaml"), TEXT.replace(old, new))


def sent_on(day: str, phase: str) -> Occurrence:
    """Of 2026, when Lebaran was 21 March."""
    moon = Moon((Announcement("lebaran", date(2026, 3, 21), "Kemenag", datetime(2025, 1, 1, tzinfo=UTC)),))
    found = occurrences(campaign().schedule, datetime(2026, 1, 1, tzinfo=WIB), 20, moon=moon)
    return next(o for o in found if (o.phase, o.day.isoformat()) == (phase, f"2026-{day}"))


def test_a_phase_has_its_own_offers_words_window_and_budgets() -> None:
    thr = campaign_at(campaign(), sent_on("03-09", "thr"))
    assert [offer.id for offer in thr.offers] == ["kue", "hampers", "pulsa"]
    assert (thr.window_days, thr.content["id"].push_title) == (5, "{{ offer.title }}")
    sahur = campaign_at(campaign(), sent_on("03-01", "sahur"))
    assert ([offer.id for offer in sahur.offers], sahur.window_days) == (["pulsa"], 14)
    assert dict(sahur.budgets) == {"retailer": 1_000_000}
    assert in_phase(campaign(), "hari-raya").content["id"].push_title == "Selamat Idul Fitri"


def test_a_limit_that_concerns_none_of_the_days_offers_is_left_out() -> None:
    limits = "limits:\n  - {id: kue, offers: [kue], quota: {sent: 5}}\n  - {id: semua, quota: {sent: 9}}\n"
    limited = campaign("budgets:", limits + "budgets:")
    assert [limit.id for limit in campaign_at(limited, sent_on("03-09", "thr")).limits] == ["kue", "semua"]
    assert [limit.id for limit in campaign_at(limited, sent_on("03-01", "sahur")).limits] == ["semua"]


def test_a_phase_without_offers_is_a_greeting() -> None:
    assert greets(campaign(), sent_on("03-21", "hari-raya"))
    assert not greets(campaign(), sent_on("03-09", "thr"))


def test_words_are_checked_in_every_phase_and_a_fault_names_it() -> None:
    assert check_content(campaign()) == []
    (fault,) = check_content(campaign("{{ customer.greeting }}", "{{ offer.title }}"))
    assert fault.startswith("lebaran.yaml: content.id.phases.hari-raya.push_body: unknown field offer.title")


@pytest.mark.parametrize(
    ("day", "kue", "hampers"),
    [
        ("03-09", "NOT province IN ('Papua')", None),  # 12 days before: by kargo everywhere, by reguler not to Papua
        ("03-14", "NOT province IN ('Papua')", "NOT province IN ('Papua')"),
        ("03-19", "province IN ('DKI Jakarta')", "province IN ('DKI Jakarta')"),
    ],
)
def test_after_the_last_order_of_a_province_its_couriers_bring_nothing_more(day: str, kue: str, hampers: str) -> None:
    offers = {offer.id: offer for offer in campaign_at(campaign(), sent_on(day, "thr")).offers}
    assert kue in offers["kue"].eligibility
    assert offers["hampers"].eligibility is None if hampers is None else hampers in offers["hampers"].eligibility
    assert offers["pulsa"].eligibility is None


def test_what_no_courier_brings_in_time_is_no_offer_any_more_and_after_the_feast_all_is_again() -> None:
    text = campaign("provinces: {Papua: 14, DKI Jakarta: 2}", "provinces: {Papua: 14}")
    assert [offer.id for offer in campaign_at(text, sent_on("03-19", "thr")).offers] == ["pulsa"]
    (back,) = campaign_at(campaign(), sent_on("03-25", "arus-balik")).offers
    assert back.eligibility is None


def test_an_offer_ends_with_its_hours_or_its_days_or_the_window() -> None:
    sent_at = datetime(2026, 3, 9, 3, tzinfo=UTC)  # 10.00 WIB
    thr = campaign("delivery: [reguler]", "valid: {days: 2}")
    ends = offer_ends(thr, sent_at)
    assert ends["pulsa"] == sent_at + timedelta(hours=3)
    assert ends["kue"] == datetime(2026, 3, 11, tzinfo=WIB)
    assert ends["hampers"] == ends[""] == datetime(2026, 3, 23, tzinfo=WIB)


# --- stock -----------------------------------------------------------------------------------------------------------


def items(*stocks: int | None) -> pa.Table:
    return pa.Table.from_pylist(
        [{"item_id": "pulsa" if n == 0 else f"i{n}", "category": "Kue", "stock": k} for n, k in enumerate(stocks)],
        schema=ITEMS.schema,
    )


@pytest.mark.parametrize(("stock", "sent"), [(7, 17), (0, None), (None, "unlimited")])
def test_a_restock_reaches_no_more_people_than_units_times_a_factor(stock: int | None, sent: object) -> None:
    text = campaign("valid: {hours: 3}", "per_unit: 2.5")
    found = {offer.id: offer for offer in campaign_at(text, sent_on("03-09", "thr"), items(stock, 5)).offers}
    if stock == 0:
        assert "pulsa" not in found
    elif stock is None:
        assert found["pulsa"].quota is None
    else:
        assert (found["pulsa"].quota.kind, found["pulsa"].quota.limit) == ("sent", sent)


def test_a_quota_below_what_the_stock_allows_stays() -> None:
    text = campaign("valid: {hours: 3}", "per_unit: 10\n    quota: {sent: 4}")
    assert campaign_at(text, sent_on("03-09", "thr"), items(7)).offer("pulsa").quota.limit == 4


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_words_of_every_phase_of_a_preset_compile_as_decide_compiles_them(preset: Path) -> None:
    campaign = load_campaign(preset)
    for phase in campaign.phases or ("",):
        there = in_phase(campaign, phase)
        assert there.phases == ()
        compile_content(there)
