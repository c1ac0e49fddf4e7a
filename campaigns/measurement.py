"""Hindsight: were the right people chosen? Decisions against what was bought afterwards, with no claim about causes.

The unit is a pair: a customer and an offer given to them. For each pair: did the customer buy any item of the offer's
scope in the days after the decision, and for how much? The same is asked of the same messages given to other people:

- random: each message goes to somebody drawn from all who could have been addressed;
- biggest buyers: the messages are dealt among those who had spent most before, as many people as were chosen.

A message keeps its offers together, so the numbers of each offer, of messages and of offers in a message are the same
in all three. Where offers are for some people only, a message goes to somebody who may get the same offers as the
person it was made for. A difference shows that one choice found people who were going to buy in the scope more often
than another. It is no lift: nobody is compared with what they would have done without the promotion. That takes a
control group.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from recsys.tables import INSTANT

CHOICES = ("larisma", "random", "biggest buyers")
INTERVAL = (2.5, 97.5)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Dealer = Callable[[np.random.Generator], Ints]


@dataclass(frozen=True, eq=False)
class Messages:
    """The pairs to be judged: pair k is offer[k] in message[k]; message m was made for the person in row owner[m]."""

    message: Ints
    offer: Ints
    owner: Ints


def hindsight(
    decisions: pa.Table,
    purchases_after: pa.Table,
    scopes: csr_matrix,
    item_ids: pa.Array | pa.ChunkedArray,
    offer_ids: Sequence[str],
    people: pa.Table,
    *,
    as_of: datetime,
    days: int,
    seed: int,
    eligible: NDArray[np.bool_] | None = None,
    draws: int = 200,
    replicates: int = 1000,
) -> dict[str, Any]:
    """What really happened to the decisions of one run, and to the same offers in the same numbers given to others.

    decisions: rows of DECISIONS. Ghost decisions (arm control) are left out; an offer given twice to a customer is one.
    purchases_after: purchases, returns netted; rows outside [as_of, as_of + days) are left out.
    scopes: 0/1 [items × offers], its rows named by item_ids, its columns by offer_ids.
    people: customer_id and spend (int64 rupiah before as_of) of all who could have been addressed: in the audience,
        with consent, not in the control group. Everybody decided on is among them.
    eligible: [people × offers], in the order of people, who may get which offer; None: everyone every offer.

    The estimand of each choice is the share of its pairs that a purchase in scope followed, and the rupiah spent in
    scope per pair, both per 100 pairs. For random and biggest buyers it is the mean over `draws` deals. Intervals are
    95%, the percentiles of `replicates` bootstraps over people: each person carries all their pairs; a resample serves
    all three choices, so differences are paired; each replicate deals anew, so they include the luck of the draw.

    Returns {"days", "pairs",
      "rows": [{"choice", "customers", "buyers_per_100", "low", "high", "spend_per_100", "spend_low", "spend_high"}],
      "differences": [{"choice": "larisma", "against", and the same six figures}],
      "offers": [{"offer_id", "customers", "base_rate", "larisma", "random", "biggest buyers"}]}
    base_rate is the share of all people who bought in the scope; the last three are shares of those given the offer,
    null if nobody was. Without decisions, rows and differences are empty.
    Raises ValueError if a decision is about a customer or an offer that is not there.
    """
    order = pc.sort_indices(people["customer_id"])
    customer_ids, before = people["customer_id"].take(order).combine_chunks(), people["spend"].take(order).to_numpy()
    strata = _strata(len(order), None if eligible is None else eligible[order.to_numpy()])
    given = decisions.filter(pc.equal(decisions["arm"], "treatment"))
    messages = _messages(given, customer_ids, pa.array(offer_ids, pa.string()))
    outcome = _outcomes(purchases_after, scopes, item_ids, customer_ids, as_of, days)
    found: dict[str, Any] = {"days": days, "pairs": len(messages.offer), "rows": [], "differences": []}
    if not found["pairs"]:
        return found | {"offers": _by_offer(messages, {}, outcome, offer_ids)}

    # Two streams: raising the number of replicates leaves the point estimates as they are.
    dealing, resampling = (np.random.default_rng((seed, stream)) for stream in (0, 1))
    dealers = {choice: _dealer(choice, messages, strata, before) for choice in CHOICES}
    deals = {choice: [dealer(dealing) for _ in range(draws)] for choice, dealer in dealers.items()}
    point = {
        choice: np.mean([_per_100(deal, messages, outcome) for deal in deals[choice]], axis=0) for choice in CHOICES
    }
    spread = {choice: np.empty((replicates, 2)) for choice in CHOICES}
    for replicate in range(replicates):
        weight = resampling.poisson(1.0, len(order)).astype(np.float64)
        for choice, dealer in dealers.items():
            spread[choice][replicate] = _per_100(dealer(resampling), messages, outcome, weight)

    for choice in CHOICES:
        figures = _figures(point[choice], spread[choice])
        found["rows"].append({"choice": choice, "customers": len(messages.owner), **figures})
    for other in CHOICES[1:]:
        figures = _figures(point["larisma"] - point[other], spread["larisma"] - spread[other])
        found["differences"].append({"choice": "larisma", "against": other, **figures})
    return found | {"offers": _by_offer(messages, deals, outcome, offer_ids)}


def _messages(given: pa.Table, customer_ids: pa.Array, offer_ids: pa.Array) -> Messages:
    rows = pc.index_in(given["customer_id"], value_set=customer_ids)
    columns = pc.index_in(given["offer_id"], value_set=offer_ids)
    for found, column in ((rows, "people.customer_id"), (columns, "offer_ids")):
        if found.null_count:
            raise ValueError(f"hindsight: {found.null_count} decisions have no match in {column}")
    pairs = np.unique(np.column_stack([rows.to_numpy(), columns.to_numpy()]).astype(np.int64), axis=0)
    owner, message = np.unique(pairs[:, 0], return_inverse=True)
    return Messages(message, pairs[:, 1], owner)


def _outcomes(
    purchases: pa.Table, scopes: csr_matrix, item_ids: pa.Array, customer_ids: pa.Array, as_of: datetime, days: int
) -> tuple[Floats, Floats]:
    """[people × offers] twice: bought anything in scope within the window (0/1), and the rupiah spent on it."""
    start, end = (pa.scalar(instant, INSTANT) for instant in (as_of, as_of + timedelta(days=days)))
    at, kind = purchases["occurred_at"], purchases["kind"]
    inside = pc.and_(pc.equal(kind, "purchase"), pc.and_(pc.greater_equal(at, start), pc.less(at, end)))
    lines = purchases.filter(inside)
    row = pc.fill_null(pc.index_in(lines["customer_id"], value_set=customer_ids), -1).to_numpy()
    column = pc.fill_null(pc.index_in(lines["item_id"], value_set=item_ids), -1).to_numpy()
    known = (row >= 0) & (column >= 0)
    place, shape = (row[known], column[known]), (len(customer_ids), len(item_ids))
    bought = coo_matrix((np.ones(int(known.sum())), place), shape) @ scopes > 0
    rupiah = coo_matrix((lines["amount"].to_numpy()[known].astype(np.float64), place), shape) @ scopes
    return bought.toarray().astype(np.float64), rupiah.toarray()


def _strata(people: int, eligible: NDArray[np.bool_] | None) -> Ints:
    """The number of each person's group; those who may get the same offers are one group."""
    if eligible is None:
        return np.zeros(people, np.int64)
    return np.unique(eligible, axis=0, return_inverse=True)[1].reshape(-1)


