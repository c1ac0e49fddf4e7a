"""Ranking metrics as pure functions: one value per customer, so that means, intervals and paired differences follow.

All take `ranked`, int [customers × length]: item row numbers, best first, no item twice in a row of the array; -1 marks
a place left empty. `relevant` is a CSR matrix [customers × items] whose stored non-zero cells are the items that count.
`k` looks at the first k places; a list shorter than k is taken as padded with empty places.
A customer with nothing relevant has no value: NaN, which `numpy.nanmean` leaves out.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]


def hits(ranked: NDArray[np.integer], relevant: csr_matrix) -> NDArray[np.bool_]:
    """Which places hold a relevant item, bool [customers × length].

    >>> hits(np.array([[2, 0, -1]]), csr_matrix([[0, 1, 1]])).tolist()
    [[True, False, False]]
    """
    rows, items = relevant.nonzero()
    width = relevant.shape[1] + 1  # the empty place, -1, gets a cell of its own that is never relevant
    cells = rows.astype(np.int64) * width + items
    places = np.arange(ranked.shape[0], dtype=np.int64)[:, None] * width + np.where(ranked < 0, width - 1, ranked)
    return np.asarray(np.isin(places, cells))


def ndcg(ranked: NDArray[np.integer], relevant: csr_matrix, k: int) -> Floats:
    """Σ 1/log2(place + 1) over the relevant among the first k places, divided by the same sum of an ideal list.

    The ideal list has min(k, number of relevant items) relevant items at its head, so 1 can always be reached.

    One of two relevant items, in the second place of three: (1/log2 3) / (1/log2 2 + 1/log2 3).

    >>> ndcg(np.array([[5, 1, 2]]), csr_matrix([[0, 1, 0, 1, 0, 0]]), k=3).round(4).tolist()
    [0.3869]
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    found = hits(ranked[:, :k], relevant)
    gained = found @ discounts[: found.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    return _over(gained, ideal[np.minimum(_number_relevant(relevant), k)])


def recall(ranked: NDArray[np.integer], relevant: csr_matrix, k: int) -> Floats:
    """Share of all relevant items that stand in the first k places; the denominator is not cut off at k.

    >>> recall(np.array([[5, 1, 2]]), csr_matrix([[0, 1, 0, 1, 0, 0]]), k=3).tolist()
    [0.5]
    """
    return _over(hits(ranked[:, :k], relevant).sum(axis=1), _number_relevant(relevant))


def hit_rate(ranked: NDArray[np.integer], relevant: csr_matrix, k: int) -> Floats:
    """1 if any of the first k places holds a relevant item, else 0.

    >>> hit_rate(np.array([[5, 1, 2], [0, 2, 4]]), csr_matrix([[0, 1, 0], [0, 1, 0]]), k=3).tolist()
    [1.0, 0.0]
    """
    return _over(np.any(hits(ranked[:, :k], relevant), axis=1), np.minimum(_number_relevant(relevant), 1))


def mrr(ranked: NDArray[np.integer], relevant: csr_matrix, k: int) -> Floats:
    """1 / the first place, of the first k, that holds a relevant item; 0 if none does.

    >>> mrr(np.array([[5, 1, 2]]), csr_matrix([[0, 1, 1]]), k=3).tolist()
    [0.5]
    """
    found = hits(ranked[:, :k], relevant)
    first = np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1), 0.0)
    return _over(first, np.minimum(_number_relevant(relevant), 1))


def novelty(ranked: NDArray[np.integer], buyers: NDArray[np.integer], customers: int, k: int) -> Floats:
    """Mean of −log2(share of customers who bought the item) over the filled places among the first k, in bits.

    buyers [items] counts the customers who bought each; an item that nobody bought counts as bought by one.
    0 for a list with no item: it shows nothing new.

    >>> novelty(np.array([[0, 1]]), np.array([8, 2]), customers=8, k=2).tolist()
    [1.0]
    """
    top = ranked[:, :k]
    filled = top >= 0
    surprise = -np.log2(np.maximum(buyers, 1) / customers)
    return np.where(filled, surprise[top], 0.0).sum(axis=1) / np.maximum(filled.sum(axis=1), 1)


def coverage(ranked: NDArray[np.integer], items: int, k: int) -> tuple[float, float]:
    """Share of all items that stand in at least one customer's first k places, and its standard error.

    A number about all lists together, not per customer. Its error is by the jackknife, which leaves each customer out
    in turn and, for counts of distinct things, errs on the wide side (Efron and Stein 1981, Annals of Statistics 9);
    a bootstrap would be biased, as two in five customers are missing from each of its samples. No items: (0, 0).

    >>> share, error = coverage(np.array([[0, 1], [0, -1]]), items=4, k=2)
    >>> share, round(error, 4)
    (0.5, 0.125)
    """
    top = ranked[:, :k]
    rows, places = np.nonzero(top >= 0)
    shown = top[rows, places]
    customers = top.shape[0]
    if items == 0 or customers == 0:
        return 0.0, 0.0
    times = np.bincount(shown, minlength=items)
    alone = np.bincount(rows, weights=times[shown] == 1, minlength=customers)  # items lost without this customer
    error = np.sqrt((customers - 1) / customers * np.square(alone - alone.mean()).sum()) / items
    return float(np.count_nonzero(times) / items), float(error)


def interval(values: Floats, seed: int, draws: int = 1000) -> tuple[Floats, Floats]:
    """(low, high) [columns]: the 95% bootstrap interval of each column's mean over customers [customers × columns].

    All columns are drawn together. Each of `draws` samples takes as many customers with replacement, and the interval
    runs from the 2.5th to the 97.5th percentile of the samples' means. values must not hold NaN; no customers: NaN.

    >>> interval(np.array([[1.0], [1.0], [1.0]]), seed=1)
    (array([1.]), array([1.]))
    """
    customers = len(values)
    if customers == 0:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    rng = np.random.default_rng(seed)
    together = max(1, 4_000_000 // customers)  # samples drawn at a time, so that memory stays small
    means = []
    for first in range(0, draws, together):
        count = min(together, draws - first)
        drawn = rng.integers(customers, size=(count, customers)) + np.arange(count)[:, None] * customers
        times = np.bincount(drawn.ravel(), minlength=count * customers).reshape(count, customers)
        means.append(times @ values / customers)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    return low, high


def _number_relevant(relevant: csr_matrix) -> NDArray[np.integer]:
    return np.asarray((relevant != 0).sum(axis=1)).ravel()


def _over(numerator: NDArray, denominator: NDArray) -> Floats:
    """The quotient, NaN where the denominator is 0."""
    result = np.full(len(numerator), np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)
