"""What somebody who approves a campaign has to see: people, money, offers, dates, languages, what is not in order."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from campaigns.calendar import occurrences
from campaigns.reviewers import needs_reviewer, unreviewed
from campaigns.spec import Campaign
from campaigns.tables import CampaignError
from campaigns.terms import co_funded
from campaigns.words import offer_words
from flows.announcements import workspace_moon
from flows.approving.agreements import agreements
from flows.approving.approvals import Approval, approval_of
from flows.campaign_files import campaign_paths, find_campaign
from flows.catalogue import read_items
from flows.people import count_audience
from flows.settings import Settings
from flows.workspace import Workspace, read_catalog
from recsys.tables import InputError

CHEAP = 1_000_000  # customers up to whom the audience is counted
FIRINGS = 3


def review(workspace: Workspace, settings: Settings, campaign: Campaign, at: datetime) -> dict[str, Any]:
    """What is being approved, as plain values.

    {"campaign", "name", "hash", "parts", "state", "last" (who and when) or null, "changes": lines, "budgets",
    "channels", "offers": rows, "dates": of the next sendings, "languages": rows, "audience": as count_audience, or null
    where there are many, "warnings": lines}
    """
    approval, moon = approval_of(workspace, settings, campaign), workspace_moon(workspace)
    zone = ZoneInfo(campaign.schedule.zone)
    coming = occurrences(campaign.schedule, at, FIRINGS, moon=moon)
    customers = read_catalog(workspace).get("customers", {"rows": 0})["rows"]
    return {
        "campaign": campaign.id,
        "name": campaign.name,
        "hash": approval.now.whole,
        "parts": approval.now.parts,
        **standing(approval),
        "budgets": dict(campaign.budgets),
        "channels": {name: channel.capacity for name, channel in campaign.channels.items()},
        "offers": [
            {
                "offer_id": offer.id,
                "title": offer.text["id"].title,
                "benefit": offer_words(offer, "id")["summary"],
                "quota": f"{offer.quota.limit} {offer.quota.kind}" if offer.quota else None,
                "funders": dict(offer.funders),
            }
            for offer in campaign.offers
        ],
        "dates": [
            {
                "send_at": firing.send_at.astimezone(zone).isoformat(timespec="minutes"),
                "phase": firing.phase or None,
                "estimated": firing.estimated,
            }
            for firing in coming
        ],
        "languages": [
            {"language": language, "reviewed_by": words.reviewed_by, "needs_reviewer": needs_reviewer(language)}
            for language, words in sorted(campaign.content.items())
        ],
        "audience": count_audience(workspace, settings, campaign, at) if 0 < customers <= CHEAP else None,
        "warnings": warnings(workspace, settings, campaign),
    }


def standing(approval: Approval) -> dict[str, Any]:
    """How a campaign stands, as plain values."""
    last = approval.last
    return {
        "state": approval.state,
        "last": {"event": last["event"], "by": last["by"], "at": last["at"]} if last else None,
        "changes": [str(change) for change in approval.changes],
    }


def warnings(workspace: Workspace, settings: Settings, campaign: Campaign) -> list[str]:
    """A line for each thing that keeps offers from being given, or that a speaker has not read; none is a fault."""
    found = [f"{campaign.id}.yaml: {line}" for line in unreviewed(campaign)]
    if settings.approval.funders == "required" and co_funded(campaign):
        found += agreements_missing(workspace, settings, campaign, read_items(workspace))
    return found


def agreements_missing(workspace: Workspace, settings: Settings, campaign: Campaign, items: pa.Table) -> list[str]:
    """A line for each funder that has not agreed to its terms as they are now."""
    found = []
    for funder, agreement in agreements(workspace, settings, campaign, items).items():
        if agreement.state == "approved":
            continue
        waiting = ", ".join(offer for offer, names in co_funded(campaign).items() if funder in names)
        first = "".join(map(str, agreement.changes[:1]))
        said = {
            "never": "has not agreed to its terms",
            "withdrawn": "agrees to its terms no more",
            "changed": f"agreed to other terms ({len(agreement.changes)} changes, the first {first})",
        }[agreement.state]
        found.append(
            f"{campaign.id}.yaml: {funder} {said}; until it does, nobody gets {waiting}: "
            f"larisma campaign terms {campaign.id} --funder {funder}"
        )
    return found


def standings(workspace: Workspace, settings: Settings) -> list[dict[str, Any]]:
    """A row for each campaign of the workspace; one whose file or history is faulty says so and stops nothing."""
    rows = []
    for campaign_id in campaign_paths(workspace):
        try:
            found = standing(approval_of(workspace, settings, find_campaign(workspace, campaign_id)))
        except (CampaignError, InputError) as error:
            found = {"state": "faulty", "last": None, "changes": str(error).splitlines()[:1]}
        rows.append({"campaign": campaign_id, **found})
    return rows
