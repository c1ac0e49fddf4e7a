"""A problem written out for HiGHS: the optimum of its relaxation with its prices, and the best whole decisions.

A column for each offer that a customer may get on a channel and one for the message around them; a fallback is both.

    Σ messages of a row ≤ 1, of a person ≤ what the contact policy leaves
    Σ offers of a message ≤ places · message, and of each exclusion group ≤ message
    Σ use of a limit ≤ limit, ≥ for a minimum

Without the last line every corner is whole messages, so the relaxation's optimum is that of the dual. Only small
problems can be solved so. Rows and columns stand in the order of customers' keys and of offers, so that the same answer
is found for any order of the arrays.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, linprog, milp
from scipy.sparse import csr_array, hstack, vstack

from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import Bools, Floats, Ints
from campaigns.allocation.usage import worth_and_use

TIGHTER = 4e-6  # of a limit: more than what HiGHS takes for nothing
NEGLIGIBLE = 1e-9  # of a minimum; HiGHS leaves out coefficients below that
BEST = 1e-4  # decisions are called the best that are as near to it as this


@dataclass(frozen=True)
class Programme:
    """Columns are offers on channels, then messages. What a customer may get: inside @ x ≤ most."""

    gain: Floats  # rupiah [columns]
    inside: csr_array
    most: Floats
    use: csr_array  # [limits × columns]
    limit: Floats  # [limits]
    sign: Floats  # 1, or −1 for a minimum [limits]
    row: Ints  # the customer's [columns]
    channel: Ints
    pair: Ints  # −1 for a message


def written_out(problem: Prepared, wanted: Bools | None = None) -> Programme:
    """The programme of all pairs, or of those wanted, but for what a limit of 0 forbids and what nobody wants."""
    candidates, offers, limits = problem.candidates, problem.offers, problem.limits
    place = _places(problem)
    customer = np.repeat(np.arange(candidates.customers), np.diff(candidates.indptr))
    open_to = candidates.channel_ok[customer]
    pair, channel = np.nonzero(open_to if wanted is None else open_to & wanted[:, None])
    order = np.lexsort((candidates.offer[pair], channel, place[customer[pair]]))
    pair, channel = pair[order], channel[order]
    value, uses = worth_and_use(problem, pair, customer[pair], channel)
    use = csr_array((uses.amount, (uses.limit, uses.cell)), shape=(len(problem.limit), len(pair)))
    budgets_end = len(offers) + len(limits.budgets)
    kept = (value > 0) | (_of_these(use, problem.sign < 0) > 0)
    kept &= ~problem.closed[problem.segment[customer[pair]], candidates.offer[pair]]
    kept &= problem.limit[budgets_end + channel] > 0
    pair, channel, value, use = pair[kept], channel[kept], value[kept], use[:, kept]

    row, offer = customer[pair], candidates.offer[pair].astype(np.int64)
    fallback = np.broadcast_to(np.asarray(offers.fallback), len(limits.capacity))[channel] == offer
    plain = np.flatnonzero(~fallback)
    _, first, of = np.unique(place[row[plain]] * len(limits.capacity) + channel[plain], True, True)
    messages = plain[first]  # a pair of each
    x, z = len(pair), len(messages)
    sends = np.concatenate([np.flatnonzero(fallback), x + np.arange(z)])
    row, channel = np.concatenate([row, row[messages]]), np.concatenate([channel, channel[messages]])

    heads, patience = problem.people
    person = problem.person[row[sends]].astype(np.int64)
    few = patience[person] < np.diff(heads)[person]
    _, a_person, of_person = np.unique(place[heads[person[few]]], True, True)
    _, of_row = np.unique(place[row[sends]], return_inverse=True)
    in_group = np.unique(offers.group, return_inverse=True)[1].reshape(-1)[offer[plain]]
    of_group, in_group = np.unique(of * (len(offers) + 1) + in_group, return_inverse=True)
    inside = [
        _sums(of_row, sends, x + z),
        _sums(of_person, sends[few], x + z),
        _sums(of, plain, x + z) - _sums(np.arange(z), x + np.arange(z), x + z, limits.positions[channel[x:]]),
        _sums(in_group, plain, x + z) - _sums(np.arange(len(of_group)), x + of_group // (len(offers) + 1), x + z),
    ]
    sizes = [part.shape[0] for part in inside]
    most = [np.ones(sizes[0]), patience[person[few][a_person]], np.zeros(sizes[2]), np.zeros(sizes[3])]
    sent = csr_array((np.ones(len(sends)), (budgets_end + channel[sends], sends)), (len(problem.limit), x + z))
    gain = np.concatenate([value, np.zeros(z)])
    gain[sends] -= limits.message_cost[channel[sends]] + candidates.costs(row[sends], channel[sends])
    return Programme(
        gain,
        csr_array(vstack(inside)),
        np.concatenate(most).astype(np.float64),
        csr_array(hstack([use, csr_array((len(problem.limit), z))]) + sent),
        problem.limit,
        problem.sign,
        row,
        channel,
        np.concatenate([pair, np.full(z, -1)]),
    )


def relaxed(programme: Programme) -> tuple[float, Floats, Floats] | None:
    """(optimum of the relaxation in rupiah, price of each limit, how much it takes of each column); None where there is
    none or it is not found."""
    if not len(programme.gain):
        return None if _asks(programme) else (0.0, np.zeros(len(programme.limit)), np.zeros(0))
    unit = float(np.abs(programme.gain).max()) or 1.0
    matrix, right, per_row, counted = _rows(programme)
    found = linprog(-programme.gain / unit, matrix, right, bounds=(0, None), method="highs")
    if found.status != 0:
        return None
    prices = np.zeros(len(programme.limit))
    prices[counted] = np.maximum(0.0, -found.ineqlin.marginals[len(programme.most) :]) / per_row * unit
    return -found.fun * unit, prices, found.x


def whole(programme: Programme, nodes: int, *, tighter: bool = False) -> tuple[Bools | None, bool]:
    """(which columns the best whole decisions take, None for none found; whether it is proven that none are better).

    nodes: of the search tree, at most. tighter: so far within every limit that no rounding can break it.
    """
    if not len(programme.gain):
        return (None if _asks(programme) else np.zeros(0, np.bool_)), True
    unit = float(np.abs(programme.gain).max()) or 1.0
    matrix, right, _, counted = _rows(programme)
    if tighter:
        right[-counted.sum() :] -= TIGHTER * np.maximum(1.0, np.abs(right[-counted.sum() :]))
    found = _searched(-programme.gain / unit, matrix, right, np.ones(len(programme.gain)), nodes)
    return (None if found.x is None else found.x > 0.5), found.status in (0, 2)


def largest_share(programme: Programme, nodes: int = 0) -> float:
    """Of all minimums the share that can be met at once, 0–1: in the relaxation, or by whole decisions."""
    if not len(programme.gain):
        return 1.0 - float(_asks(programme))
    matrix, right, _, counted = _rows(programme)
    minimum = np.zeros(len(right), np.bool_)
    minimum[len(programme.most) :] = (programme.sign < 0)[counted]
    share = csr_array(np.where(minimum, -right, 0.0)[:, None])  # one more column: Σ use ≥ share · minimum
    matrix, right = hstack([matrix, share]), np.where(minimum, 0.0, right)
    target = np.zeros(matrix.shape[1])
    target[-1] = -1.0
    integral = np.zeros(len(target))
    integral[:-1] = nodes > 0
    found = _searched(target, matrix, right, integral, nodes)
    return 1.0 if found.x is None else float(max(0.0, min(1.0, found.x[-1])))


def _searched(target: Floats, matrix: csr_array, right: Floats, integrality: Floats, nodes: int) -> OptimizeResult:
    options = {"node_limit": max(1, nodes), "mip_rel_gap": BEST}
    with _nothing_on_stdout():
        return milp(
            target,
            constraints=LinearConstraint(matrix, ub=right),
            integrality=integrality,
            bounds=Bounds(0, 1),
            options=options,
        )


@contextmanager
def _nothing_on_stdout() -> Iterator[None]:
    """HiGHS now and then prints a line of its own, past its options, where a command's answer goes: to stderr, then."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(stdout, 1)
        os.close(stdout)


