"""Which funders have agreed to their part of a campaign, and which offers wait for one that has not.

A funder's history stands in the workspace's agreements/CAMPAIGN/FUNDER.json.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from campaigns.approval import Difference
from campaigns.faults import near
from campaigns.fields import SLUG
from campaigns.offer import RETAILER
from campaigns.spec import Campaign
from campaigns.terms import Terms, changes_that_void, co_funded, co_funders, funder_terms
from flows.approving.records import Entry, State, add_entry, read_history
from flows.catalogue import items_for, read_items
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

Waiting = dict[str, tuple[str, ...]]  # offer id → its funders that have not agreed


@dataclass(frozen=True)
class Funding:
    """agreed: funder → hash of the terms that it agreed to, of those whose agreement stands."""

    waiting: Waiting
    agreed: dict[str, str]


NOTHING_ASKED = Funding({}, {})


@dataclass(frozen=True)
class Agreement:
    """How a funder stands to its terms as they are now. last: the newest entry; changes: since then, that void it."""

    state: State
    last: Entry | None
    terms: Terms
    changes: list[Difference]


def agreement_file(workspace: Workspace, campaign_id: str, funder: str) -> Path:
    """Raises InputError for what is no funder's name."""
    if not re.fullmatch(SLUG, funder):
        raise InputError(f"--funder: expected a funder as campaign files name them, got {funder!r}")
    return workspace.root / "agreements" / campaign_id / f"{funder}.json"


def terms_now(settings: Settings, campaign: Campaign, funder: str, items: pa.Table) -> Terms:
    """items: judged. Raises InputError for who does not co-fund the campaign."""
    known = co_funders(campaign)
    if funder not in known:
        own = funder == RETAILER
        hint = near(funder, known) or f"; it has: {', '.join(known) or 'none'}"
        said = "is the shop itself, which approves the campaign" if own else f"pays for no offer of it{hint}"
        raise InputError(f"{campaign.id}: --funder: {funder!r} {said}")
    return funder_terms(
        campaign,
        funder,
        items_for(campaign, items),
        night_budget=settings.night.budgets.get(funder),
        price_tolerance=settings.approval.price_tolerance,
    )


def agreement_of(
    workspace: Workspace, settings: Settings, campaign: Campaign, funder: str, items: pa.Table
) -> Agreement:
    """How the funder's last agreement stands to the terms now. items: judged. Raises as terms_now."""
    terms = terms_now(settings, campaign, funder, items)
    history = read_history(agreement_file(workspace, campaign.id, funder))
    if not history:
        return Agreement("never", None, terms, [])
    last = history[-1]
    if last["event"] != "agreed":
        return Agreement("withdrawn", last, terms, [])
    changes = changes_that_void(last["values"], terms.values)
    return Agreement("changed" if changes else "approved", last, terms, changes)


def agreements(workspace: Workspace, settings: Settings, campaign: Campaign, items: pa.Table) -> dict[str, Agreement]:
    """Funder → how it stands, of all that co-fund the campaign."""
    return {name: agreement_of(workspace, settings, campaign, name, items) for name in co_funders(campaign)}


def waiting_offers(workspace: Workspace, settings: Settings, campaign: Campaign, items: pa.Table) -> Waiting:
    """The offers that may not be given yet; none where larisma.toml assumes that funders agree. items: judged."""
    return funding(workspace, settings, campaign, items).waiting


def funding(workspace: Workspace, settings: Settings, campaign: Campaign, items: pa.Table) -> Funding:
    """What the campaign's co-funders have agreed to, and what waits for them. items: judged."""
    if settings.approval.funders == "assumed" or not co_funded(campaign):
        return NOTHING_ASKED
    found = agreements(workspace, settings, campaign, items)
    agreed = {name: one.last["hash"] for name, one in found.items() if one.last and one.state == "approved"}
    asked = co_funded(campaign).items()
    waiting = {offer: tuple(name for name in names if name not in agreed) for offer, names in asked}
    return Funding({offer: names for offer, names in waiting.items() if names}, agreed)


def held_back(campaign: Campaign, waiting: Waiting) -> Campaign:
    """The campaign of one firing without what is promised of offers that may not be given yet: guarantees, fallback.

    Raises InputError, naming the funders, if it has no other offers.
    """
    if not waiting:
        return campaign
    if all(offer.id in waiting for offer in campaign.offers):
        names = sorted({name for offer in campaign.offers for name in waiting[offer.id]})
        how = " and ".join(f"larisma campaign agree {campaign.id} --funder {name} --by NAME" for name in names)
        raise InputError(f"{campaign.id}: no offer is left: its terms wait for {' and '.join(names)} to agree; {how}")
    offers = tuple(o.model_copy(update={"minimum": None}) if o.id in waiting else o for o in campaign.offers)
    given = [offer for offer in offers if offer.id not in waiting]
    limits = tuple(limit for limit in campaign.limits if not limit.minimum or any(map(limit.covers, given)))
    fallback = None if campaign.fallback in waiting else campaign.fallback
    return campaign.model_copy(update={"offers": offers, "limits": limits, "fallback": fallback})


def agree(workspace: Workspace, settings: Settings, campaign: Campaign, funder: str, by: str, at: datetime) -> Entry:
    """Records that a funder agrees to its terms as they are now, items and prices as the tables have them."""
    terms = terms_now(settings, campaign, funder, read_items(workspace))
    entry: dict[str, Any] = {"event": "agreed", "hash": terms.hash, "values": terms.values}
    return add_entry(agreement_file(workspace, campaign.id, funder), entry, by, at)


def withdraw_agreement(workspace: Workspace, campaign_id: str, funder: str, by: str, at: datetime) -> Entry:
    """Records that a funder agrees no more. Raises InputError where it had not agreed."""
    path = agreement_file(workspace, campaign_id, funder)
    history = read_history(path)
    if not history or history[-1]["event"] != "agreed":
        raise InputError(f"{campaign_id}: {funder} has not agreed, so there is nothing to withdraw")
    return add_entry(path, {"event": "withdrawn", "hash": history[-1]["hash"]}, by, at)
