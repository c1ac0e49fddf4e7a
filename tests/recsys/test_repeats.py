"""The probability that a customer buys again what they bought before."""

import numpy as np
import pytest

from recsys import repeats
from recsys.cells import Cells, bought_after, days_before
from recsys.repeats import cell_features, own, repeat_probabilities, windows_behind


def cells_from(customer, item, age, shape):
    by = np.lexsort((-age, item, customer))
    customer, item, age = customer[by], item[by], age[by]
    return Cells(shape, customer, item, age, customer, age, float(age.max(initial=0.0)))


def rhythms(seed, customers=400, items=12, days=360.0, shift=0.0):
    """Each customer buys each item at a steady pace of their own for it, a tenth of them fast, the rest seldom."""
    random = np.random.default_rng(seed)
    pace = np.where(random.random((customers, items)) < 0.1, 7.0, 120.0)
    who, what, age = [], [], []
    for (u, i), gap in np.ndenumerate(pace):
        at = np.arange(random.uniform(0, gap), days + shift, gap)
        at = days + shift - at - shift
        at = at[at > 0]
        who += [u] * len(at)
        what += [i] * len(at)
        age += at.tolist()
    return cells_from(np.array(who), np.array(what), np.array(age), (customers, items)), pace


def test_what_is_bought_weekly_is_likelier_than_what_is_bought_thrice_a_year_and_the_sum_is_right():
    cells, pace = rhythms(1)
    chance = repeat_probabilities(cells, 28.0, [], seed=1, threads=1)
    fast = pace[cells.customer, cells.item] == 7.0
    assert chance[fast].min() > chance[~fast].mean()
    assert chance[fast].mean() > 0.95
    assert chance[~fast].mean() == pytest.approx(28 / 120, abs=0.06)


def test_few_cells_bought_again_are_learned_from_by_decay_alone(monkeypatch):
    cells, pace = rhythms(1, customers=60)
    monkeypatch.setattr(repeats, "LEAST_AGAIN", 10**9)
    monkeypatch.setattr(repeats.lgb, "train", None)
    chance = repeat_probabilities(cells, 28.0, [], seed=1)
    fast = pace[cells.customer, cells.item] == 7.0
    assert chance[fast].mean() > 2 * chance[~fast].mean()
    assert ((chance > 0) & (chance < 1)).all()


def test_a_history_of_a_few_days_still_gives_probabilities():
    cells = cells_from(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.5, 0.2, 0.1]), (2, 2))
    chance = repeat_probabilities(cells, 28.0, [])
    assert chance.shape == (3,)
    assert ((chance > 0) & (chance < 1)).all()


def test_windows_leave_a_window_of_history_before_them():
    assert windows_behind(365, 28, 6) == [(28 * k, 28) for k in range(1, 7)]
    assert windows_behind(84, 28, 6) == [(28, 28), (56, 28)]
    assert windows_behind(20, 28, 6) == [(10, 10)]


def test_features_say_what_they_are_named_for_and_the_future_is_in_none():
    customer, item = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1])
    cells = cells_from(customer, item, np.array([70.0, 40.0, 10.0, 100.0]), (2, 2))
    features = cell_features(cells, 28.0, [np.array([0, 0])])
    assert features[0, 4:8].tolist() == [3, 10, 60, 30]  # orders, last, span, gap
    assert features[0, 8] == pytest.approx(1 / 3)  # last against gap
    assert np.isnan(features[1, 7])
    then = days_before(cells, 20)
    assert cell_features(then, 28.0, [np.array([0, 0])])[0, 4:7].tolist() == [2, 20, 30]


def test_own_marks_the_cells_that_were_bought():
    cells = cells_from(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([50.0, 50.0, 50.0, 5.0]), (2, 2))
    then = days_before(cells, 20)
    assert own(then, bought_after(cells, 20, 20)).tolist() == [False, False, False]
    again = cells_from(np.array([0, 0, 1]), np.array([0, 0, 0]), np.array([50.0, 5.0, 50.0]), (2, 2))
    assert own(days_before(again, 20), bought_after(again, 20, 20)).tolist() == [True, False]
