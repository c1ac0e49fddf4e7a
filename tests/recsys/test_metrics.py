import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from recsys import metrics

PER_CUSTOMER = [metrics.ndcg, metrics.recall, metrics.hit_rate, metrics.mrr]


@st.composite
def lists(draw):
    """(ranked, relevant, k) with padded, short and empty lists."""
    customers, items = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    length, k = draw(st.integers(1, items)), draw(st.integers(1, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ranked = np.argsort(rng.random((customers, items)), axis=1)[:, :length]
    for row, filled in enumerate(rng.integers(0, length + 1, customers)):
        ranked[row, filled:] = -1
    relevant = draw(hnp.arrays(np.float32, (customers, items), elements=st.sampled_from([0, 1])))
    return ranked, csr_matrix(relevant), k


def by_hand(ranked, relevant, k):
    """The four metrics, place by place, as their definitions read."""
    rows = []
    for items, wanted in zip(ranked, relevant.toarray(), strict=True):
        wanted = set(np.flatnonzero(wanted))
        found = [place for place, item in enumerate(items[:k], start=1) if item in wanted]
        ideal = sum(1 / np.log2(place + 1) for place in range(1, min(k, len(wanted)) + 1))
        gained = sum(1 / np.log2(place + 1) for place in found)
        rows.append(
            [gained / ideal, len(found) / len(wanted), float(bool(found)), 1 / found[0] if found else 0.0]
            if wanted
            else [np.nan] * 4
        )
    return np.array(rows).T


def test_docstring_examples_hold():
    assert doctest.testmod(metrics).failed == 0


@given(lists())
def test_metrics_agree_with_their_definitions(case):
    ranked, relevant, k = case
    expected = by_hand(ranked, relevant, k)
    for metric, values in zip(PER_CUSTOMER, expected, strict=True):
        np.testing.assert_allclose(metric(ranked, relevant, k), values, err_msg=metric.__name__)


@given(lists())
def test_metrics_stay_between_zero_and_one_or_are_absent(case):
    ranked, relevant, k = case
    nothing = np.diff(relevant.indptr) == 0
    for metric in PER_CUSTOMER:
        values = metric(ranked, csr_matrix(relevant.toarray()), k)
        assert np.array_equal(np.isnan(values), ~relevant.toarray().any(axis=1)), nothing
        assert np.all((values[~np.isnan(values)] >= 0) & (values[~np.isnan(values)] <= 1))


@pytest.mark.parametrize("metric", PER_CUSTOMER)
def test_a_perfect_list_has_the_value_one(metric):
    relevant = csr_matrix([[1, 1, 0, 0], [0, 0, 0, 1]])
    assert metric(np.array([[0, 1, 2], [3, 0, 1]]), relevant, k=3).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("metric", PER_CUSTOMER)
def test_an_empty_place_is_never_a_hit_even_beside_the_last_item(metric):
    relevant = csr_matrix([[0, 0, 1], [0, 0, 1]])
    assert metric(np.array([[-1, -1], [-1, -1]]), relevant, k=2).tolist() == [0.0, 0.0]


def test_a_stored_zero_is_not_relevant():
    relevant = csr_matrix((np.array([0.0, 1.0]), ([0, 0], [0, 1])), shape=(1, 3))
    assert metrics.recall(np.array([[0, 1]]), relevant, k=2).tolist() == [1.0]


def test_a_hit_further_down_earns_less_ndcg_and_the_same_recall():
    relevant = csr_matrix([[1, 0, 0]] * 2)
    ranked = np.array([[0, 1, 2], [1, 2, 0]])
    high, low = metrics.ndcg(ranked, relevant, k=3)
    assert high > low
    assert metrics.recall(ranked, relevant, k=3).tolist() == [1.0, 1.0]


def test_rare_items_are_more_novel_than_common_ones():
    buyers = np.array([90, 3, 0])
    common, rare, unseen, nothing = metrics.novelty(np.array([[0], [1], [2], [-1]]), buyers, customers=100, k=1)
    assert nothing == 0 < common < rare < unseen


def test_coverage_counts_each_item_once_and_only_in_the_first_k_places():
    ranked = np.array([[0, 1, 2], [0, 1, 3], [-1, -1, -1]])
    assert metrics.coverage(ranked, items=8, k=2)[0] == 2 / 8
    assert metrics.coverage(ranked, items=8, k=3)[0] == 4 / 8


def test_coverage_has_no_error_where_every_customer_sees_the_same():
    assert metrics.coverage(np.tile([[4, 2]], (50, 1)), items=10, k=2) == (0.2, 0.0)


def test_coverage_of_nothing_is_nothing():
    assert metrics.coverage(np.zeros((0, 3), int), items=5, k=3) == (0.0, 0.0)


def test_the_interval_is_about_as_wide_as_theory_says():
    values = np.random.default_rng(5).normal(10, 2, size=(400, 1))
    low, high = metrics.interval(values, seed=1)
    assert low[0] < values.mean() < high[0]
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_columns_are_resampled_together_so_equal_columns_have_equal_intervals():
    values = np.random.default_rng(5).random(200)
    low, high = metrics.interval(np.column_stack([values, values + 1]), seed=1)
    np.testing.assert_allclose(low[1] - low[0], 1)
    np.testing.assert_allclose(high[1] - high[0], 1)


def test_the_interval_depends_on_the_seed_alone():
    values = np.random.default_rng(5).random((30, 1))
    assert metrics.interval(values, seed=1) == metrics.interval(values, seed=1)
    assert metrics.interval(values, seed=1) != metrics.interval(values, seed=2)


def test_drawing_in_several_rounds_covers_all_draws():
    values = np.random.default_rng(5).random((5000, 1))  # more than one round
    low, high = metrics.interval(values, seed=1)
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(5000), rel=0.15)


def test_nobody_has_no_interval():
    low, high = metrics.interval(np.zeros((0, 2)), seed=1)
    assert np.isnan(low).all()
    assert np.isnan(high).all()