def _dealer(choice: str, messages: Messages, strata: Ints, before: Ints) -> Dealer:
    """A function that hands each message to a person: rng → row of each message's holder, no person twice."""
    if choice == "larisma":
        return lambda rng: messages.owner
    groups = []
    for stratum in np.unique(strata[messages.owner]):
        places = np.flatnonzero(strata[messages.owner] == stratum)
        pool = np.flatnonzero(strata == stratum)
        if choice == "biggest buyers":
            pool = pool[np.argsort(-before[pool], kind="stable")[: len(places)]]
        groups.append((places, pool))

    def deal(rng: np.random.Generator) -> Ints:
        holder = np.empty(len(messages.owner), np.int64)
        for places, pool in groups:
            holder[places] = rng.permutation(pool)[: len(places)]
        return holder

    return deal


def _per_100(
    holder: Ints, messages: Messages, outcome: tuple[Floats, Floats], weight: Floats | None = None
) -> tuple[float, float]:
    """Buyers and rupiah in 100 pairs; a person's pairs count weight times."""
    row = holder[messages.message]
    bought, rupiah = (of[row, messages.offer] for of in outcome)
    if weight is None:
        return float(bought.mean() * 100), float(rupiah.mean() * 100)
    share = weight[row] / max(weight[row].sum(), 1.0)
    return float(share @ bought * 100), float(share @ rupiah * 100)


def _figures(point: Floats, spread: Floats) -> dict[str, Any]:
    low, high = np.percentile(spread, INTERVAL, axis=0)
    return {
        "buyers_per_100": round(float(point[0]), 2),
        "low": round(float(low[0]), 2),
        "high": round(float(high[0]), 2),
        "spend_per_100": round(float(point[1])),
        "spend_low": round(float(low[1])),
        "spend_high": round(float(high[1])),
    }


def _by_offer(
    messages: Messages, deals: dict[str, list[Ints]], outcome: tuple[Floats, Floats], offer_ids: Sequence[str]
) -> list[dict[str, Any]]:
    bought = outcome[0]
    number = np.bincount(messages.offer, minlength=len(offer_ids))
    hits = {
        choice: np.mean([bought[holder[messages.message], messages.offer] for holder in dealt], axis=0)
        for choice, dealt in deals.items()
    }
    total = {choice: np.bincount(messages.offer, hit, len(offer_ids)) for choice, hit in hits.items()}
    return [
        {
            "offer_id": offer_id,
            "customers": int(number[j]),
            "base_rate": round(float(bought[:, j].mean()), 4) if len(bought) else None,
            **{choice: round(float(total[choice][j] / number[j]), 4) if number[j] else None for choice in CHOICES},
        }
        for j, offer_id in enumerate(offer_ids)
    ]
