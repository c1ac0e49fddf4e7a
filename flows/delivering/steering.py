"""From another terminal: pause a delivery, let it go on, end it; hold back one offer."""

from datetime import datetime
from pathlib import Path
from typing import Any

from campaigns.ledger import Ledger, change, pause_offer, paused_offers, resume_offer
from campaigns.ledger.history import occurrences
from campaigns.ledger.schema import CANCELLED, PAUSED, RUNNING
from flows.campaign_files import find_campaign
from flows.delivering.alerts import alert_by
from flows.delivering.ledgers import ledger_url, open_for
from flows.delivering.outgoing import standing
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

OPEN_TO = {  # what it is changed to → states of an occurrence that is meant by the campaign's name alone
    PAUSED: ("planned", "running", "stopped"),
    RUNNING: ("planned", "paused", "stopped"),
    CANCELLED: ("planned", "running", "paused", "stopped"),
}


def steer(
    workspace: Workspace,
    settings: Settings,
    campaign_id: str,
    state: str,
    now: datetime,
    *,
    occurrence: str | None = None,
    reason: str = "",
) -> dict[str, Any]:
    """Changes what is sent live of a campaign; returns how it stands, with its state `before`.

    Raises InputError if nothing of the campaign is in the ledger, LedgerError if it cannot become so.
    """
    ledger = open_for(workspace, settings, True, now)
    try:
        name = occurrence or _meant(ledger, campaign_id, state)
        before = change(ledger, campaign_id, name, state, now, reason)
        found = {**standing(ledger, campaign_id, name), "before": before}
    finally:
        ledger.close()
    if before != state and state != RUNNING:
        alert_by(settings)(state, found)
    return found


def _meant(ledger: Ledger, campaign_id: str, state: str) -> str:
    """The newest occurrence that the change makes sense for, else the newest one."""
    mine = [row for row in occurrences(ledger) if row["campaign_id"] == campaign_id]
    if not mine:
        raise InputError(f"campaign {campaign_id}: nothing of it is being sent; larisma deliver {campaign_id} --live")
    mine.sort(key=lambda row: row["occurrence"], reverse=True)
    return next((row for row in mine if row["state"] in OPEN_TO[state]), mine[0])["occurrence"]


def steer_offer(
    workspace: Workspace,
    settings: Settings,
    campaign_id: str,
    offer_id: str,
    now: datetime,
    *,
    pause: bool,
    reason: str = "",
) -> dict[str, Any]:
    """Holds an offer back, or lets it go on: {"campaign", "offer", "changed", "paused": offers that are now}.

    Raises InputError for an offer that the campaign does not have.
    """
    campaign = find_campaign(workspace, campaign_id)
    known = [offer.id for offer in campaign.offers]
    if pause and offer_id not in known:
        raise InputError(f"campaign {campaign_id}: no offer {offer_id!r}; it has {', '.join(known) or 'none'}")
    ledger = open_for(workspace, settings, True, now)
    try:
        if pause:
            changed = pause_offer(ledger, campaign_id, offer_id, now, reason)
        else:
            changed = resume_offer(ledger, campaign_id, offer_id)
        paused = sorted(paused_offers(ledger, campaign_id))
    finally:
        ledger.close()
    return {"campaign": campaign_id, "offer": offer_id, "changed": changed, "paused": paused}


def deliveries(workspace: Workspace, settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """How each occurrence stands that is in the ledger of what is really sent, newest first: see standing.

    Where there is no ledger yet, none is made.
    """
    url = ledger_url(workspace, settings)
    if "://" not in url and not Path(url).exists():
        return []
    ledger = open_for(workspace, settings, True, now)
    try:
        return [standing(ledger, row["campaign_id"], row["occurrence"]) for row in occurrences(ledger)]
    finally:
        ledger.close()