def _asks(programme: Programme) -> bool:
    """Whether there is a minimum above 0."""
    return bool(((programme.sign < 0) & (programme.limit > 0)).any())


def _rows(programme: Programme) -> tuple[csr_array, Floats, Floats, Bools]:
    """(all rows, their right sides, what each limit was divided by, which limits are rows)."""
    largest = abs(programme.use).max(axis=1).toarray().reshape(-1)
    counted = np.isfinite(programme.limit) & ((largest > 0) | (programme.sign < 0))
    least = np.where(programme.sign < 0, NEGLIGIBLE * programme.limit, 0.0)  # what serves a minimum no better does not
    per_row = np.where(largest > 0, np.maximum(largest, least), 1.0)[counted]
    limits = _diagonal(programme.sign[counted] / per_row) @ programme.use[counted]
    right = np.concatenate([programme.most, (programme.sign * programme.limit)[counted] / per_row])
    return csr_array(vstack([programme.inside, limits])), right, per_row, counted


def _places(problem: Prepared) -> Ints:
    """Where each row stands by the keys of people; rows of one person stay in their order."""
    keys = problem.candidates.keys[problem.people[0][problem.person]]
    place = np.empty(len(keys), dtype=np.int64)
    place[np.lexsort((np.arange(len(keys)), keys))] = np.arange(len(keys))
    return place


def _sums(row: Ints, column: Ints, columns: int, factor: Ints | None = None) -> csr_array:
    """Rows of ones (or factors) in the columns given; `row` numbers them without holes."""
    ones = np.ones(len(row)) if factor is None else factor[row].astype(np.float64)
    return csr_array((ones, (row, column)), shape=(int(row.max(initial=-1)) + 1, columns))


def _of_these(use: csr_array, rows: Bools) -> Floats:
    """Σ use of some limits [columns]."""
    return np.asarray(use[rows].sum(axis=0)).reshape(-1)


def _diagonal(values: Floats) -> csr_array:
    each = np.arange(len(values))
    return csr_array((values, (each, each)), shape=(len(values), len(values)))
