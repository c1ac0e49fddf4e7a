"""Ridge logistic regression towards a prior, with signs that are known beforehand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Logistic:
    """log odds = intercept + features · weights."""

    intercept: float
    weights: Floats


def fit_logistic(
    features: NDArray[np.floating],
    happened: NDArray[np.bool_],
    *,
    prior: Floats,
    nonnegative: NDArray[np.bool_],
    strength: float = 10.0,
) -> Logistic:
    """The weights with the highest likelihood less strength/2 · Σ (standard deviation · (weight − prior))².

    So a feature is held to its prior until some tens of events speak against it, whatever its unit; the intercept is
    free. features: [rows × features]; nonnegative: which weights may not fall below 0. Where nothing, or everything,
    happened, the rate is drawn in by half an event; no rows give the prior, and an intercept of 0.
    """
    x = np.asarray(features, np.float64)
    if not len(x):
        return Logistic(0.0, prior.copy())
    mean, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    x = (x - mean) / spread
    y = happened.astype(np.float64)
    rate = (y.sum() + 0.5) / (len(y) + 1)
    centre = prior * spread

    def loss(parameters: Floats) -> tuple[float, Floats]:
        odds = parameters[0] + x @ parameters[1:]
        apart = parameters[1:] - centre
        value = np.logaddexp(0, odds).sum() - y @ odds + strength / 2 * apart @ apart
        slope = expit(odds) - y
        return value, np.append(slope.sum(), slope @ x + strength * apart)

    start = np.append(np.log(rate / (1 - rate)), np.where(nonnegative, np.maximum(centre, 0), centre))
    bounds = [(None, None), *((0 if sign else None, None) for sign in nonnegative)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}).x
    weights = found[1:] / spread
    return Logistic(float(found[0] - weights @ mean), weights)
