"""Messages of which something does not hold any more: without what it is, or with the fallback offer in its place.

An item that is sold out, gone or dearer leaves its offer, an offer without items or one that is paused leaves the
message. Where none is left the campaign's fallback offer takes their place, if the customer was allowed it, it is not
paused, and its budget and quota have room.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.calendar import occurrence_instant
from campaigns.content import Content
from campaigns.contradictions import PLACEMENTS
from campaigns.firing import in_phase, offer_ends
from campaigns.ledger import MILLIONTHS, Claim
from campaigns.ledger.planning import Key
from campaigns.message import Sender
from campaigns.offer import Offer
from campaigns.policy import judged, with_references
from campaigns.rendering import compile_content
from campaigns.spec import Campaign
from campaigns.tables import DECISIONS
from flows.catalogue import items_for, read_category_names, workspace_policy
from flows.deciding.greeting import NO_OFFER
from flows.deciding.messages import needed_items, render_messages
from flows.delivering.book import Book
from flows.delivering.facts import Facts
from flows.delivering.plan import budget_accounts, chances
from flows.delivering.run import Run
from flows.settings import Settings
from flows.workspace import Workspace, checksum, read_table

Row = dict[str, Any]
TREATED = pc.field("arm") == "treatment"
POPULAR = "popular"  # the reason of an item of which nothing else is known


@dataclass(frozen=True)
class Mended:
    """Decisions that still hold, what they use of the ledger's accounts, and why they are not what was planned."""

    decisions: list[Row]
    uses: dict[int, int]
    reason: str

    @property
    def offers(self) -> list[str]:
        return sorted({row["offer_id"] for row in self.decisions})


@dataclass(frozen=True, eq=False)
class Decided:
    """What messages are mended from. campaign: of the occurrence's phase; None if its file is not what was decided from
    any more, and then nothing is mended. ids: of the ledger's accounts."""

    run: Run
    campaign: Campaign | None
    ids: Mapping[Key, int]
    limited: bool  # by limits on groups, which the ledger does not keep: then no other offer is given
    names: Mapping[str, Mapping[str, str]]  # of categories, by language

    @cached_property
    def book(self) -> Book:
        """The decisions of those who are written to."""
        return Book(pq.read_table(self.run.folder / "decisions.parquet", filters=TREATED))

    @cached_property
    def allowed(self) -> dict[str, float]:
        """Who may get the fallback offer → their chance of a purchase within its scope."""
        if self.fallback is None:
            return {}
        one = TREATED & (pc.field("offer_id") == self.fallback.id)
        columns = ["customer_id", "propensity"]
        found = pq.read_table(self.run.folder / "considered.parquet", columns=columns, filters=one).to_pydict()
        return dict(zip(found["customer_id"], found["propensity"], strict=True))

    @cached_property
    def content(self) -> Content | None:
        return compile_content(self.campaign, self.names) if self.campaign else None

    @property
    def fallback(self) -> Offer | None:
        if self.campaign is None or self.campaign.fallback is None or self.limited:
            return None
        offer = self.campaign.offer(self.campaign.fallback)
        return None if offer.code and offer.code.pool else offer  # a code of one's own was never drawn for it


def decided(workspace: Workspace, settings: Settings, run: Run, campaign: Campaign, ids: Mapping[Key, int]) -> Decided:
    stated, phase = run.manifest["campaign"], run.manifest.get("phase") or ""
    same = checksum(workspace.campaigns / f"{campaign.id}.yaml") == stated["version"]
    known = in_phase(campaign, phase) if same else None
    fallback = campaign.offer(campaign.fallback) if campaign.fallback else None
    limits = [limit for limit in (*campaign.limits, *settings.night.limits) if not limit.minimum]
    return Decided(
        run,
        known,
        ids,
        fallback is not None and any(limit.covers(fallback) for limit in limits),
        read_category_names(workspace),
    )


def mend(
    claims: Sequence[Claim], reasons: Mapping[str, str], about: Decided, facts: Facts, paused: Iterable[str]
) -> dict[str, Mended | str]:
    """message_id → what is left of it, or why nothing is. reasons: why each was looked at, "" for its items."""
    rows = about.book.rows(sorted({one.customer_id for one in claims}))
    found: dict[str, Mended | str] = {}
    for one in claims:
        own = [row for row in rows if row["customer_id"] == one.customer_id and row["channel"] == one.channel]
        why = reasons[one.message_id] or _why(own, facts)
        kept = [row for row in (_left(row, facts, set(paused)) for row in own) if row]
        if not kept:
            kept = _instead(about, own, about.allowed.get(one.customer_id), set(paused))
        if about.campaign is None or not kept:
            found[one.message_id] = why
        else:
            found[one.message_id] = Mended(kept, uses_of(kept, about), why)
    return found


