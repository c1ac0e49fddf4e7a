"""One campaign worked out as far as it goes alone: who may get what, what it is worth to them, and what limits it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from campaigns.allocation import Candidates, Limits, Offers
from campaigns.audience import Audience, meeting
from campaigns.calendar import Occurrence
from campaigns.contact import bought_lately
from campaigns.limits import Limit
from campaigns.scope import scope_matrix
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS
from flows.approving.agreements import NOTHING_ASKED, Funding
from flows.deciding.chances import Past, offer_chances, propensities
from flows.deciding.limits import Labels, Row, labels, own_rows
from flows.deciding.worth import BASKET_DAYS, limit_arrays, offer_arrays, past_baskets
from flows.settings import Settings


@dataclass(frozen=True, eq=False)
class Known:
    """What was known as of the decision. purchases: net of returns.

    inputs: table → {"rows", "sha256"} of what was read, before returns were taken off; for the manifest.
    """

    customers: pa.Table
    items: pa.Table
    purchases: pa.Table
    consents: pa.Table
    service_cases: pa.Table
    silences: pa.Table
    inputs: dict[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm of the audience: its people and what they may get.

    may_get: bool [people × offers]. propensity: [people × offers], of a purchase in scope; the candidates' p0 is that
    of one that reaches the offer's minimum spend. waits: bool [people], who may get nothing, and might if a funder had
    agreed. night_groups: the people's groups by the night's limits.
    """

    people: pa.Table
    may_get: NDArray[np.bool_]
    waits: NDArray[np.bool_]
    propensity: NDArray[np.float32]
    candidates: Candidates
    night_groups: list[Labels]


@dataclass(frozen=True, eq=False)
class Plan:
    """scopes: 0/1 [items × offers], rows as in the items table. base_rates: [offers], the share of buyers in scope.
    learned: how the chances were come by and how good they are, see flows.deciding.chances.checked.
    rows: limits on groups, in the numbers of the candidates' groups. limits.budgets and offers.shares: by funder.
    stated: the campaign as its file states it, of which `campaign` is what one firing leaves.
    reach: [offers], the share of the scope's baskets that reach the minimum spend.
    agreed: to what the funders have agreed; nobody may get what waits for one of them."""

    campaign: Campaign
    occurrence: Occurrence
    known: Known
    audience: Audience
    offers: Offers
    limits: Limits
    funders: tuple[str, ...]
    rows: tuple[Row, ...]
    scopes: csr_matrix
    base_rates: NDArray[np.float64]
    learned: dict[str, Any]
    margin_known: NDArray[np.float64]
    treatment: Arm
    control: Arm
    stated: Campaign
    reach: NDArray[np.float64]
    agreed: Funding


