# mypy: allow-untyped-defs
"""The best few items of each customer, and in each of many scopes, exactly, where scores are products of factors.

score(customer, item) = customer factors · item factors + bias of the item + what the customer's history adds.
A block of customers meets a tile of items in one matrix product that stays in the cache, and a compiled pass keeps
what beats the worst of the best so far. Items come in falling order of the score they can reach at most, so that a
block is done where no later item can enter. Equal scores come in the order of item numbers. Neither blocks nor threads
change a bit of the results: an element of the product does not depend on what stands beside it.
All kernels stay in this one file: numba's cache notices changes of a kernel's own file only.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]
Rows = NDArray[np.integer]
Top = tuple[NDArray[np.int32], Floats]

BLOCK = 256  # customers that meet a tile at once
TILE = 512  # items of a tile: with BLOCK, half a megabyte of scores, which fits a core's cache
GROUP = 64  # items looked over at once; divides TILE
LANES = 64  # customers side by side, where scopes are ranked
TOGETHER = 4  # items that meet them there at once: so the best so far are read and written a quarter as often
LEAST = 16  # rows of a matrix product; fewer take another way through it, which rounds differently
TASK = 1024  # customers that one thread takes at a time
NOTHING = np.int64(-(2**63))
SLACK = np.float32(1.0001)  # more than the rounding of a product can be

NO_HISTORY = csr_matrix((0, 0), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items in the order in which they are tried, in whole tiles; see `arranged`.

    vectors: float32 [padded items × (f + 1)], the last is the bias: -inf of padding.
    item: int64 [padded items], the item's number. place: int32 [items of the model], its row here, -1 if left out.
    norm, bias: float32 [tiles], the largest of this tile and all after it.
    """

    vectors: Floats
    item: NDArray[np.int64]
    place: NDArray[np.int32]
    norm: Floats
    bias: Floats
    size: int
    tile: int


def arranged(factors: Floats, bias: Floats, columns: Rows | None = None, *, reach: float = 1.0) -> Catalogue:
    """factors: float32 [items × f]; bias: float32 [items]. columns: the items that may come (None: all), rising.

    reach: a typical norm of the customers' factors; it sets the order in which items are tried, not what is found.
    """
    chosen = np.arange(len(factors)) if columns is None else np.asarray(columns)
    norms = np.sqrt(np.einsum("ij,ij->i", factors[chosen], factors[chosen]))
    order = np.lexsort((chosen, -(norms * np.float32(reach) + bias[chosen])))
    size = len(chosen)
    tile = min(TILE, _whole(size, GROUP))
    padded = _whole(size, tile) if size else 0
    vectors = np.zeros((padded, factors.shape[1] + 1), np.float32)
    vectors[:size, :-1], vectors[:size, -1], vectors[size:, -1] = factors[chosen[order]], bias[chosen[order]], -np.inf
    item = np.zeros(padded, np.int64)
    item[:size] = chosen[order]
    place = np.full(len(factors), -1, np.int32)
    place[item[:size]] = np.arange(size)

    def later(values: Floats) -> Floats:
        most = np.full(padded, -np.inf, np.float32)
        most[:size] = values[order]
        return np.maximum.accumulate(most[::-1])[::-1][:: max(tile, 1)].copy()

    return Catalogue(vectors, item, place, later(norms), later(bias[chosen]), size, tile)


