"""What a funder agrees to: its own part of a campaign, held by value, void where it changes and nowhere else."""

import copy
from pathlib import Path

import pyarrow as pa
import pytest

from campaigns.marked_yaml import read_yaml
from campaigns.policy import judged, load_policy
from campaigns.spec import Campaign, load_campaign
from campaigns.terms import NO_PRICE, changes_that_void, co_funded, co_funders, funder_terms
from recsys.tables import ITEMS, conform

TEXT = """\
id: raya
name: Pesta Raya
schedule: {occasion: harbolnas, phases: [{id: pagi, time: "08:00"}, {id: malam, time: "20:00"}]}
window_days: 20
channels:
  email: {capacity: 450, placements: {hero: 1}}
budgets: {retailer: 150000, sari-murni: 12000, bank: 9000}
limits:
  - {id: janji, merchants: [sari-murni], minimum: {redeemed: 5}}
offers:
  - id: kopi
    benefit: {kind: percent_off, percent: 10, max_discount: 3000}
    scope: {categories: [Kopi]}
    min_spend: 20000
    funders: {retailer: 0.4, sari-murni: 0.6}
    quota: {redeemed: 16}
    uplift: 0.35
    valid: {days: 3}
    phases: [pagi]
    code: {shared: NGOPI}
    text: {id: {title: Kopi hemat}}
  - id: teh
    benefit: {kind: amount_off, amount: 5000}
    scope: {categories: [Teh]}
    funders: {retailer: 0.5, bank: 0.5}
    uplift: 0.2
    text: {id: {title: Teh hemat}}
  - id: semua
    benefit: {kind: cashback, percent: 3}
    scope: {everything: true}
    funders: {retailer: 0.5, bank: 0.5, sari-murni: 0.0}
    uplift: 0.2
    text: {id: {title: Semua}}
content:
  id: {subject: Halo, heading: Hai, intro: Pilihan.}
"""
PLAIN = read_yaml(TEXT).value
CAMPAIGN = load_campaign(Path("raya.yaml"), TEXT)
ROWS = [
    {"item_id": "k1", "title": "Kopi 1", "category": "Kopi", "price": 10_000},
    {"item_id": "k2", "title": "Kopi 2", "category": "Kopi", "price": 50_000},
    {"item_id": "k3", "title": "Kopi 3", "category": "Kopi", "price": None},
    {"item_id": "t1", "title": "Teh 1", "category": "Teh", "price": 20_000},
]


def items(*rows):
    return judged(conform(pa.Table.from_pylist(list(rows), schema=ITEMS.schema), ITEMS), load_policy())


def repriced(item_id, price):
    return items(*({**row, "price": price} if row["item_id"] == item_id else row for row in ROWS))


def changed(path, value):
    plain = copy.deepcopy(PLAIN)
    inner = plain
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return Campaign.model_validate(plain)


KNOWN = items(*ROWS)
AGREED = funder_terms(CAMPAIGN, "sari-murni", KNOWN)

VOID = {
    "share": ("offers[kopi].funders", ("offers", 0, "funders"), {"retailer": 0.5, "sari-murni": 0.5}),
    "cap": ("budget", ("budgets", "sari-murni"), 13_000),
    "percent": ("offers[kopi].benefit.percent", ("offers", 0, "benefit", "percent"), 11),
    "discount": ("offers[kopi].benefit.max_discount", ("offers", 0, "benefit", "max_discount"), 2999),
    "minimum spend": ("offers[kopi].min_spend", ("offers", 0, "min_spend"), 20_001),
    "quota": ("offers[kopi].quota.redeemed", ("offers", 0, "quota", "redeemed"), 17),
    "scope": ("offers[kopi].", ("offers", 0, "scope", "categories"), ["Kopi", "Teh"]),
    "code": ("offers[kopi].code.shared", ("offers", 0, "code", "shared"), "LAIN"),
    "validity": ("offers[kopi].valid.days", ("offers", 0, "valid", "days"), 4),
    "phase": ("offers[kopi].phases", ("offers", 0, "phases"), ["malam"]),
    "hour": ("schedule.phases[pagi].time", ("schedule", "phases", 0, "time"), "09:00"),
    "occasion": ("schedule.occasion", ("schedule", "occasion"), "payday"),
    "window": ("window_days", ("window_days",), 21),
    "guarantee": ("limits[janji].minimum.redeemed", ("limits", 0, "minimum", "redeemed"), 6),
    "per customer": ("offers[kopi].per_customer", ("offers", 0, "per_customer"), 2),
}


