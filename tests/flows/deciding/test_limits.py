"""Limits on groups become rows of the allocation under stable names, for a campaign and for a whole night."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from campaigns.allocation import REDEEMED, SENT
from campaigns.limits import Limit
from campaigns.spec import Campaign, load_campaign
from campaigns.tables import CampaignError
from flows.deciding.limits import NIGHT, Side, group_rows, labels, limit_faults, own_rows, part_of

FILE = """
id: uji
name: Uji
schedule: {occasion: harbolnas}
window_days: 14
channels: {email: {capacity: 10, placements: {hero: 1}}}
budgets: {retailer: 1000, merek: 1000}
limits: []
offers:
  - id: kopi
    benefit: {kind: amount_off, amount: 100}
    scope: {categories: [Kopi]}
    funders: {retailer: 0.5, merek: 0.5}
    uplift: 0.1
    text: {id: {title: Kopi}}
  - id: teh
    benefit: {kind: amount_off, amount: 100}
    scope: {merchants: [warung]}
    minimum: {redeemed: 3}
    uplift: 0.1
    text: {id: {title: Teh}}
  - id: susu
    benefit: {kind: amount_off, amount: 100}
    scope: {categories: [Susu]}
    uplift: 0.1
    text: {id: {title: Susu}}
content: {id: {subject: a, heading: b, intro: c}}
"""
PEOPLE = pa.table({"city": ["Bandung", "Ambon", None, "Bandung"]})
BENEFIT = np.array([100.0, 50.0, 0.0])


def campaign(limits: str) -> Campaign:
    return load_campaign(Path("uji.yaml"), FILE.replace("limits: []", f"limits:\n{limits}"))


def rows_of(limits: str, held=None):
    made = campaign(limits)
    held = np.ones((4, len(made.limits)), np.bool_) if held is None else np.array(held, np.bool_)
    return own_rows(made, BENEFIT, labels(made.limits, PEOPLE, held))


def test_an_offers_minimum_is_the_first_row_and_everybodys():
    rows, numbers = rows_of("  - {id: satu, offers: [kopi], quota: {sent: 5}}")
    assert [row.name for row in rows] == ["minimum of teh", "satu"]
    least, most = (row.limit for row in rows)
    assert (least.at_least, least.kind, least.amount, least.group, least.offers.tolist()) == (
        True,
        REDEEMED,
        3,
        -1,
        [1],
    )
    assert (most.at_least, most.kind, most.amount, most.group, most.offers.tolist()) == (False, SENT, 5, -1, [0])
    assert (numbers == -1).all()


def test_for_each_makes_a_limit_of_its_own_for_every_value_and_none_for_who_has_no_value():
    rows, numbers = rows_of("  - {id: kota, offers: [kopi], for_each: city, quota: {sent: 5}}")
    assert [row.name for row in rows[1:]] == ["kota: Ambon", "kota: Bandung"]
    ambon, bandung = (row.limit.group for row in rows[1:])
    assert numbers[:, 0].tolist() == [bandung, ambon, -1, bandung]


def test_where_counts_only_those_who_meet_it():
    rows, numbers = rows_of("  - {id: sini, where: \"city = 'Ambon'\", quota: {redeemed: 2}}", [[0], [1], [0], [0]])
    assert [(row.name, row.unit, row.limit.kind) for row in rows[1:]] == [("sini", "redeemed", REDEEMED)]
    assert numbers[:, 0].tolist() == [-1, rows[1].limit.group, -1, -1]
    assert rows[1].limit.offers.tolist() == [0, 1, 2]


def test_a_merchants_offers_are_those_on_its_items_and_those_it_co_funds():
    rows, _ = rows_of("  - {id: a, merchants: [warung, merek], quota: {sent: 5}}")
    assert rows[1].limit.offers.tolist() == [0, 1]


def test_a_budget_weighs_each_redemption_by_its_benefit_and_leaves_out_what_costs_nothing():
    rows, _ = rows_of("  - {id: uang, budget: 900}")
    assert rows[1].limit.offers.tolist() == [0, 1]
    assert rows[1].limit.weight.tolist() == [100.0, 50.0]
    assert (rows[1].unit, rows[1].amount) == ("rupiah", 900)


def test_a_limit_on_a_merchant_that_no_offer_names_is_a_fault():
    (fault,) = limit_faults(campaign("  - {id: a, merchants: [toko-lain], quota: {sent: 5}}"))
    assert fault.startswith("limits[a].merchants: no offer's scope or funders name toko-lain; ")
    assert limit_faults(campaign("  - {id: a, merchants: [merek], quota: {sent: 5}}")) == []


def test_a_nights_limit_spans_the_campaigns_in_one_group_number_per_value():
    one = campaign("  - {id: a, quota: {sent: 5}}")
    limit = Limit.model_validate({"id": "kota", "offers": ("kopi",), "for_each": "city", "quota": {"sent": 7}})
    sides = [Side(one, 0, BENEFIT), Side(one, 3, BENEFIT)]
    here = np.array(["Bandung", None], object)
    there = np.array(["Ambon", "Bandung", "Bandung"], object)
    rows, (first, second) = group_rows([limit], sides, [[here], [there]], NIGHT)
    assert [row.name for row in rows] == ["kota: Ambon", "kota: Bandung"]
    ambon, bandung = (row.limit.group for row in rows)
    assert first[:, 0].tolist() == [bandung, -1]
    assert second[:, 0].tolist() == [ambon, bandung, bandung]
    assert rows[0].limit.offers.tolist() == [0, 3]
    assert part_of(rows[0].limit, 3, 6).offers.tolist() == [0]


def test_a_guarantee_to_people_whom_nobody_is_among_is_kept_so_that_it_can_be_refused():
    rows, _ = rows_of("  - {id: a, for_each: city, minimum: {sent: 1}, where: \"tier = 'x'\"}", [[0]] * 4)
    assert [row.name for row in rows[1:]] == ["a"]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            "  - {id: a, quota: {sent: 5}, budget: 3}",
            "limits[a]: expected one of quota, minimum and budget, got quota and budget",
        ),
        ("  - {id: a}", "limits[a]: expected one of quota, minimum and budget, got none of them"),
        (
            "  - {id: a, offers: [kopii], quota: {sent: 5}}",
            "limits[a].offers[0]: no offer is named 'kopii'; did you mean 'kopi'?",
        ),
        ("  - {id: a, for_each: cit, quota: {sent: 5}}", "limits[a].for_each: expected one of city, province"),
        ("  - {id: a, where: 'citi = 1', quota: {sent: 5}}", "limits[a].where: "),
        ("  - {id: a, quota: {sent: 5}}\n  - {id: a, budget: 3}", "limits[a].id: another limit is named 'a' already"),
        ("  - {id: a, minimum: {sent: 5, redeemed: 4}}", "limits[a].minimum: expected either redeemed or sent"),
        ("  - {id: a, budget: 0}", "limits[a].budget: expected a positive amount in rupiah"),
    ],
)
def test_what_is_wrong_with_a_limit_is_said_with_its_line(limits, said):
    with pytest.raises(CampaignError, match=r"uji\.yaml") as error:
        campaign(limits)
    line = next(line for line in str(error.value).splitlines() if said in line)
    assert int(line.split(":")[1]) >= 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "window_days: 14",
            "window_days: 14\nbudget_confidence: 1.0",
            "budget_confidence: expected a probability from 0.5",
        ),
        (
            "window_days: 14",
            "window_days: 14\nquota_confidence: 0.4",
            "quota_confidence: expected a probability from 0.5",
        ),
        (
            "window_days: 14",
            "window_days: 14\nforecast_error: 2",
            "forecast_error: expected a relative error from 0 to 1",
        ),
        (
            "    minimum: {redeemed: 3}",
            "    minimum: {redeemed: 3}\n    quota: {redeemed: 2}",
            "offers[teh].minimum.redeemed: is above",
        ),
    ],
)
def test_confidences_and_minimums_are_checked(old, new, said):
    with pytest.raises(CampaignError, match=r"uji\.yaml") as error:
        load_campaign(Path("uji.yaml"), FILE.replace(old, new))
    assert said in str(error.value)


def test_no_limits_make_no_groups():
    bare = load_campaign(Path("uji.yaml"), FILE)
    bare = bare.model_copy(
        update={"offers": tuple(offer.model_copy(update={"minimum": None}) for offer in bare.offers)}
    )
    rows, numbers = own_rows(bare, BENEFIT, [])
    assert rows == []
    assert numbers.shape == (0, 0)
