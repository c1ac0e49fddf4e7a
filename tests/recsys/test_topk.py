import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys import topk
from recsys.topk import arranged, top, top_in_scopes


def world(seed, customers=40, items=700, f=6, whole=False):
    """Factors, item factors, biases, a history and everybody's row of it; whole numbers give equal scores."""
    random = np.random.default_rng(seed)
    U, V = (
        random.standard_normal((customers, f)),
        random.standard_normal((items, f)) * random.lognormal(0, 1, (items, 1)),
    )
    bias = random.standard_normal(items)
    cells = random.random((customers, items)) < 0.02
    weights = np.where(cells, random.integers(0, 9, cells.shape), 0).astype(np.float32)
    history = csr_matrix((weights[cells], np.nonzero(cells)), shape=cells.shape)  # keeps cells of weight 0
    rows = random.permutation(customers)
    rows[0] = -1
    U, V, bias = (np.round(part).astype(np.float32) if whole else part.astype(np.float32) for part in (U, V, bias))
    return U, V, bias, history, rows


def all_scores(U, V, bias, history, rows, exclude):
    scores = U @ V.T + bias
    for k, row in enumerate(rows):
        if row >= 0:
            span = slice(history.indptr[row], history.indptr[row + 1])
            scores[k, history.indices[span]] += -np.inf if exclude else history.data[span]
    return scores


def best(scores, n):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    found = np.take_along_axis(scores, order, axis=1)
    return np.where(found > -np.inf, order, -1), found


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 1500), st.integers(0, 9), st.integers(1, 30), st.booleans(), st.booleans())
def test_the_best_are_those_of_all_scores_in_the_order_of_item_numbers(seed, items, f, n, exclude, whole):
    U, V, bias, history, rows = world(seed, 5, items, f, whole)
    found, scores = top(arranged(V, bias), U, n, history=history, rows=rows, exclude=exclude)
    expected, theirs = best(all_scores(U, V, bias, history, rows, exclude), n)
    some = expected.shape[1]
    np.testing.assert_allclose(scores[:, :some], theirs, rtol=1e-4, atol=1e-4)
    assert (found[:, some:] == -1).all()
    assert (scores[:, some:] == -np.inf).all()
    if whole:  # sums of whole numbers are exact, so that ties are
        np.testing.assert_array_equal(found[:, :some], expected)


def test_only_chosen_columns_come():
    U, V, bias, history, rows = world(1)
    columns = np.array([3, 4, 90, 500, 699])
    found, _ = top(arranged(V, bias, columns), U, 9, history=history, rows=rows)
    expected = np.argsort(-all_scores(U, V, bias, history, rows, False)[:, columns], axis=1, kind="stable")
    np.testing.assert_array_equal(found[:, :5], columns[expected])
    assert (found[:, 5:] == -1).all()


@pytest.mark.parametrize("columns", [None, np.arange(0, 700, 3)], ids=["all items", "some items"])
@pytest.mark.parametrize("exclude", [False, True], ids=["with what was bought", "without"])
def test_a_scope_has_the_best_of_its_own_items(columns, exclude):
    U, V, bias, history, rows = world(2, whole=True)
    inside = np.random.default_rng(3).random((700, 6)) < [0.1, 0.5, 0, 0.003, 1, 0.02]
    found, scores = top_in_scopes(
        arranged(V, bias, columns), U, csr_matrix(inside), 4, history=history, rows=rows, exclude=exclude
    )
    for scope in range(6):
        items = np.flatnonzero(inside[:, scope])
        items = items if columns is None else np.intersect1d(items, columns)
        alone = top(arranged(V, bias, items), U, 4, history=history, rows=rows, exclude=exclude)
        np.testing.assert_array_equal(found[:, scope], alone[0])
        np.testing.assert_array_equal(scores[:, scope], alone[1])


def test_an_explicit_zero_is_in_no_scope():
    U, V, bias, _, _ = world(4)
    scopes = csr_matrix((np.array([0.0, 1.0]), ([2, 6], [0, 0])), shape=(700, 1))
    assert (top_in_scopes(arranged(V, bias), U, scopes, 2)[0][:, 0] == [6, -1]).all()


def test_neither_threads_nor_company_nor_the_order_of_trying_change_a_bit(monkeypatch):
    U, V, bias, history, rows = world(5, customers=300)
    inside = csr_matrix(np.random.default_rng(6).random((700, 5)) < 0.3)
    shelf = arranged(V, bias)
    whole = top(shelf, U, 7, history=history, rows=rows, threads=1)
    scopes = top_in_scopes(shelf, U, inside, 7, history=history, rows=rows, threads=1)
    monkeypatch.setattr(topk, "TASK", 96)
    for other in (
        top(shelf, U, 7, history=history, rows=rows, threads=3),
        top(arranged(V, bias, reach=50.0), U, 7, history=history, rows=rows),
    ):
        for one, two in zip(whole, other, strict=True):
            np.testing.assert_array_equal(one, two)
    for one, two in zip(scopes, top_in_scopes(shelf, U, inside, 7, history=history, rows=rows), strict=True):
        np.testing.assert_array_equal(one, two)
    alone = top(shelf, U[[17]], 7, history=history, rows=rows[[17]])
    assert alone[0][0].tolist() == whole[0][17].tolist()
    assert alone[1][0].tolist() == whole[1][17].tolist()


def test_zero_and_minus_zero_are_equal():
    V = np.array([[0.0], [1.0], [-1.0], [0.0]], np.float32)
    bias = np.zeros(4, np.float32)
    found, scores = top(arranged(V, bias), np.array([[-0.0], [0.0]], np.float32), 3)
    assert found.tolist() == [[0, 1, 2]] * 2
    assert (scores == 0).all()
    assert top_in_scopes(arranged(V, bias), np.array([[-0.0]], np.float32), csr_matrix(np.ones((4, 1))), 3)[
        0
    ].tolist() == [[[0, 1, 2]]]


def test_nobody_and_nothing_give_empty_lists():
    U, V, bias, _, _ = world(7)
    shelf = arranged(V, bias)
    assert top(shelf, U[:0], 3)[0].shape == (0, 3)
    assert (top(arranged(V, bias, np.zeros(0, int)), U, 3)[0] == -1).all()
    assert top_in_scopes(shelf, U, csr_matrix((700, 0)), 3)[0].shape == (40, 0, 3)
    assert (top_in_scopes(shelf, U, csr_matrix((700, 2)), 3)[0] == -1).all()