@pytest.mark.parametrize(("place", "path", "value"), VOID.values(), ids=VOID)
def test_a_change_of_the_funders_part_voids_its_agreement(place, path, value):
    now = funder_terms(changed(path, value), "sari-murni", KNOWN)
    found = changes_that_void(AGREED.values, now.values)
    assert found
    assert any(change.path.startswith(place) for change in found)
    assert now.hash != AGREED.hash


OTHERS = {
    "words": (("offers", 0, "text", "id", "title"), "Kopi murah"),
    "audience": (("audience",), "tier = 'gold'"),
    "another's budget": (("budgets", "bank"), 1),
    "another's offer": (("offers", 1, "benefit", "amount"), 1),
    "another's phase": (("schedule", "phases", 1, "time"), "21:00"),
    "uplift": (("offers", 0, "uplift"), 0.4),
    "when it is decided": (("schedule", "lead_days"), 4),
    "channels": (("channels", "email", "capacity"), 4),
}


@pytest.mark.parametrize(("path", "value"), OTHERS.values(), ids=OTHERS)
def test_what_is_none_of_the_funders_business_voids_nothing(path, value):
    now = funder_terms(changed(path, value), "sari-murni", KNOWN)
    assert now.hash == AGREED.hash
    assert changes_that_void(AGREED.values, now.values) == []


MOVED = {
    "a price": repriced("k1", 10_100),
    "a price that comes to be known": repriced("k3", 10_000),
    "an item more": items(*ROWS, {"item_id": "k4", "category": "Kopi", "price": 1000}),
    "an item less": items(*ROWS[1:]),
    "an item that may be offered no more": items({**ROWS[0], "restriction": "alcohol"}, *ROWS[1:]),
}


@pytest.mark.parametrize("known", MOVED.values(), ids=MOVED)
def test_items_and_prices_that_change_void_it(known):
    now = funder_terms(CAMPAIGN, "sari-murni", known)
    assert [change.path.partition(".items.")[0] for change in changes_that_void(AGREED.values, now.values)] == [
        "offers[kopi]"
    ]


SAME = {
    "above the cap of the discount": repriced("k2", 60_000),
    "less than a rupiah of its share": repriced("k1", 10_005),
    "another item's price": repriced("t1", 1),
    "another title": items({**ROWS[0], "title": "Kopi lain"}, *ROWS[1:]),
    "another order": items(*reversed(ROWS)),
    "stock": items({**ROWS[0], "stock": 5}, *ROWS[1:]),
}


@pytest.mark.parametrize("known", SAME.values(), ids=SAME)
def test_a_catalogue_that_changes_nothing_of_what_it_pays_voids_nothing(known):
    assert funder_terms(CAMPAIGN, "sari-murni", known).hash == AGREED.hash


def test_an_items_price_is_held_as_what_one_unit_costs_the_funder():
    found = AGREED.values["items"]
    assert found["offers[kopi].items.k1"] == 600  # 60% of 10% of Rp10.000
    assert found["offers[kopi].items.k2"] == 1800  # the discount is Rp3.000 at most
    assert found["offers[kopi].items.k3"] == NO_PRICE


def test_prices_may_move_within_the_tolerance_agreed_to_and_no_further():
    agreed = funder_terms(CAMPAIGN, "sari-murni", KNOWN, price_tolerance=0.05)

    def void(price, tolerance=0.05):
        now = funder_terms(CAMPAIGN, "sari-murni", repriced("k1", price), price_tolerance=tolerance)
        return [change.path for change in changes_that_void(agreed.values, now.values)]

    assert void(10_500) == []
    assert void(9_500) == []
    assert void(10_600) == ["offers[kopi].items.k1"]
    assert void(10_000, tolerance=0.1) == ["price_tolerance"]


def test_an_offer_on_everything_lists_no_items():
    held = funder_terms(CAMPAIGN, "bank", KNOWN)
    other = funder_terms(CAMPAIGN, "bank", items(*ROWS[:1], ROWS[3], {"item_id": "x", "price": 5, "category": "Lain"}))
    assert not [path for path in held.values["items"] if path.startswith("offers[semua].items")]
    assert held.hash == other.hash
    assert [len(held.covered["semua"]), len(other.covered["semua"])] == [4, 3]


def test_a_share_of_nothing_asks_nobody():
    assert co_funded(CAMPAIGN) == {"kopi": ("sari-murni",), "teh": ("bank",), "semua": ("bank",)}
    assert co_funders(CAMPAIGN) == ("bank", "sari-murni")


def test_the_nights_cap_is_part_of_it():
    now = funder_terms(CAMPAIGN, "sari-murni", KNOWN, night_budget=5000)
    assert [str(change) for change in changes_that_void(AGREED.values, now.values)] == ["night_budget: 5000 is new"]
