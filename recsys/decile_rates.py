"""How likely a customer is to buy within a scope during the window, from what people with such a score did before.

Repeat and discovery are different: among customers who have bought in the scope and among those who never have, a score
means different things, so each group has rates of its own. Between deciles the rate runs straight: a few vouchers go
to the top of the top decile, and steps would leave to chance who that is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

BINS = 10
PRIOR = 10.0  # customers: a rate is drawn to that of the larger group as if it held so many more of them


@dataclass(frozen=True, eq=False)
class DecileRates:
    """For each scope, the rate of purchase by decile of the score: [:, 0] of newcomers to it, [:, 1] of its buyers.

    centres: float64 [scopes × 2 × 10]; the mean score of each decile, not falling; a decile without people, because
        many have one score, repeats the one below it.
    rates: float64 [scopes × 2 × 10]; never falling with the score.
    base: float64 [scopes]; the rate over all customers.
    """

    centres: NDArray[np.float64]
    rates: NDArray[np.float64]
    base: NDArray[np.float64]

    def apply(self, scores: NDArray[np.floating], before: NDArray[np.bool_]) -> NDArray[np.float32]:
        """p0 for scores and for who bought in the scope before, all [customers × scopes].

        At a decile's mean score it is the decile's rate, between two in proportion, beyond them the outermost rate.
        """
        p0 = np.empty(scores.shape, np.float32)
        for scope, group in np.ndindex(scores.shape[1], 2):
            people = before[:, scope] == bool(group)
            p0[people, scope] = np.interp(scores[people, scope], self.centres[scope, group], self.rates[scope, group])
        return p0


def fit_decile_rates(scores: NDArray[np.floating], before: NDArray[np.bool_], bought: NDArray[np.bool_]) -> DecileRates:
    """Rates from what was known before a window and what was bought in it, all [customers × scopes].

    scores: the model's, of the scope; before: had bought in the scope by then. With n customers in a decile, b of whom
    bought, and r the rate of their group, itself drawn to the scope's base rate (buyers + ½) / (customers + 1) alike:
        rate = (b + 10·r) / (n + 10),
    then the nearest sequence that never falls with the score (isotonic least squares, weight n + 10). So a scope that
    nobody bought has a small rate and not 0, and a group that nobody was in has the base rate.
    Raises ValueError if there are no customers, or a score is not finite.

    >>> scores, before = np.array([[0.1], [0.2], [1.0], [2.0]]), np.array([[False], [False], [True], [True]])
    >>> rates = fit_decile_rates(scores, before, bought=np.array([[False], [False], [False], [True]]))
    >>> rates.base.tolist()
    [0.3]
    >>> rates.apply(np.array([[0.1], [99.0]]), np.array([[False], [True]])).astype(float).round(3).tolist()
    [[0.227], [0.394]]
    """
    customers, scopes = scores.shape
    if customers == 0:
        raise ValueError("no customers to take rates of purchase from")
    if not np.isfinite(scores).all():
        raise ValueError("scores are not finite, so no rates of purchase can be taken from them")
    base = (bought.sum(axis=0) + 0.5) / (customers + 1)
    centres = np.zeros((scopes, 2, BINS))
    rates = np.empty((scopes, 2, BINS))
    for scope, group in np.ndindex(scopes, 2):
        members = before[:, scope] == bool(group)
        found = scores[members, scope].astype(np.float64)
        if not len(found):
            rates[scope, group] = base[scope]
            continue
        edges = np.quantile(found, np.arange(1, BINS) / BINS, method="inverted_cdf")
        bins = np.searchsorted(edges, found, side="left")
        people, total, buyers = (
            np.bincount(bins, weights=weights, minlength=BINS) for weights in (None, found, bought[members, scope])
        )
        of_group = (buyers.sum() + PRIOR * base[scope]) / (len(found) + PRIOR)
        filled = np.flatnonzero(people)  # the lowest decile always is
        smoothed = (buyers[filled] + PRIOR * of_group) / (people[filled] + PRIOR)
        rising = isotonic_regression(smoothed, weights=people[filled] + PRIOR).x
        nearest = np.searchsorted(filled, np.arange(BINS), side="right") - 1
        centres[scope, group] = (total[filled] / people[filled])[nearest]
        rates[scope, group] = rising[nearest]
    return DecileRates(centres, rates, base)
