"""The bound by cutting planes, where it is made of a few flat pieces: when many customers are alike, steps along the
subgradient jump from one to the next and never settle.

Each evaluation is a plane below the bound's surface. The lowest point of all planes so far, within a box around the
best prices, is evaluated next (Kelley, 1960; Marsten, Hogan and Blankenship, 1975). A linear programme of a few prices.
Its own prices say which planes meet there, and at which shares: where customers are alike, such a share of them has to
be served at the prices of each (Dantzig and Wolfe, 1960).
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import linprog

from campaigns.allocation.dual import Bound, evaluate
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import Floats

MOST_LIMITS = 120
ROUNDS = 200
SETTLED = 1e-8  # of the bound
LEAST_SHARE = 1e-6
BOX = 0.1  # in units of prices' typical sizes


def sharpened(problem: Prepared, bound: Bound, rounds: int = ROUNDS) -> Bound:
    """A lower bound near these prices, if `rounds` evaluations find one."""
    free = np.flatnonzero(np.isfinite(problem.limit) & (problem.limit > 0))
    if not 0 < len(free) <= MOST_LIMITS or not bound.bound:
        return bound
    unit, scale = abs(bound.bound), problem.scale[free]
    with np.errstate(over="ignore"):
        ceiling = np.minimum(problem.highest[free] / scale, 1e9)
    best, box, point = bound, BOX, np.minimum(bound.vector[free] / scale, ceiling)
    planes, heights, centre = [], [], point
    vectors: list[Floats] = []
    shares = np.zeros(0)
    for done in range(1, rounds + 1):
        vector = best.vector.copy()
        vector[free] = point * scale
        found = evaluate(problem, vector)
        slope = (problem.sign * (problem.limit - found.use))[free] * scale / unit
        planes.append(slope)
        vectors.append(vector)
        heights.append(found.bound / unit - float(slope @ point))
        if found.bound < best.bound:
            gained = (best.bound - found.bound) / unit
            best, centre = Bound(found.bound, vector, bound.passes + done), point
            box *= 2 if gained > SETTLED else 1
        elif done > 1:
            box /= 1.5
        low, high = np.maximum(0.0, centre - box), np.minimum(ceiling, centre + box)
        lowest = linprog(
            np.append(np.zeros(len(free)), 1.0),
            np.column_stack([np.array(planes), -np.ones(len(planes))]),
            -np.array(heights),
            bounds=[*zip(low, high, strict=True), (None, None)],
            method="highs",
        )
        if lowest.status != 0:
            break
        point, shares = np.clip(lowest.x[:-1], low, high), -lowest.ineqlin.marginals
        if best.bound / unit - lowest.fun <= SETTLED:
            inside = ((point > low) | (low == 0)) & ((point < high) | (high == ceiling))
            if inside.all():
                break
            box *= 4
    blend = tuple((vectors[t], float(shares[t])) for t in np.flatnonzero(shares > LEAST_SHARE))
    return replace(best, passes=bound.passes + done, blend=blend)