def top(
    catalogue: Catalogue,
    factors: Floats,
    n: int,
    *,
    history: csr_matrix = NO_HISTORY,
    rows: Rows | None = None,
    exclude: bool = False,
    threads: int = 0,
) -> Top:
    """(items int32, scores float32), both [customers × n], best first; -1 and -inf where fewer are left.

    factors: float32 [customers × f]. history: CSR [anybody × items] of what is added to the scores; rows: each
    customer's row of it, -1 for none. exclude: the items of the history are left out instead, whatever their weight.
    threads: 0 for one a core.
    """
    customers, kept = len(factors), min(n, catalogue.size)
    items, scores = np.full((customers, n), -1, np.int32), np.full((customers, n), -np.inf, np.float32)
    if not customers or not kept:
        return items, scores
    where = np.full(customers, -1) if rows is None or not history.shape[0] else np.asarray(rows, np.int64)
    cells = _parts(history)

    def task(part: tuple[int, int]) -> None:
        start, stop = part
        size = _whole(min(BLOCK, stop - start), LEAST)
        product = np.empty((size, catalogue.tile), np.float32)
        heap, least = np.empty((size, kept), np.int64), np.empty(size, np.int32)
        for low in range(start, stop, size):
            high = min(low + size, stop)
            block = _with_one(factors[low:high], size)
            _walk(
                block,
                where[low:high],
                (catalogue.vectors, catalogue.item, catalogue.place, catalogue.norm, catalogue.bias),
                cells,
                exclude,
                (product, product.view(np.int32), heap, least),
                (items[low:high], scores[low:high], scores[low:high].view(np.int32)),
            )

    in_threads(task, _tasks(customers), threads)
    return items, scores


def top_in_scopes(
    catalogue: Catalogue,
    factors: Floats,
    scopes: csr_matrix,
    n: int,
    *,
    history: csr_matrix = NO_HISTORY,
    rows: Rows | None = None,
    exclude: bool = False,
    threads: int = 0,
) -> Top:
    """(items int32, scores float32), both [customers × scopes × n], in every scope as `top` among its items alone.

    scopes: [items × scopes] of 0/1; items that the catalogue leaves out are in none. An item may be in many scopes.
    A thread holds 256 bytes for each item of the catalogue.
    """
    shape = len(factors), scopes.shape[1], n
    if not catalogue.size or 0 in shape:
        return np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32)
    items, scores = np.empty(shape, np.int32), np.empty(shape, np.float32)
    customers, count = shape[:2]
    where = np.full(customers, -1) if rows is None or not history.shape[0] else np.asarray(rows, np.int64)
    cells = _parts(history)
    by_scope = scopes.tocsc()
    inside = (by_scope.data != 0) & (catalogue.place[by_scope.indices] >= 0)
    ends = np.append(0, np.cumsum(inside))[by_scope.indptr].astype(np.int64)
    # In the order in which they stand, so that scores are read from one end of the memory to the other.
    scope = np.repeat(np.arange(count), np.diff(ends))
    place = catalogue.place[by_scope.indices[inside]].astype(np.int64)
    places = place[np.lexsort((place, scope))]

    def task(part: tuple[int, int]) -> None:
        start, stop = part
        product = np.empty((len(catalogue.vectors), LANES), np.float32)
        keys, best = np.empty((TOGETHER, LANES), np.int64), np.empty((n, LANES), np.int64)
        for low in range(start, stop, LANES):
            high = min(low + LANES, stop)
            np.dot(catalogue.vectors, _with_one(factors[low:high], LANES).T, out=product)
            _walk_scopes(
                where[low:high],
                (catalogue.item, catalogue.place),
                (ends, places),
                cells,
                exclude,
                (product, product.view(np.int32), keys, best),
                (items[low:high], scores[low:high], scores[low:high].view(np.int32)),
            )

    in_threads(task, _tasks(customers), threads)
    return items, scores


def in_threads(task: Callable[[Any], None], parts: Sequence[Any], threads: int = 0) -> None:
    """The task for each part, on as many threads (0: one a core), each with one thread of BLAS."""
    workers = min(threads or (os.cpu_count() or 1), len(parts))
    with threadpool_limits(1, "blas"):
        if workers <= 1:
            for part in parts:
                task(part)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(task, parts))


def _tasks(customers: int) -> list[tuple[int, int]]:
    return [(start, min(start + TASK, customers)) for start in range(0, customers, TASK)]


