"""What an offer is worth: from past baskets within its scope, and from what people with such a score bought before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from campaigns.allocation import REDEEMED, SENT
from campaigns.scope import scope_matrix
from campaigns.spec import load_campaign
from campaigns.tables import CHANNELS
from flows.deciding.considered import best_value
from flows.deciding.plan import candidates
from flows.deciding.worth import limit_arrays, offer_arrays, past_baskets
from recsys.tables import ITEMS, PURCHASES, conform

NOW = datetime(2017, 12, 5, tzinfo=UTC)
GOODS = [
    {"item_id": "k1", "category": "Dapur > Kopi", "margin_rate": 0.5},
    {"item_id": "k2", "category": "Dapur > Kopi", "margin_rate": None},
    {"item_id": "t1", "category": "Dapur > Teh", "margin_rate": 0.1},
]
LINES = [  # order, item, rupiah, days ago
    ("o1", "k1", 30_000, 10),
    ("o1", "k2", 10_000, 10),
    ("o1", "t1", 5_000, 10),
    ("o2", "k2", 10_000, 20),
    ("o3", "k1", 99_000, 300),
]


@pytest.fixture(scope="module")
def campaign(shop):
    return load_campaign(shop.workspace.campaigns / "panen.yaml")


@pytest.fixture(scope="module")
def items():
    return conform(pa.Table.from_pylist(GOODS, schema=ITEMS.schema), ITEMS)


@pytest.fixture(scope="module")
def purchases():
    rows = [
        {"line_id": f"l{k}", "order_id": order, "customer_id": "c", "item_id": item, "kind": "purchase", "quantity": 1}
        | {"amount": amount, "occurred_at": NOW - timedelta(days=days)}
        for k, (order, item, amount, days) in enumerate(LINES)
    ]
    return conform(pa.Table.from_pylist(rows, schema=PURCHASES.schema), PURCHASES)


def baskets(campaign, items, purchases):
    scopes = scope_matrix(campaign.offers, items, items["item_id"])
    return past_baskets(purchases, items, scopes, NOW - timedelta(days=182), 0.2)


def test_a_basket_is_what_one_order_spent_within_the_scope_lately(campaign, items, purchases):
    spend, margin = baskets(campaign, items, purchases)
    by_offer = {offer.id: j for j, offer in enumerate(campaign.offers)}
    assert sorted(spend[:, by_offer["kopi"]].data) == [10_000, 40_000]
    assert sorted(spend[:, by_offer["teh"]].data) == [5_000]
    assert sorted(spend[:, by_offer["semua"]].data) == [10_000, 45_000]
    assert spend[:, by_offer["sabun"]].nnz == 0
    assert margin[:, by_offer["kopi"]].sum() == pytest.approx(0.5 * 30_000 + 0.2 * 20_000)  # 0.2 where none is stated


def test_only_baskets_that_reach_the_minimum_count_for_margin_and_benefit(campaign, items, purchases):
    """`semua` is free shipping of Rp2.000 from Rp30.000 on."""
    offers, reach = offer_arrays(campaign, *baskets(campaign, items, purchases), ("retailer", "sari-murni"))
    last = len(campaign.offers) - 1
    assert reach.tolist() == [1, 1, 0, 0.5]
    assert offers.benefit[last] == 2_000
    rate = (0.5 * 30_000 + 0.2 * 20_000 + 0.1 * 5_000) / 55_000
    assert offers.margin[last] == pytest.approx(45_000 * rate)


def test_an_offer_that_nobody_ever_bought_within_is_worth_nothing(campaign, items, purchases):
    offers, reach = offer_arrays(campaign, *baskets(campaign, items, purchases), ("retailer", "sari-murni"))
    assert (offers.margin[2], offers.benefit[2], reach[2]) == (0, 0, 0)


def test_offers_keep_their_terms_in_the_order_of_the_file(campaign, items, purchases):
    offers, _ = offer_arrays(campaign, *baskets(campaign, items, purchases), ("retailer", "sari-murni"))
    assert offers.shares.tolist() == [[0.5, 0.5], [1, 0], [1, 0], [1, 0]]
    assert offers.retailer_share.tolist() == [0.5, 1, 1, 1]
    assert offers.quota.tolist() == [9, 20, np.inf, np.inf]
    assert offers.quota_kind.tolist()[:2] == [REDEEMED, SENT]
    drinks, tea, soap, everything = offers.group.tolist()
    assert drinks == tea
    assert len({drinks, soap, everything}) == 3
    assert offers.fallback == -1


def test_a_channel_that_the_campaign_does_not_use_has_no_room(campaign):
    without = campaign.model_copy(update={"channels": {"push": campaign.channels["push"]}})
    limits = limit_arrays(without, CHANNELS, ("retailer", "sari-murni"))
    assert limits.capacity.tolist() == [0, 20]
    assert limits.budgets.tolist() == [150_000, 12_000]
    assert limits.response.tolist() == [1, 0.6]


# --- pairs -----------------------------------------------------------------------------------------------------------


def rested(columns):
    """People whom one more message costs no more than others."""
    nought = [0] * len(columns["customer_id"])
    return pa.table({**columns, "email_fatigue": nought, "push_fatigue": nought})


def test_candidates_are_the_allowed_pairs_in_order_with_keys_that_depend_on_the_id_alone():
    people = rested({"customer_id": ["a", "b", "c"], "email": [True, False, True], "push": [False, True, True]})
    may = np.array([[True, False], [False, False], [True, True]])
    p0 = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32)
    pairs = candidates(people, may, p0, 7)
    assert pairs.indptr.tolist() == [0, 1, 1, 3]
    assert pairs.offer.tolist() == [0, 0, 1]
    assert pairs.p0.tolist() == [np.float32(0.1), np.float32(0.5), np.float32(0.6)]
    assert pairs.channel_ok.tolist() == [[True, False], [False, True], [True, True]]
    turned = candidates(people.take([2, 0, 1]), may[[2, 0, 1]], p0[[2, 0, 1]], 7)
    assert turned.keys.tolist() == pairs.keys[[2, 0, 1]].tolist()
    assert candidates(people, may, p0, 8).keys.tolist() != pairs.keys.tolist()


def test_a_pair_is_valued_on_the_better_of_the_channels_that_are_open(campaign, items, purchases):
    offers, _ = offer_arrays(campaign, *baskets(campaign, items, purchases), ("retailer", "sari-murni"))
    limits = limit_arrays(campaign, CHANNELS, ("retailer", "sari-murni"))
    people = rested({"customer_id": ["a", "b"], "email": [True, False], "push": [True, True]})
    pairs = candidates(people, np.ones((2, 4), bool), np.full((2, 4), 0.2, np.float32), 7)
    mail, push = best_value(pairs, offers, limits).reshape(2, 4)
    assert mail[0] > push[0]
    alone = best_value(replace(pairs, channel_ok=np.array([[True, False], [False, True]])), offers, limits)
    assert alone.tolist() == [*mail, *push]