def other_than_planned(about: Decided, claims: Sequence[Claim]) -> set[str]:
    """The messages that were given other offers at an earlier try, and so are not those that were rendered."""
    if not claims:
        return set()
    planned: dict[tuple[str, str], set[str]] = {}
    for row in about.book.rows({one.customer_id for one in claims}):
        planned.setdefault((row["customer_id"], row["channel"]), set()).add(row["offer_id"])
    return {
        one.message_id
        for one in claims
        if set(one.offers) != planned.get((one.customer_id, one.channel), set()) - {NO_OFFER}
    }


def rerendered(
    workspace: Workspace, settings: Settings, about: Decided, mended: Iterable[Mended], facts: Facts
) -> dict[str, Row]:
    """message_id → row of MESSAGES, rendered as the run was, from the items as they are now."""
    if about.campaign is None:
        return {}
    listed = [row for one in mended for row in one.decisions]
    decisions = pa.Table.from_pylist(listed, schema=DECISIONS.schema)
    send_at = occurrence_instant(about.run.occurrence)
    items = items_for(about.campaign, _priced(workspace, needed_items(decisions), send_at))
    blocks = render_messages(
        about.campaign,
        decisions,
        facts.people,
        items,
        sender=Sender(settings.shop, settings.shop_url, settings.shop_address),
        optout_url=settings.optout_url,
        send_at=send_at,
        until=offer_ends(about.campaign, send_at),
        content=about.content,
    )
    return {row["message_id"]: row for block in blocks for row in block.to_pylist()}


def _priced(workspace: Workspace, items: pa.Array, at: datetime) -> pa.Table:
    """Items as a decision sees them: judged, and with the price that may stand struck through."""
    policy, here = workspace_policy(workspace), pc.field("item_id").isin(items)
    history = read_table(workspace, "price_history", as_of=at, where=here)
    return with_references(judged(read_table(workspace, "items", where=here), policy), history, at, policy)


def uses_of(decisions: Sequence[Mapping[str, Any]], about: Decided) -> dict[int, int]:
    """Account → how much of it these decisions use, as plan.message_rows has it."""
    uses: dict[int, int] = {}
    budgets, factors = budget_accounts(about.ids), chances(about.run.manifest)
    for row in decisions:
        for cost in row["costs"]:
            for funder, account in budgets:
                if funder == cost["funder"]:
                    uses[account] = uses.get(account, 0) + cost["amount"]
        factor, quota = factors[row["offer_id"], row["channel"]]
        if quota:
            account = about.ids["quota", row["offer_id"]]
            chance = 1.0 if quota == "sent" else min(1.0, row["propensity"] * factor)
            uses[account] = uses.get(account, 0) + math.floor(chance * MILLIONTHS)
    return {account: use for account, use in uses.items() if use}


def _why(decisions: Sequence[Row], facts: Facts) -> str:
    return next((facts.unfit[item] for row in decisions for item in row["item_ids"] if item in facts.unfit), "")


def _left(decision: Row, facts: Facts, paused: set[str]) -> Row | None:
    """What still holds of one offer's decision."""
    if decision["offer_id"] in paused:
        return None
    items = [item for item in decision["item_ids"] if item not in facts.unfit]
    if items == decision["item_ids"]:
        return decision
    reason = decision["reason"] if items[:1] == decision["item_ids"][:1] else POPULAR  # it speaks of the first item
    return {**decision, "item_ids": items, "reason": reason} if items else None


def _instead(about: Decided, own: Sequence[Row], propensity: float | None, paused: set[str]) -> list[Row]:
    """The fallback offer's decision, where it may be given. propensity: the customer's, None if they may not get it."""
    offer, campaign = about.fallback, about.campaign
    if offer is None or campaign is None or propensity is None or offer.id in paused or not own:
        return []
    first = own[0]
    facts = next((row for row in about.run.manifest["offers"] if row["offer_id"] == offer.id), None)
    if facts is None or "benefit" not in facts:  # the day left the offer out, or the run does not say what it costs
        return []
    factor, _ = chances(about.run.manifest)[offer.id, first["channel"]]
    spent = min(1.0, propensity * factor) * facts["benefit"]
    costs = [{"funder": funder, "amount": math.ceil(spent * share)} for funder, share in sorted(offer.funders.items())]
    placements = campaign.channels[first["channel"]].placements
    place = next(name for name in PLACEMENTS[first["channel"]] if name in placements)
    return [
        {
            **first,
            "placement": place,
            "position": 1,
            "offer_id": offer.id,
            "item_ids": [],
            "propensity": propensity,
            "costs": [cost for cost in costs if cost["amount"]],
            "reason": POPULAR,
            "code": offer.code.shared if offer.code else None,
        }
    ]
