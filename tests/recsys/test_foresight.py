"""Chances are judged by a window that nothing was learned from, beside what they have to beat."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from recsys.foresight import auc, judge_chances, ratio
from recsys.history import earlier, history
from recsys.synthetic import taste_groups
from recsys.tables import ITEMS, conform

AS_OF = datetime(2017, 1, 1, tzinfo=UTC) + timedelta(days=300)
WORLD = taste_groups(5, customers=400, items=80, orders=16, loyalty=0.9)
IDS = [f"i{k:05d}" for k in range(80)]
TABLE = conform(pa.table({"item_id": IDS, "category": [f"shelf {g}" for g in WORLD.item_group]}), ITEMS)


@pytest.fixture(scope="module")
def known():
    return history(WORLD.purchases, AS_OF, TABLE["item_id"].combine_chunks())


@pytest.fixture(scope="module")
def judged(known):
    return judge_chances(known, TABLE, 28, 1)


def test_chances_beat_what_they_have_to_beat(judged):
    loss = {row["model"]: row["log_loss"] for row in judged["rows"]}
    assert loss["chances"] < min(loss["logistic"] * 1.01, loss["frequency"])
    frequency = next(row for row in judged["differences"] if row["against"] == "frequency")
    assert frequency["high"] < 0
    assert frequency["mean"] == pytest.approx(loss["chances"] - loss["frequency"])


def test_deciles_and_groups_hold_every_pair_once_and_rise(judged):
    for part in ("deciles", "groups"):
        assert sum(row["pairs"] for row in judged[part]) == judged["pairs"]
        assert sum(row["buyers"] for row in judged[part]) == judged["buyers"]
    predicted = [row["predicted"] for row in judged["deciles"]]
    assert predicted == sorted(predicted)
    assert [row["group"] for row in judged["groups"]] == ["rare", "middling", "common"]


def test_what_is_told_of_a_decile_is_its_ratio_within_its_interval(judged):
    for row in (*judged["deciles"], *judged["groups"]):
        if row["buyers"]:
            assert row["ratio"] == pytest.approx(row["predicted"] / row["observed"])
            assert row["low"] < row["ratio"] < row["high"]
        else:
            assert (row["ratio"], row["high"]) == (None, None)


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    customer = np.repeat(np.arange(300), 20)
    held = []
    for _ in range(400):
        p = np.repeat(random.beta(1, 9, 300), 20)
        comes = np.repeat(random.random(300) < 0.5, 20)  # who comes buys of many scopes at once
        _, low, high = ratio(p, comes & (random.random(6000) < 2 * p), customer)
        held.append(low <= 1 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


def test_of_no_buyers_the_interval_has_no_end_and_of_one_it_is_as_wide_as_the_binomial_one():
    none = np.zeros(1000, bool)
    found, low, high = ratio(np.full(1000, 0.01), none, np.arange(1000))
    assert (found, high) == (np.inf, np.inf)
    assert low == pytest.approx(0.01 / 0.003682, rel=1e-3)  # 1 − 0.025^(1/1000)
    one = none.copy()
    one[0] = True
    _, low, high = ratio(np.full(1000, 0.001), one, np.arange(1000))
    assert low <= 0.001 / 0.00556
    assert high == pytest.approx(0.001 / 0.0000253, rel=1e-2)


def test_the_same_arguments_give_the_same_json(known, judged):
    assert json.dumps(judge_chances(known, TABLE, 28, 1), allow_nan=False) == json.dumps(judged, allow_nan=False)


def test_a_history_too_short_to_learn_from_is_not_judged(known):
    assert judge_chances(earlier(known, 240), TABLE, 28, 1) is None
    assert judge_chances(earlier(known, 400), TABLE, 28, 1) is None


def test_auc_is_that_of_the_textbook_ties_included():
    random = np.random.default_rng(1)
    p, bought = random.integers(0, 5, 200) / 5, random.random(200) < 0.3
    assert auc(bought, p) == pytest.approx(roc_auc_score(bought, p))
    assert auc(np.ones(3, bool), np.ones(3)) is None