def plan_campaign(
    stated: Campaign,
    campaign: Campaign,
    occurrence: Occurrence,
    known: Known,
    audience: Audience,
    past: Past,
    as_of: datetime,
    settings: Settings,
    segments: pa.Table | None = None,
    agreed: Funding = NOTHING_ASKED,
) -> Plan:
    """Raises InputError for a window that the purchases known cannot speak of."""
    items, seed, night = known.items, settings.train.seed, settings.night.limits
    scopes = scope_matrix(campaign.offers, items, items["item_id"])
    chances = offer_chances(past, campaign, items)
    since = as_of - timedelta(days=BASKET_DAYS)
    spend, margin = past_baskets(known.purchases, items, scopes, since, settings.margin_rate)
    funders = tuple(sorted(campaign.budgets))
    offers, reach = offer_arrays(campaign, spend, margin, funders)
    people = audience.people
    asked = Asked(campaign, occurrence, known, as_of, segments)
    may_get = asked.meeting(people["customer_id"], [offer.eligibility for offer in campaign.offers])
    if days := settings.contact.bought_days:
        narrow = np.array([not offer.scope.everything for offer in campaign.offers])
        since = as_of - timedelta(days=days)
        own = people["customer_id"]
        may_get &= ~bought_lately(own, known.purchases, scopes, items["item_id"], narrow, since=since)
    could_get: NDArray[np.bool_] = np.asarray(may_get.any(axis=1))
    may_get &= ~np.array([offer.id in agreed.waiting for offer in campaign.offers])
    propensity = propensities(chances, people["customer_id"], may_get)
    own, shared = groups_of(asked, campaign.limits, people), groups_of(asked, night, people)
    rows, numbers = own_rows(campaign, offers.benefit, own)

    def arm(name: str) -> Arm:
        of = np.flatnonzero(pc.equal(people["arm"], name).to_numpy())
        p0 = propensity[of] * reach.astype(np.float32)
        pairs = candidates(people.take(of), may_get[of], p0, seed, numbers[of] if numbers.shape[1] else None)
        waits = could_get[of] & ~np.asarray(may_get[of].any(axis=1))
        return Arm(people.take(of), may_get[of], waits, propensity[of], pairs, [label[of] for label in shared])

    return Plan(
        campaign,
        occurrence,
        known,
        audience,
        offers,
        limit_arrays(campaign, CHANNELS, funders),
        funders,
        tuple(rows),
        scopes,
        chances.base,
        chances.about,
        share_with_margin(items, scopes),
        arm("treatment"),
        arm("control"),
        stated,
        reach,
        agreed,
    )


@dataclass(frozen=True, eq=False)
class Asked:
    """The customers as a campaign's predicates see them."""

    campaign: Campaign
    occurrence: Occurrence
    known: Known
    as_of: datetime
    segments: pa.Table | None

    def meeting(self, ids: pa.ChunkedArray, predicates: Sequence[str | None]) -> NDArray[np.bool_]:
        """Of whom each predicate is true: bool [ids × predicates]."""
        return meeting(
            self.campaign,
            self.known.customers,
            ids,
            predicates,
            as_of=self.as_of,
            send_at=self.occurrence.send_at,
            segments=self.segments,
        )


def groups_of(asked: Asked, limits: Sequence[Limit], people: pa.Table) -> list[Labels]:
    """Each limit's group of each of the people."""
    ids, customers = people["customer_id"], asked.known.customers
    if not limits:
        return []
    held = asked.meeting(ids, [limit.where for limit in limits])
    rows = pc.index_in(ids, value_set=customers["customer_id"].combine_chunks())
    return labels(limits, customers.take(rows), held)


def share_with_margin(items: pa.Table, scopes: csr_matrix) -> NDArray[np.float64]:
    """How many of each scope's items state a margin, 0–1 [offers]; of the others settings.margin_rate is assumed."""
    stated = items["margin_rate"].is_valid().to_numpy().astype(np.float64)
    return (scopes.T @ stated) / np.maximum(1, np.asarray(scopes.sum(axis=0)).ravel())


def candidates(
    people: pa.Table,
    may_get: NDArray[np.bool_],
    p0: NDArray[np.float32],
    seed: int,
    groups: NDArray[np.int32] | None = None,
) -> Candidates:
    """The pairs that are allowed, a row per person in the order of the table."""
    person, offer = np.nonzero(may_get)
    return Candidates(
        indptr=np.concatenate([[0], np.cumsum(may_get.sum(axis=1))]).astype(np.int64),
        offer=offer.astype(np.uint16 if may_get.shape[1] <= 1 << 16 else np.uint32),
        p0=np.ascontiguousarray(p0[person, offer]),
        channel_ok=np.column_stack([people[channel].to_numpy() for channel in CHANNELS]),
        keys=pd.util.hash_array(people["customer_id"].to_numpy(), hash_key=f"{seed:016d}"),
        groups=groups,
        message_cost=fatigue if (fatigue := _fatigue(people)).any() else None,
    )


def _fatigue(people: pa.Table) -> NDArray[np.float64]:
    """Rupiah that unopened messages add to the cost of one more: [people × channels]."""
    return np.column_stack([people[f"{channel}_fatigue"].to_numpy().astype(np.float64) for channel in CHANNELS])
