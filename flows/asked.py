"""What a campaign asks for that cannot be had: guarantees beyond what its people, budgets and other limits allow."""

from datetime import datetime

from campaigns.allocation import MinimumsError
from campaigns.calendar import due_occurrence
from campaigns.spec import Campaign
from campaigns.tables import CampaignError
from flows.announcements import workspace_moon
from flows.campaign_files import campaign_paths, find_campaign
from flows.decide import solve_together
from flows.deciding.limits import limit_faults
from flows.settings import Settings
from flows.workspace import Workspace


def check_limits(workspace: Workspace, settings: Settings, campaign_id: str | None, as_of: datetime) -> None:
    """Raises CampaignError naming every limit that concerns no offer, and every minimum that cannot be met, with the
    largest common share that can. Minimums need chances, so without a model they are not looked at."""
    faults: list[str] = []
    for name in [campaign_id] if campaign_id else campaign_paths(workspace):
        campaign = find_campaign(workspace, name)
        faults += [f"{campaign.id}.yaml: {fault}" for fault in limit_faults(campaign)]
        if guarantees(campaign) and workspace.champion.exists():
            faults += unmet(workspace, settings, campaign, as_of)
    if faults:
        raise CampaignError("\n".join(faults))


def unmet(workspace: Workspace, settings: Settings, campaign: Campaign, as_of: datetime) -> list[str]:
    """A line for each minimum that cannot be met; none where all can."""
    occurrence = due_occurrence(campaign.schedule, as_of, moon=workspace_moon(workspace))
    try:
        solve_together(workspace, settings, [(campaign, occurrence)], as_of, as_if_agreed=True)
    except MinimumsError as error:
        return str(error).splitlines()
    return []


def guarantees(campaign: Campaign) -> bool:
    """Whether it states any minimum."""
    return any(offer.minimum for offer in campaign.offers) or any(limit.minimum for limit in campaign.limits)