def _with_one(factors: Floats, size: int) -> Floats:
    """The factors with a 1 beside them, which takes up the items' bias, as `size` rows."""
    block = np.zeros((size, factors.shape[1] + 1), np.float32)
    block[: len(factors), :-1], block[:, -1] = factors, 1
    return block


def _parts(history: csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int32], Floats]:
    return history.indptr.astype(np.int64), history.indices.astype(np.int32), history.data.astype(np.float32)


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit


OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
UNCOUNTED: dict[str, Any] = {**OPTIONS, "_nrt": False}


def compiled(function: Any) -> Any:
    return njit(function, cache=True, **OPTIONS)


def uncounted(function: Any) -> Any:
    """For kernels that make no arrays: counting who refers to one can cost more than the loop over it."""
    return njit(function, cache=True, **UNCOUNTED)


def inlined(function: Any) -> Any:
    return njit(function, inline="always", **OPTIONS)


@inlined
def ordered(bits):
    """The bits of a float32 as an int32 of the same order; of -0.0 it is -1."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@inlined
def key_of(rank, item):
    """One whole number per (score, item): the higher score is the larger, of equal ones the lower item."""
    rank = np.int32(0) if rank == -1 else rank  # -0.0 equals 0.0
    return (np.int64(rank) << np.int64(32)) | np.int64(0xFFFFFFFF - item)


@inlined
def least_of(worst):
    """What a score must at least be, as `ordered`, to be compared with the worst key kept."""
    rank = np.int32(worst >> np.int64(32))
    return np.int32(-1) if rank == 0 else rank  # -0.0 equals 0.0


@compiled
def _push(heap, key):
    """Takes the place of the smallest of a heap of keys, whose smallest stands first."""
    at, size = 0, len(heap)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key


@compiled
def _scan(bits, item, heap, least):
    """Lets what is good enough of a tile into the heaps. bits: int32 [customers × TILE], of the scores."""
    for c in range(len(heap)):
        kept, bar = heap[c], least[c]
        for low in range(0, bits.shape[1], GROUP):
            group = bits[c, low : low + GROUP]
            most = np.int32(-(2**31))
            for j in range(GROUP):  # this form is the one that numba turns into vector instructions
                most = max(most, ordered(group[j]))
            if most < bar:
                continue
            for j in range(GROUP):
                rank = ordered(group[j])
                if rank >= bar:
                    key = key_of(rank, item[low + j])
                    if key > kept[0]:
                        _push(kept, key)
                        bar = least_of(kept[0])
        least[c] = bar


@compiled
def _seed(users, rows, shelf, cells, product, bits, heap, least):
    """Scores what is in the customers' histories, which the scan then passes over."""
    vectors, place = shelf[0], shelf[2]
    indptr, indices, weights = cells
    gathered = np.empty((0, vectors.shape[1]), np.float32)
    found = np.empty((0, LEAST), np.float32)
    for c in range(len(rows)):
        if rows[c] < 0:
            continue
        first, last = indptr[rows[c]], indptr[rows[c] + 1]
        size = 0
        for e in range(first, last):
            size += place[indices[e]] >= 0
        if not size:
            continue
        whole = (size + LEAST - 1) // LEAST * LEAST
        if whole > len(gathered):
            gathered = np.zeros((2 * whole, vectors.shape[1]), np.float32)
            found = np.empty((2 * whole, LEAST), np.float32)
        at = 0
        for e in range(first, last):
            p = place[indices[e]]
            if p >= 0:
                gathered[at] = vectors[p]
                at += 1
        start = min(c, len(users) - LEAST)
        np.dot(gathered[:whole], users[start : start + LEAST].T, found[:whole])
        at = 0
        for e in range(first, last):
            if place[indices[e]] >= 0:
                product[0, 0] = found[at, c - start] + weights[e]
                at += 1
                key = key_of(ordered(bits[0, 0]), np.int64(indices[e]))
                if key > heap[c, 0]:
                    _push(heap[c], key)
        least[c] = least_of(heap[c, 0])


