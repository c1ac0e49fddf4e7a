"""What people without a history may like: what is popular, more or less so with customers of their own kind.

Customers fall into the groups of an attribute (tiers, age bands, cities). A group's buyers of an item are compared with
those expected if the group bought as all do, and the ratio is drawn to 1 as far as groups hardly differ in general or
the item has few buyers: empirical Bayes, gamma and Poisson. Ratios of several attributes multiply; so that nothing
counts twice, each attribute is compared with what the ratios of those before it make one expect.
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
    """What the groups of one attribute buy more or less than expected.

    buyers: CSR [groups × items], customers who bought. expected: float64 [kinds × items], the share of each kind of
    customers (by the attributes before) who are expected to buy.
    size: float64 [groups × kinds], how many average customers of each kind a group's purchases are worth; 0 of a group
    that is too small.
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

    def known(self, group: int) -> bool:
        return group >= 0 and bool(self.size[group].any())

    def ratio(self, group: int) -> Floats:
        """Of each item, how much likelier the group buys it than expected; 1 for a group that is not known."""
        if not (self.tell and self.known(group)):
            return np.ones(self.expected.shape[1])
        return (self._bought(group) + self.certainty) / (self.size[group] @ self.expected + self.certainty)

    def _bought(self, group: int) -> Floats:
        return np.asarray(self.buyers[[group]].toarray()[0])


@dataclass(frozen=True, eq=False)
class Kinds:
    """Customers by the attributes so far. kind: int [customers]; ratios: float64 [kinds × items]."""

    kind: NDArray[np.int64]
    ratios: Floats


def everybody_alike(customers: int, items: int) -> Kinds:
    return Kinds(np.zeros(customers, np.int64), np.ones((1, items)))


def fit_leanings(matrix: csr_matrix, group: NDArray[np.integer], groups: int, kinds: Kinds) -> Leanings:
    """matrix: [customers × items], non-zero where bought; group: each customer's, -1 where it is not known.

    If ratios vary with variance 1/c about 1, the buyers b of group and item, m of them expected, vary about m by
    m²/c + m·(1 − share of the group)(1 − share of the item); c is found by setting the sums of both sides equal.
    """
    bought = csr_matrix(matrix != 0, dtype=np.float64)
    people = bought.shape[0]
    known = np.flatnonzero(group >= 0)
    member = csr_matrix((np.ones(len(known)), (group[known], known)), shape=(groups, people))
    share = np.asarray(bought.sum(axis=0)).ravel() / max(people, 1)
    expected = kinds.ratios * share
    size = np.zeros((groups, len(expected)))
    np.add.at(size, (group[known], kinds.kind[known]), 1.0)
    buyers = csr_matrix(member @ bought)
    size[size.sum(axis=1) < LEAST_CUSTOMERS] = 0
    total = size @ expected.sum(axis=1)
    busy = np.where(total > 0, np.asarray(buyers.sum(axis=1)).ravel() / np.where(total > 0, total, 1), 0)
    size *= busy[:, None]
    beyond = square = 0.0
    for number in np.flatnonzero(size.any(axis=1)):
        mean = size[number] @ expected
        chance = mean * (1 - min(size[number].sum() / max(people, 1), 1)) * (1 - share)
        beyond += float((np.square(buyers[[number]].toarray()[0] - mean) - chance).sum())
        square += float(np.square(mean).sum())
    certainty = square / beyond if beyond > 0 else np.inf
    return Leanings(buyers, expected, size, certainty if certainty < MOST_CERTAIN else np.inf)


def divided(kinds: Kinds, group: NDArray[np.integer], leanings: Leanings) -> Kinds:
    """The kinds of customers with one attribute more."""
    both = kinds.kind * (len(leanings.size) + 1) + group + 1
    names, kind = np.unique(both, return_inverse=True)
    before, groups = np.divmod(names, len(leanings.size) + 1)
    ratios = [kinds.ratios[old] * leanings.ratio(number - 1) for old, number in zip(before, groups, strict=True)]
    return Kinds(kind.astype(np.int64), np.array(ratios))
