"""How likely a customer is to buy within a scope during the window, from what people with such a score did before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

BINS = 10
PRIOR = 20.0  # customers: a bin's rate is drawn to the scope's base rate as if it held so many more of them


@dataclass(frozen=True, eq=False)
class DecileRates:
    """For each scope, the rate of purchase by decile of the positive scores, and of the scores that are not positive.

    edges: float32 [scopes × 11]; decile b = 0 … 9 holds the scores in (edges[b], edges[b + 1]], all positive. Scores of
        0 and below, which most customers have in a narrow scope, are a bin of their own beneath the deciles.
    rates: float64 [scopes × 11]; first that of scores not positive, then those of the deciles; never falling.
    base: float64 [scopes]; the rate over all customers.
    """

    edges: NDArray[np.float32]
    rates: NDArray[np.float64]
    base: NDArray[np.float64]

    def apply(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """p0 [customers × scopes] for scores [customers × scopes]; beyond the fitted scores, the outermost rate."""
        p0 = np.empty(scores.shape, np.float32)
        for scope, (edges, rates) in enumerate(zip(self.edges, self.rates, strict=True)):
            p0[:, scope] = rates[_bins(scores[:, scope], edges)]
        return p0


def fit_decile_rates(scores: NDArray[np.floating], bought: NDArray[np.bool_]) -> DecileRates:
    """Rates from scores known before a window and what was bought in it, both [customers × scopes].

    With n customers in a bin, b of whom bought, and base rate r = (buyers + ½) / (customers + 1):
        rate = (b + 20·r) / (n + 20),
    then the nearest sequence that never falls with the score (isotonic least squares, weight n + 20). So a scope that
    nobody bought has a small rate and not 0, and a bin that no customer fell in has its neighbours'.
    Raises ValueError if there are no customers, or a score is not finite.

    >>> rates = fit_decile_rates(np.array([[0.0], [0.0], [1.0], [2.0]]), np.array([[False], [False], [False], [True]]))
    >>> rates.base.tolist()
    [0.3]
    >>> rates.apply(np.array([[0.0], [2.0], [99.0]])).astype(float).round(3).tolist()
    [[0.273], [0.333], [0.333]]
    """
    customers, scopes = scores.shape
    if customers == 0:
        raise ValueError("no customers to take rates of purchase from")
    if not np.isfinite(scores).all():
        raise ValueError("scores are not finite, so no rates of purchase can be taken from them")
    edges = np.zeros((scopes, BINS + 1), np.float32)
    rates = np.zeros((scopes, BINS + 1))
    base = (bought.sum(axis=0) + 0.5) / (customers + 1)
    for scope in range(scopes):
        column = scores[:, scope].astype(np.float32)
        positive = column[column > 0]
        if len(positive):
            edges[scope, 1:] = np.quantile(positive, np.arange(1, BINS + 1) / BINS, method="inverted_cdf")
        bins = _bins(column, edges[scope])
        people = np.bincount(bins, minlength=BINS + 1)
        buyers = np.bincount(bins, weights=bought[:, scope], minlength=BINS + 1)
        smoothed = (buyers + PRIOR * base[scope]) / (people + PRIOR)
        rates[scope] = _rising(smoothed, people)
    return DecileRates(edges, rates, base)


def _bins(scores: NDArray[np.floating], edges: NDArray[np.float32]) -> NDArray[np.intp]:
    """0 for scores not positive, 1 + decile for the others."""
    bins = np.minimum(np.searchsorted(edges[1:], scores.astype(np.float32), side="left") + 1, BINS)
    return np.where(scores > 0, bins, 0)


def _rising(rates: NDArray[np.float64], people: NDArray[np.integer]) -> NDArray[np.float64]:
    """The nearest sequence that never falls; an empty bin follows the filled one below it, or else above it."""
    filled = np.flatnonzero(people)
    values = isotonic_regression(rates[filled], weights=people[filled] + PRIOR).x
    below = np.searchsorted(filled, np.arange(len(rates)), side="right") - 1
    return values[np.maximum(below, 0)]
