# mypy: allow-untyped-defs
"""Which past purchase adds most to each recommended item's score, for many customers at once.

The shares are those that the models' `contributions` give for one customer; an item bought before stands by itself.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.topk import in_threads

Rows = NDArray[np.integer]
Floats = NDArray[np.float32]

TASK = 1024  # customers that one thread takes at a time
NO_FLOATS, NO_CELLS = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
NO_ROWS, NO_LEVELS = np.zeros(0, np.int32), np.zeros((0, 0), np.int32)


class Parts(NamedTuple):
    """What of a model says how a score is made of past purchases; what it has not is empty.

    item_factors [items × f], gram: YᵀY + λI, confidence: beside the bought items, as in recsys.models.LinearModel.
    near_indptr, near_indices, near_data: CSR [items × items], from an item to those whose purchase speaks for it;
    weight: of each purchase for that, beside the bought items (empty: 1).
    Of recsys.discoveries.Taste, empty unless the measures of taste are put together by its logarithms:
    customer_factors; groups [levels × items]; usual [levels × groups], the share of each level's groups in all
    confidence, which counts as so much `prior`; least of each measure, the floor of its log and the weight of it.
    """

    item_factors: Floats = NO_CELLS
    gram: Floats = NO_CELLS
    confidence: Floats = NO_FLOATS
    near_indptr: NDArray[np.int32] = NO_ROWS
    near_indices: NDArray[np.int32] = NO_ROWS
    near_data: Floats = NO_FLOATS
    weight: Floats = NO_FLOATS
    customer_factors: Floats = NO_CELLS
    groups: NDArray[np.int32] = NO_LEVELS
    usual: Floats = NO_CELLS
    prior: float = 0.0
    least: Floats = NO_FLOATS
    floor: Floats = NO_FLOATS
    slope: Floats = NO_FLOATS


def drivers(
    parts: Parts,
    indptr: NDArray,
    indices: NDArray,
    rows: Rows,
    at: Rows,
    items: Rows,
    speak_of: NDArray[np.bool_],
    *,
    threads: int = 0,
) -> NDArray[np.int32]:
    """int32 [pairs]: the item row of the past purchase that adds most to the score of items[k] for rows[at[k]]; the
    item itself where it was bought before, -1 where no purchase that may be spoken of adds anything.

    indptr, indices: CSR structure of what was bought, indices rising. at: rising. speak_of: bool [items].
    """
    out = np.full(len(items), -1, np.int32)
    ends = np.searchsorted(at, np.arange(len(rows) + 1)).astype(np.int64)
    bought = indptr.astype(np.int64), indices.astype(np.int32)
    asked = np.asarray(rows, np.int64), ends, np.asarray(items, np.int64)

    def task(start: int) -> None:
        _walk(parts, *bought, *asked, speak_of, start, min(start + TASK, len(rows)), out)

    in_threads(task, range(0, len(rows), TASK), threads)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _walk(parts, indptr, indices, rows, ends, items, speak_of, start, stop, out):
    for r in range(start, stop):
        row, low, high = rows[r], ends[r], ends[r + 1]
        if row < 0 or low == high:
            continue
        first = indptr[row]
        past = indices[first : indptr[row + 1]]
        new = np.empty(high - low, np.int64)
        count = 0
        for k in range(low, high):
            place = np.searchsorted(past, items[k])
            bought = place < len(past) and past[place] == items[k]
            if bought and speak_of[items[k]]:
                out[k] = items[k]
            elif not (bought and len(parts.slope)):  # where tastes are put together, they are of what is new alone
                new[count] = k
                count += 1
        told = 0
        for p in past:
            told += speak_of[p]
        if not told or not count:
            continue
        share = np.zeros((len(past), count), np.float32)
        others = items[new[:count]]
        if len(parts.confidence):
            _of_factors(parts, first, past, others, share)
        if len(parts.slope):
            _of_taste(parts, first, past, row, others, share)
        elif len(parts.near_data):
            _of_neighbours(parts, first, past, others, share)
        for j in range(count):
            most = np.float32(0)
            for p in range(len(past)):
                if speak_of[past[p]] and share[p, j] > most:
                    most = share[p, j]
                    out[new[j]] = past[p]


@njit(nogil=True, error_model="numpy")
def _of_factors(parts, first, past, items, out):
    """Adds c_k · y_k (YᵀCY + λI)⁻¹ y, of section 5 of Hu, Koren and Volinsky (2008)."""
    Y, f = parts.item_factors, parts.item_factors.shape[1]
    some, weighted = np.empty((len(past), f), np.float32), np.empty((len(past), f), np.float32)
    for p in range(len(past)):
        excess = parts.confidence[first + p] - np.float32(1)
        for i in range(f):
            some[p, i] = Y[past[p], i]
            weighted[p, i] = excess * Y[past[p], i]
    right = np.empty((f, len(items)), np.float32)
    for j in range(len(items)):
        for i in range(f):
            right[i, j] = Y[items[j], i]
    product = np.dot(some, np.linalg.solve(parts.gram + np.dot(weighted.T, some), right))
    for p in range(len(past)):
        for j in range(len(items)):
            out[p, j] += parts.confidence[first + p] * product[p, j]


@njit(nogil=True, error_model="numpy")
def _of_neighbours(parts, first, past, items, out):
    """Adds the weight of each purchase times what it speaks for the item."""
    for j in range(len(items)):
        low, high = parts.near_indptr[items[j]], parts.near_indptr[items[j] + 1]
        near = parts.near_indices[low:high]
        for p in range(len(past)):
            place = np.searchsorted(near, past[p])
            if place < len(near) and near[place] == past[p]:
                weight = parts.weight[first + p] if len(parts.weight) else np.float32(1)
                out[p, j] += weight * parts.near_data[low + place]


@njit(nogil=True, error_model="numpy")
def _of_taste(parts, first, past, row, items, out):
    """What an item has beyond a customer of no taste is divided among the measures of taste by what each adds, and
    within each among the purchases by theirs: but for a number above 0 for each item, Blend.contributions.

    out: the shares of factors, which are replaced.
    """
    levels, f = len(parts.groups), parts.item_factors.shape[1]
    prior = np.float32(parts.prior)
    near = np.zeros(out.shape, np.float32)
    _of_neighbours(parts, first, past, items, near)
    whole = np.float32(0)
    for p in range(len(past)):
        whole += parts.confidence[first + p]
    lift, total = np.empty(2 + levels, np.float32), np.empty(2 + levels, np.float32)
    for j in range(len(items)):
        total[:] = 0
        for p in range(len(past)):
            out[p, j] = max(out[p, j], np.float32(0))
            total[0] += out[p, j]
            total[1] += near[p, j]
            for g in range(levels):
                if parts.groups[g, past[p]] == parts.groups[g, items[j]]:
                    total[2 + g] += parts.confidence[first + p]
        taste, beyond = np.float32(0), np.float32(0)
        for i in range(f):
            taste += parts.customer_factors[row, i] * parts.item_factors[items[j], i]
        for m in range(2 + levels):
            value = max(taste, np.float32(0)) if m == 0 else total[m]
            if m > 1:
                usual = parts.usual[m - 2, parts.groups[m - 2, items[j]]]
                value = (value + prior * usual) / ((whole + prior) * max(usual, np.float32(1e-9)))
            more = parts.slope[m] * (np.log(value + parts.least[m]) - parts.floor[m])
            beyond += more
            lift[m] = max(more, np.float32(0)) / max(total[m], np.float32(1e-6))
        for p in range(len(past)):
            value = lift[0] * out[p, j] + lift[1] * near[p, j]
            for g in range(levels):
                if parts.groups[g, past[p]] == parts.groups[g, items[j]]:
                    value += lift[2 + g] * parts.confidence[first + p]
            out[p, j] = value if beyond > 0 else np.float32(0)
