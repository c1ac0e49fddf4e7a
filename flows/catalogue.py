"""The items as every verb sees them: judged by the country's rules, which a workspace may state anew."""

from pathlib import Path

import pyarrow as pa

from campaigns.policy import Policy, judged, keep_ramadan, load_policy
from campaigns.spec import Campaign
from campaigns.words import register_of
from flows.workspace import Workspace, read_table

OF_RAMADAN = ("ramadan", "lebaran")  # occasions whose campaigns show nothing unfit for Ramadan


def read_items(workspace: Workspace) -> pa.Table:
    """The table of items with `restriction` filled and `never_in`, the places where each may not stand."""
    return judged(read_table(workspace, "items"), workspace_policy(workspace))


def items_for(campaign: Campaign, items: pa.Table) -> pa.Table:
    """The judged items as a campaign may use them."""
    return keep_ramadan(items) if campaign.schedule.occasion in OF_RAMADAN else items


def workspace_policy(workspace: Workspace) -> Policy:
    """The workspace's policy/id.yaml where there is one, else the rules that come with Larisma.

    Raises CampaignError with a line for each fault of the file.
    """
    own = policy_file(workspace)
    return load_policy(own) if own.is_file() else load_policy()


def policy_file(workspace: Workspace) -> Path:
    return workspace.root / "policy" / "id.yaml"


def read_category_names(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Language → category path → its name for readers; languages that messages do not speak are left out."""
    rows = read_table(workspace, "category_names").sort_by([("language", "ascending"), ("category", "ascending")])
    found: dict[str, dict[str, str]] = {}
    for row in rows.to_pylist():
        if language := register_of(row["language"]):
            found.setdefault(language, {})[row["category"]] = row["name"]
    return found
