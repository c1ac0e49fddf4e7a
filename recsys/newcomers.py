"""What people without a history may like: what is popular, more or less so with customers of their own kind.

Customers fall into the groups of an attribute (tiers, cities, age bands). A group's buyers of an item are compared with
those expected if the group bought as all do, and the ratio is drawn to 1 as far as groups hardly differ in general or
the item has few buyers: empirical Bayes, gamma and Poisson. Ratios of several attributes multiply.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

MOST_CERTAIN = 1000.0  # ratios then vary by 3%, which is noise
LEAST_CUSTOMERS = 20  # of a group; smaller ones say nothing, and nobody is told what so few people buy


@dataclass(frozen=True, eq=False)
class Leanings:
    """What the groups of one attribute buy more or less than all.

    buyers: CSR [groups × items], customers who bought. expected: float64 [items], the share of all who bought.
    size: float64 [groups], how many average customers a group's purchases are worth; 0 of one too small.
    certainty: how many expected buyers the ratio 1 weighs as much as; inf where groups do not differ.
    """

    buyers: csr_matrix
    expected: Floats
    size: Floats
    certainty: float

    @property
    def tell(self) -> bool:
        """Whether knowing the group says anything."""
        return bool(np.isfinite(self.certainty))

    def ratio(self, group: int) -> Floats:
        """Of each item, how much likelier the group buys it than all do; 1 for group -1 (not known)."""
        if group < 0 or not self.size[group] or not self.tell:
            return np.ones(len(self.expected))
        buyers = self.buyers[[group]].toarray()[0]
        return (buyers + self.certainty) / (self.expected * self.size[group] + self.certainty)


def fit_leanings(matrix: csr_matrix, group: NDArray[np.integer], groups: int) -> Leanings:
    """matrix: [customers × items], non-zero where bought; group: each customer's, -1 where it is not known.

    If ratios vary with variance 1/c about 1, the buyers b of group and item, m of them expected, vary about m by
    m²/c + m·(1 − share of the group)(1 − share of the item); c is found by setting the sums of both sides equal.
    """
    bought = csr_matrix(matrix != 0, dtype=np.float64)
    people = bought.shape[0]
    known = np.flatnonzero(group >= 0)
    member = csr_matrix((np.ones(len(known)), (group[known], known)), shape=(groups, people))
    buyers = csr_matrix(member @ bought)
    expected = np.asarray(bought.sum(axis=0)).ravel() / max(people, 1)
    size = np.asarray(buyers.sum(axis=1)).ravel() / max(expected.sum(), np.finfo(np.float64).tiny)
    size[np.bincount(group[known], minlength=groups) < LEAST_CUSTOMERS] = 0
    beyond = square = 0.0
    for number in np.flatnonzero(size):
        mean = expected * size[number]
        chance = mean * (1 - min(size[number] / max(people, 1), 1)) * (1 - expected)
        beyond += float((np.square(buyers[[number]].toarray()[0] - mean) - chance).sum())
        square += float(np.square(mean).sum())
    certainty = square / beyond if beyond > 0 else np.inf
    return Leanings(buyers, expected, size, certainty if certainty < MOST_CERTAIN else np.inf)
