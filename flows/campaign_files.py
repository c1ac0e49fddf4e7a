"""The campaigns of a workspace: `campaigns/*.yaml`."""

from difflib import get_close_matches
from pathlib import Path

from campaigns.spec import Campaign, CampaignError, load_campaign
from flows.workspace import Workspace


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
    return load_campaign(paths[campaign_id])


def load_campaigns(workspace: Workspace) -> list[Campaign]:
    """All campaigns. Raises CampaignError naming the faults of every file at once."""
    campaigns, faults = [], []
    for path in campaign_paths(workspace).values():
        try:
            campaigns.append(load_campaign(path))
        except CampaignError as error:
            faults.append(str(error))
    if faults:
        raise CampaignError("\n".join(faults))
    return campaigns