@compiled
def _walk(users, rows, shelf, cells, exclude, scratch, out):
    vectors, item, place, norm, bias = shelf
    indptr, indices = cells[0], cells[1]
    product, bits, heap, least = scratch
    items, scores, score_bits = out
    customers = len(rows)
    heap[:] = NOTHING
    least[:] = np.int32(-(2**31))
    if not exclude:
        _seed(users, rows, shelf, cells, product, bits, heap, least)
    norms = np.empty(customers, np.float32)
    for c in range(customers):
        norms[c] = np.sqrt((users[c, :-1] * users[c, :-1]).sum()) * SLACK
    one = np.empty(1, np.float32)
    one_bits = one.view(np.int32)
    width = product.shape[1]
    for low in range(0, len(vectors), width):
        tile = low // width
        alive = False
        for c in range(customers):
            one[0] = norms[c] * norm[tile] + bias[tile] + (SLACK - np.float32(1)) * abs(bias[tile])
            if ordered(one_bits[0]) >= least[c]:
                alive = True
                break
        if not alive:
            break
        np.dot(users, vectors[low : low + width].T, product)
        for c in range(customers):
            if rows[c] >= 0:
                for e in range(indptr[rows[c]], indptr[rows[c] + 1]):
                    p = place[indices[e]] - low
                    if 0 <= p < width:
                        product[c, p] = -np.inf
        _scan(bits, item[low : low + width], heap[:customers], least)
    for c in range(customers):
        keys = np.sort(heap[c])
        for k in range(len(keys)):
            _decode(keys[len(keys) - 1 - k], items[c], scores[c], score_bits[c], k)


@uncounted
def _walk_scopes(rows, shelf, scopes, cells, exclude, scratch, out):
    item, place = shelf
    ends, places = scopes
    indptr, indices, weights = cells
    product, bits, keys, best = scratch
    items, scores, score_bits = out
    for c in range(len(rows)):
        if rows[c] >= 0:
            for e in range(indptr[rows[c]], indptr[rows[c] + 1]):
                p = place[indices[e]]
                if p >= 0:
                    product[p, c] = -np.inf if exclude else product[p, c] + weights[e]
    for s in range(len(ends) - 1):
        best[:] = NOTHING
        for first in range(ends[s], ends[s + 1], TOGETHER):
            keys[:] = NOTHING
            for q in range(min(TOGETHER, ends[s + 1] - first)):
                _keys(bits[places[first + q]], item[places[first + q]], keys[q])
            _insert(keys, best)
        for c in range(len(rows)):
            for k in range(len(best)):
                _decode(best[k, c], items[c, s], scores[c, s], score_bits[c, s], k)


@uncounted
def _keys(lanes, item, keys):
    for j in range(LANES):
        keys[j] = key_of(ordered(lanes[j]), item)


@uncounted
def _insert(keys, best):
    """Lets TOGETHER keys of each lane into its best: each place keeps the larger and hands the smaller on."""
    one, two, three, four = keys[0], keys[1], keys[2], keys[3]
    for k in range(len(best)):
        kept = best[k]
        for j in range(LANES):
            most = kept[j]
            most, first = max(most, one[j]), min(most, one[j])
            most, second = max(most, two[j]), min(most, two[j])
            most, third = max(most, three[j]), min(most, three[j])
            most, fourth = max(most, four[j]), min(most, four[j])
            kept[j], one[j], two[j], three[j], four[j] = most, first, second, third, fourth


@uncounted
def _decode(key, items, scores, score_bits, k):
    items[k], scores[k] = np.int32(-1), np.float32(-np.inf)
    if key != NOTHING:
        score_bits[k] = ordered(np.int32(key >> np.int64(32)))
        if scores[k] > -np.inf:
            items[k] = np.int32(np.int64(0xFFFFFFFF) - (key & np.int64(0xFFFFFFFF)))
