"""Lifetime values against published figures and against worlds whose parameters are known."""

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.lifetime import (
    BgNbd,
    GammaGamma,
    alive,
    customer_lifetime_value,
    expected_purchases,
    expected_value,
    fit_bg_nbd,
    fit_gamma_gamma,
    lifetime_values,
    summarise,
)
from recsys.tables import PURCHASES, InputError, conform

CDNOW = Path(find_spec("lifetimes").origin).parent / "datasets"  # the file is read, the library is not imported
PUBLISHED = BgNbd(0.243, 4.414, 0.793, 2.426)
START = datetime(2017, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def cdnow():
    return pd.read_csv(CDNOW / "cdnow_customers_summary.csv")


def test_cdnow_gives_the_published_parameters_of_bg_nbd(cdnow):
    found = fit_bg_nbd(cdnow["frequency"], cdnow["recency"], cdnow["T"])
    assert [found.r, found.alpha, found.a, found.b] == pytest.approx([0.243, 4.414, 0.793, 2.426], abs=6e-4)


def test_the_paper_s_customer_is_expected_to_buy_1_226_times_in_the_next_39_weeks():
    assert expected_purchases(PUBLISHED, 39, [2], [30.43], [38.86])[0] == pytest.approx(1.226, abs=1e-3)


def test_cdnow_gives_the_published_parameters_of_gamma_gamma():
    spent = pd.read_csv(CDNOW / "cdnow_customers_summary_with_transactions.csv").query("x > 0")
    found = fit_gamma_gamma(spent["x"], spent["zbar"])
    assert [found.p, found.q, found.gamma] == pytest.approx([6.25, 3.74, 15.44], abs=0.02)
    assert expected_value(found, [0], [0])[0] == pytest.approx(35.17, abs=0.02)


def test_the_unit_of_time_changes_the_parameters_of_time_alone(cdnow):
    x, tx, T = (cdnow[name].to_numpy()[:600] for name in ("frequency", "recency", "T"))
    weeks, days = fit_bg_nbd(x, tx, T), fit_bg_nbd(x, 7 * tx, 7 * T)
    assert [days.r, days.alpha, days.a, days.b] == pytest.approx([weeks.r, 7 * weeks.alpha, weeks.a, weeks.b], rel=1e-3)


def planted(customers, model, weeks, seed):
    """(frequency, recency, age) of customers who live by the model."""
    rng = np.random.default_rng(seed)
    rate, leave = rng.gamma(model.r, 1 / model.alpha, customers), rng.beta(model.a, model.b, customers)
    age = rng.uniform(weeks / 2, weeks, customers)
    at, x, tx, active = np.zeros(customers), np.zeros(customers), np.zeros(customers), np.ones(customers, bool)
    while active.any():
        at = at + np.where(active, rng.exponential(1 / rate), 0)
        active &= at <= age
        x, tx = x + active, np.where(active, at, tx)
        active &= rng.random(customers) >= leave
    return x, tx, age


def test_a_planted_world_s_parameters_are_found():
    truth = BgNbd(1.2, 6.0, 0.8, 3.0)
    found = fit_bg_nbd(*planted(20_000, truth, 60, 1))
    assert [found.r, found.alpha] == pytest.approx([truth.r, truth.alpha], rel=0.08)
    assert found.a / (found.a + found.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.08)


def test_a_planted_world_s_values_are_found():
    rng = np.random.default_rng(2)
    x = rng.integers(1, 20, 20_000)
    scale = rng.gamma(4.0, 1 / 90_000, len(x))
    mean = rng.gamma(5.0 * x, 1 / scale) / x
    found = fit_gamma_gamma(x, mean)
    assert [found.p, found.q, found.gamma] == pytest.approx([5.0, 4.0, 90_000], rel=0.06)
    assert expected_value(found, x, mean).mean() == pytest.approx(mean.mean(), rel=0.02)


def test_expected_purchases_are_those_that_come_in_a_planted_world():
    rng = np.random.default_rng(3)
    rate, leave = rng.gamma(1.2, 1 / 6.0, 40_000), rng.beta(0.8, 3.0, 40_000)
    at, before, last, after = np.zeros(40_000), np.zeros(40_000), np.zeros(40_000), np.zeros(40_000)
    active = np.ones(40_000, bool)
    while active.any():
        at = at + np.where(active, rng.exponential(1 / rate), 0)
        active &= at <= 70
        before, last = before + (active & (at <= 40)), np.where(active & (at <= 40), at, last)
        after += active & (at > 40)
        active &= rng.random(40_000) >= leave
    expected = expected_purchases(BgNbd(1.2, 6.0, 0.8, 3.0), 30, before, last, np.full(40_000, 40.0))
    assert expected.sum() == pytest.approx(after.sum(), rel=0.03)
    lively = expected > np.median(expected)
    assert expected[lively].sum() == pytest.approx(after[lively].sum(), rel=0.03)


histories = st.tuples(st.integers(0, 3000), st.floats(0, 1), st.floats(0.1, 500))
models = st.builds(BgNbd, *[st.floats(0.05, 20)] * 4)


@given(models, histories, st.floats(0.1, 200))
def test_expectations_are_finite_whatever_the_history_and_grow_with_time(model, history, time):
    x, share, T = history
    tx = share * T if x else 0.0
    some, more = (expected_purchases(model, t, [x], [tx], [T])[0] for t in (time, 2 * time))
    assert np.isfinite([some, more]).all()
    assert 0 <= some <= more * (1 + 1e-6) + 1e-9
    assert 0 <= alive(model, [x], [tx], [T])[0] <= 1


@given(models, histories)
def test_who_bought_more_lately_is_likelier_to_be_there(model, history):
    x, share, T = history
    early, late = alive(model, [max(x, 1)] * 2, [share * T, T], [T, T])
    assert early <= late + 1e-12


def test_who_never_came_again_cannot_have_left():
    assert alive(PUBLISHED, [0, 0], [0, 0], [1, 400]).tolist() == [1, 1]


def test_a_history_that_cannot_be_is_an_error():
    with pytest.raises(ValueError, match="1 histories are impossible"):
        fit_bg_nbd([1, 1], [3, 9], [5, 5])
    with pytest.raises(ValueError, match="came again"):
        fit_gamma_gamma([0], [10.0])


def test_value_is_less_the_more_it_is_discounted_and_more_the_longer_the_horizon():
    money = GammaGamma(6.25, 3.74, 15.44)

    def worth(horizon, discount):
        return customer_lifetime_value(PUBLISHED, money, [2], [30.43], [38.86], [35.0], horizon, discount)[0]

    assert worth(52, 0.01) < worth(52, 0.0) < worth(104, 0.0)
    by_hand = expected_purchases(PUBLISHED, 52, [2], [30.43], [38.86])[0] * expected_value(money, [2], [35.0])[0]
    assert worth(52, 0.0) == pytest.approx(by_hand)


# --- from purchases --------------------------------------------------------------------------------------------------


def lines(*rows):
    """(customer, days after the start, rupiah[, kind])"""
    table = pa.table(
        {
            "line_id": [f"l{k}" for k in range(len(rows))],
            "order_id": [f"o{k}" for k in range(len(rows))],
            "customer_id": [row[0] for row in rows],
            "item_id": ["kopi"] * len(rows),
            "occurred_at": [START + timedelta(days=row[1]) for row in rows],
            "kind": [row[3] if len(row) > 3 else "purchase" for row in rows],
            "quantity": [1] * len(rows),
            "amount": [row[2] for row in rows],
        }
    )
    return conform(table, PURCHASES)


def test_a_summary_counts_days_from_the_first_and_the_value_of_repeats():
    bought = lines(("b", 0, 100), ("a", 3, 50), ("b", 7, 40), ("b", 7.2, 20), ("b", 14, 20), ("a", 99, 1))
    found = summarise(bought, START + timedelta(days=21)).to_pylist()
    assert [row["customer_id"] for row in found] == ["a", "b"]
    assert found[1] == {"customer_id": "b", "frequency": 2.0, "recency": 2.0, "age": 3.0, "value": 40.0}
    assert (found[0]["frequency"], found[0]["recency"], found[0]["value"]) == (0.0, 0.0, 0.0)


def test_what_was_taken_back_was_not_bought():
    bought = lines(("a", 0, 100), ("a", 7, 40), ("a", 9, 40, "return"))
    assert summarise(bought, START + timedelta(days=21))["frequency"].to_pylist() == [0.0]
    assert summarise(bought, START + timedelta(days=8))["frequency"].to_pylist() == [1.0]


def test_the_sample_s_purchases_give_the_published_parameters():
    """CDNOW's own lines, twenty years later, until the end of September."""
    raw = pd.read_csv(CDNOW / "CDNOW_sample.txt", sep=r"\s+", header=None, dtype={1: str, 2: str})
    day = (pd.to_datetime(raw[2], format="%Y%m%d") - pd.Timestamp("1997-01-01")).dt.days
    cents = (raw[4] * 100).round().astype(int)
    known = summarise(lines(*zip(raw[1], day, cents, strict=True)), START + timedelta(days=273))
    assert known.num_rows == 2357
    found = fit_bg_nbd(*(known[name].to_numpy() for name in ("frequency", "recency", "age")))
    assert [found.r, found.alpha, found.a, found.b] == pytest.approx([0.243, 4.414, 0.793, 2.426], rel=0.03)


def shop(customers, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(customers):
        at, rate = rng.uniform(0, 200), rng.gamma(1.5, 1 / 30)
        while at < 360:
            rows.append((f"c{k:04d}", float(at), int(rng.gamma(4, 10_000)) + 1))
            at += 1 + rng.exponential(1 / rate)
            if rng.random() < 0.1:
                break
    return lines(*rows)


def test_lifetime_values_are_rupiah_of_everybody_who_bought():
    bought = shop(400, 1)
    as_of = START + timedelta(days=365)
    found = lifetime_values(bought, as_of, horizon_days=180)
    assert found["customer_id"].to_pylist() == sorted(set(bought["customer_id"].to_pylist()))
    orders, there, worth = (found[name].to_numpy() for name in ("expected_orders", "alive", "lifetime_value"))
    assert ((there >= 0) & (there <= 1) & (orders >= 0) & (worth >= 0)).all()
    assert worth.dtype == np.int64
    assert lifetime_values(bought, as_of, horizon_days=180).equals(found)
    assert (lifetime_values(bought, as_of, horizon_days=360)["lifetime_value"].to_numpy() >= worth).all()


def test_what_comes_later_changes_no_lifetime_value():
    bought, as_of = shop(200, 2), START + timedelta(days=300)
    before = bought.filter(pa.compute.less(bought["occurred_at"], pa.scalar(as_of, bought["occurred_at"].type)))
    assert lifetime_values(bought, as_of).equals(lifetime_values(before, as_of))


def test_too_few_who_came_again_is_an_error_that_says_how_many():
    with pytest.raises(InputError, match=r"purchases: 1 customers bought on a second day .*at least 20"):
        lifetime_values(lines(("a", 0, 10), ("a", 9, 10), ("b", 1, 10)), START + timedelta(days=50))
