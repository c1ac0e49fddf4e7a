"""The campaigns of a workspace, `campaigns/*.yaml`: found, listed, and checked against the data."""

from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.audience import check_audience, select_audience
from campaigns.calendar import due_occurrence
from campaigns.policy import Policy, check_claims
from campaigns.rendering import check_content
from campaigns.scope import check_scopes
from campaigns.spec import Campaign, load_campaign
from campaigns.tables import CampaignError
from flows.catalogue import read_items, workspace_policy
from flows.settings import Settings
from flows.workspace import Workspace, read_table


def campaign_paths(workspace: Workspace) -> dict[str, Path]:
    """Campaign id → file, in order of id."""
    return {path.stem: path for path in sorted(workspace.campaigns.glob("*.yaml"))}


def find_campaign(workspace: Workspace, campaign_id: str) -> Campaign:
    """Raises CampaignError if there is no such campaign, or if its file has faults."""
    paths = campaign_paths(workspace)
    if campaign_id not in paths:
        near = get_close_matches(campaign_id, paths, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(paths) or 'none'}"
        raise CampaignError(f"campaign {campaign_id}: not in {workspace.campaigns}; {hint}")
    return _load(paths[campaign_id], workspace_policy(workspace))


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
    campaign = load_campaign(path)
    if faults := check_claims(campaign, policy):
        raise CampaignError("\n".join(f"{path.name}: {'.'.join(map(str, place))}: {fault}" for place, fault in faults))
    return campaign


def list_campaigns(workspace: Workspace, after: datetime) -> list[dict[str, Any]]:
    """A row for each campaign: when it is decided and sent next, in its own zone, and what it may spend."""
    rows = []
    for campaign in load_campaigns(workspace):
        zone, coming = ZoneInfo(campaign.schedule.timezone), due_occurrence(campaign.schedule, after)
        rows.append(
            {
                "id": campaign.id,
                "name": campaign.name,
                "occurrence": coming.name,
                "send_at": coming.send_at.astimezone(zone).isoformat(timespec="minutes"),
                "decide_at": coming.decide_at.astimezone(zone).isoformat(timespec="minutes"),
                "estimated": coming.estimated,
                "offers": len(campaign.offers),
                "budget": sum(campaign.budgets.values()),
            }
        )
    return rows


def check_campaigns(
    workspace: Workspace, settings: Settings, campaign_id: str | None, as_of: datetime
) -> list[dict[str, Any]]:
    """The funnel of each campaign's audience. Raises CampaignError with every fault of every file, and of its data."""
    wanted = [find_campaign(workspace, campaign_id)] if campaign_id else load_campaigns(workspace)
    if not wanted:
        raise CampaignError(
            f"{workspace.campaigns}: no campaigns; copy one here, or make a workspace with larisma init"
        )
    items = read_items(workspace)
    people = [
        read_table(workspace, name, as_of=as_of) for name in ("customers", "consents", "service_cases", "silences")
    ]
    faults, checked = [], []
    for campaign in wanted:
        against_data = check_scopes(campaign, items) + check_audience(campaign, people[0], as_of=as_of)
        faults += check_content(campaign) + [f"{campaign.id}.yaml: {fault}" for fault in against_data]
        audience = select_audience(
            campaign,
            *people,
            as_of=as_of,
            control_salt=settings.control_salt,
            assume_consent=settings.consent.assume,
        )
        if audience.people.num_rows == 0:
            counts = ", ".join(f"{people} {reason}" for reason, people in audience.funnel[1:] if people)
            faults.append(
                f"{campaign.id}.yaml: nobody can be written to: {counts}; "
                "map [sources.consents], or set consent.assume in larisma.toml if you hold consent elsewhere"
            )
        checked.append({"campaign": campaign.id, "funnel": audience.funnel})
    if faults:
        raise CampaignError("\n".join(faults))
    return checked
