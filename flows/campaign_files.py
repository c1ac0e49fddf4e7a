"""The campaigns of a workspace, `campaigns/*.yaml`: found, listed, and checked against the data."""

from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.calendar import occurrences
from campaigns.checking import check_file, located
from campaigns.policy import Policy, check_claims
from campaigns.spec import Campaign, read_campaign
from campaigns.tables import CampaignError
from flows.announcements import workspace_moon
from flows.catalogue import read_items, workspace_policy
from flows.people import check_people
from flows.settings import Settings
from flows.workspace import Workspace


def campaign_paths(workspace: Workspace) -> dict[str, Path]:
    """Campaign id → file, in order of id."""
    return {path.stem: path for path in sorted(workspace.campaigns.glob("*.yaml"))}


def campaign_path(workspace: Workspace, campaign_id: str) -> Path:
    """Raises CampaignError if there is no such campaign."""
    paths = campaign_paths(workspace)
    if campaign_id not in paths:
        near = get_close_matches(campaign_id, paths, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(paths) or 'none'}"
        raise CampaignError(f"campaign {campaign_id}: not in {workspace.campaigns}; {hint}")
    return paths[campaign_id]


def find_campaign(workspace: Workspace, campaign_id: str) -> Campaign:
    """Raises CampaignError if there is no such campaign, or if its file has faults."""
    return _load(campaign_path(workspace, campaign_id), workspace_policy(workspace))


def load_campaigns(workspace: Workspace) -> list[Campaign]:
    """All campaigns. Raises CampaignError naming the faults of every file at once."""
    campaigns, faults, policy = [], [], workspace_policy(workspace)
    for path in campaign_paths(workspace).values():
        try:
            campaigns.append(_load(path, policy))
        except CampaignError as error:
            faults.append(str(error))
    if faults:
        raise CampaignError("\n".join(faults))
    return campaigns


def _load(path: Path, policy: Policy) -> Campaign:
    """Raises CampaignError for faults of the file, and for words that the country's rules forbid."""
    reading = read_campaign(path)
    if reading.campaign is None:
        raise CampaignError("\n".join(reading.faults))
    if faults := check_claims(reading.campaign, policy):
        raise CampaignError("\n".join(reading.at(place, fault) for place, fault in faults))
    return reading.campaign


def list_campaigns(workspace: Workspace, after: datetime) -> list[dict[str, Any]]:
    """A row for each campaign: when it is decided and sent next, in its own zone, and what it may spend.

    Its instants are null where it fires no more.
    """
    rows, moon = [], workspace_moon(workspace)
    for campaign in load_campaigns(workspace):
        zone = ZoneInfo(campaign.schedule.zone)
        coming = next(iter(occurrences(campaign.schedule, after, 1, moon=moon)), None)
        rows.append(
            {
                "id": campaign.id,
                "name": campaign.name,
                "phase": (coming and coming.phase) or None,
                "occurrence": coming and coming.name,
                "send_at": coming and coming.send_at.astimezone(zone).isoformat(timespec="minutes"),
                "decide_at": coming and coming.decide_at.astimezone(zone).isoformat(timespec="minutes"),
                "estimated": bool(coming and coming.estimated),
                "waiting": bool(coming and coming.waiting),
                "offers": len(campaign.offers),
                "budget": sum(campaign.budgets.values()),
            }
        )
    return rows


def check_campaigns(
    workspace: Workspace, settings: Settings, campaign_id: str | None, as_of: datetime
) -> list[dict[str, Any]]:
    """The funnel of each campaign's audience. Raises CampaignError with every fault of every file, and of its data."""
    paths = campaign_paths(workspace)
    if campaign_id:
        paths = {campaign_id: campaign_path(workspace, campaign_id)}
    if not paths:
        raise CampaignError(
            f"{workspace.campaigns}: no campaigns; make one with: larisma campaign new gajian --from gajian"
        )
    items, policy = read_items(workspace), workspace_policy(workspace)
    faults, checked = [], []
    for path in paths.values():
        reading, found = check_file(path, items, policy)
        faults += found
        if reading.campaign is None:
            continue
        row, of_people = check_people(workspace, settings, reading.campaign, as_of)
        faults += [located(reading, fault) for fault in of_people]
        checked.append(row)
    if faults:
        raise CampaignError("\n".join(faults))
    return checked
