"""Limits on groups as the allocation takes them: of a campaign's own offers, or of all campaigns of a night."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaigns.allocation import REDEEMED, SENT, GroupLimit
from campaigns.limits import Limit
from campaigns.spec import Campaign

Labels = NDArray[np.object_]  # of each customer: the group they are in, None for none
NIGHT = 1_000_000  # numbers of groups from here on are those of the night's limits


@dataclass(frozen=True)
class Row:
    """One group limit with its name in the campaign file.

    name: stable, as `kopi-kota: Bandung`. kind: quota, minimum or budget. unit: sent, redeemed or rupiah.
    amount: as stated; limit.amount is what is planned with.
    """

    name: str
    kind: str
    unit: str
    amount: float
    limit: GroupLimit


@dataclass(frozen=True)
class Side:
    """What a limit may concern: a campaign's offers, their numbers from `start` on, and their benefit in rupiah."""

    campaign: Campaign
    start: int
    benefit: NDArray[np.float64]


def labels(limits: Sequence[Limit], people: pa.Table, held: NDArray[np.bool_]) -> list[Labels]:
    """Each limit's group of each of the people. people: rows of customers. held: [people × limits], who meets it."""
    found: list[Labels] = []
    for number, limit in enumerate(limits):
        label = np.full(len(held), None, object)
        values = people[limit.for_each].to_numpy(zero_copy_only=False) if limit.for_each else np.full(len(held), "")
        label[held[:, number]] = values[held[:, number]]
        found.append(label)
    return found


def group_rows(
    limits: Sequence[Limit], sides: Sequence[Side], groups: Sequence[Sequence[Labels]], first: int = 0
) -> tuple[list[Row], list[NDArray[np.int32]]]:
    """The rows of some limits, and for each side the numbers of its customers' groups, from `first` on: [n × limits].

    groups: for each side the labels of its limits. A limit that concerns nobody or no offer has no row.
    """
    rows: list[Row] = []
    numbers = [np.full((len(own[0]) if limits else 0, len(limits)), -1, np.int32) for own in groups]
    for k, limit in enumerate(limits):
        offers, weight = _covered(limit, sides)
        if not len(offers):
            continue
        if not (limit.where or limit.for_each):
            rows.append(_row(limit, limit.id, offers, weight, -1))
            continue
        values = sorted({label for own in groups for label in own[k].tolist() if label is not None})
        if not values and limit.minimum:
            values = [""]  # nobody can meet it, and that is to be said
        for number, value in enumerate(values, start=first):
            for own, of in zip(groups, numbers, strict=True):
                of[own[k] == value, k] = number
            rows.append(_row(limit, f"{limit.id}: {value}" if value else limit.id, offers, weight, number))
        first += len(values)
    return rows, numbers


def own_rows(
    campaign: Campaign, benefit: NDArray[np.float64], groups: Sequence[Labels]
) -> tuple[list[Row], NDArray[np.int32]]:
    """The rows of a campaign's file: its offers' minimums, then its limits, and its customers' groups."""
    rows = [
        Row(
            f"minimum of {offer.id}",
            "minimum",
            offer.minimum.kind,
            offer.minimum.limit,
            GroupLimit(np.array([j]), offer.minimum.limit, _kind(offer.minimum.kind), at_least=True),
        )
        for j, offer in enumerate(campaign.offers)
        if offer.minimum
    ]
    found, (numbers,) = group_rows(campaign.limits, [Side(campaign, 0, benefit)], [groups])
    return rows + found, numbers


def limit_faults(campaign: Campaign) -> list[str]:
    """A line for each limit that concerns none of the offers."""
    return [
        f"limits[{limit.id}].merchants: no offer's scope or funders name {' or '.join(limit.merchants)}; "
        f"name one of them, or list offers"
        for limit in campaign.limits
        if not any(limit.covers(offer) for offer in campaign.offers)
    ]


def _covered(limit: Limit, sides: Sequence[Side]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    offers, weight = [], []
    for side in sides:
        for j, offer in enumerate(side.campaign.offers):
            if limit.covers(offer) and (limit.budget is None or side.benefit[j] > 0):
                offers.append(side.start + j)
                weight.append(side.benefit[j])
    return np.array(offers, np.int64), np.array(weight, np.float64)


def _row(limit: Limit, name: str, offers: NDArray[np.int64], weight: NDArray[np.float64], group: int) -> Row:
    kind = "budget" if limit.budget else "quota" if limit.quota else "minimum"
    made = GroupLimit(
        offers, limit.amount, _kind(limit.unit), group, weight if limit.budget else None, at_least=kind == "minimum"
    )
    return Row(name, kind, limit.unit, limit.amount, made)


def _kind(unit: str) -> int:
    return SENT if unit == "sent" else REDEEMED


def part_of(limit: GroupLimit, start: int, stop: int) -> GroupLimit:
    """A night's limit as one of its campaigns sees it, in the numbers of its own offers."""
    mine = (limit.offers >= start) & (limit.offers < stop)
    weight = None if limit.weight is None else limit.weight[mine]
    return GroupLimit(limit.offers[mine] - start, limit.amount, limit.kind, limit.group, weight, limit.at_least)
