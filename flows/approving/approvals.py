"""Who approved a campaign, what it meant then, and what has changed since. Nothing is delivered live without it.

A campaign's history stands in the workspace's approvals/CAMPAIGN.json.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from campaigns.approval import Difference, Fingerprint, Values, differences, fingerprint
from campaigns.calendar import occurrence_instant
from campaigns.spec import Campaign
from campaigns.words import HOME, languages, load_words
from flows.approving.agreements import waiting_offers
from flows.approving.records import Entry, State, add_entry, read_history
from flows.campaign_files import find_campaign
from flows.catalogue import read_items
from flows.settings import Settings
from flows.workspace import Workspace, read_json
from recsys.tables import InputError

MEANING = "campaign.json"  # of a run: the values of what it was decided from
LINES = 20  # of a diff in an error


@dataclass(frozen=True)
class Approval:
    """How a campaign stands. last: the newest entry of its history, None where it has none. changes: since then."""

    state: State
    last: Entry | None
    now: Fingerprint
    changes: list[Difference]


def approval_file(workspace: Workspace, campaign_id: str) -> Path:
    return workspace.root / "approvals" / f"{campaign_id}.json"


def approval_of(workspace: Workspace, settings: Settings, campaign: Campaign) -> Approval:
    """How the campaign, as its file is now, stands to what was approved last."""
    now, history = meaning(settings, campaign), read_history(approval_file(workspace, campaign.id))
    if not history:
        return Approval("never", None, now, [])
    last = history[-1]
    if last["event"] != "approved":
        return Approval("withdrawn", last, now, [])
    if last["hash"] == now.whole:
        return Approval("approved", last, now, [])
    return Approval("changed", last, now, differences(last["values"], now.values))


def approve(workspace: Workspace, settings: Settings, campaign: Campaign, by: str, at: datetime) -> Entry:
    """Records that somebody approves the campaign as it is; returns the entry. Raises InputError for no name."""
    now = meaning(settings, campaign)
    entry = {"event": "approved", "hash": now.whole, "parts": now.parts, "values": now.values}
    return add_entry(approval_file(workspace, campaign.id), entry, by, at)


def withdraw_approval(workspace: Workspace, campaign_id: str, by: str, at: datetime) -> Entry:
    """Records that the campaign is approved no more. Raises InputError where it was not approved."""
    history = read_history(approval_file(workspace, campaign_id))
    if not history or history[-1]["event"] != "approved":
        raise InputError(f"{campaign_id}: it is not approved, so there is nothing to withdraw")
    entry = {"event": "withdrawn", "hash": history[-1]["hash"]}
    return add_entry(approval_file(workspace, campaign_id), entry, by, at)


def require_approval(workspace: Workspace, settings: Settings, manifest: Mapping[str, Any]) -> str:
    """The hash under which a run may be delivered live: what it was decided from is approved, and is so still.

    manifest: of the run. Raises InputError, with what changed, where the campaign was never approved, was withdrawn,
    has changed since it was approved, or the run was decided from something else; and where it gives an offer to which
    a funder does not agree any more.
    """
    campaign_id = manifest["campaign"]["id"]
    campaign = find_campaign(workspace, campaign_id)
    how = f"larisma approve {campaign_id} --by NAME --workspace {workspace.root}"
    found = approval_of(workspace, settings, campaign)
    if found.last is None:
        raise InputError(f"{campaign_id}: nobody has approved it; look it over, then: {how}")
    said = f"by {found.last['by']} at {found.last['at']}"
    if found.state == "withdrawn":
        raise InputError(f"{campaign_id}: its approval was withdrawn {said}; approve it again: {how}")
    if found.state == "changed":
        raise InputError(
            f"{campaign_id}: it was approved {said}, and has changed since:{listed(found.changes)}\n  {how}"
        )
    if manifest["campaign"].get("fingerprint") != found.now.whole:
        decided = run_meaning(workspace, manifest)
        changes = listed(differences(found.now.values, decided)) if decided else ""
        raise InputError(
            f"{campaign_id} {manifest['occurrence']}: decided from something else than what was approved {said}; "
            f"decide it again: larisma decide {campaign_id} --workspace {workspace.root}{changes}"
        )
    given = {offer["offer_id"] for offer in manifest.get("offers", ()) if offer["decisions"]}
    for offer, funders in waiting_offers(workspace, settings, campaign, read_items(workspace)).items():
        if offer in given:
            raise InputError(
                f"{campaign_id} {manifest['occurrence']}: it gives {offer}, to which {' and '.join(funders)} does not "
                f"agree any more; larisma campaign agree {campaign_id} --funder {funders[0]} --by NAME, or decide anew"
            )
    return found.now.whole


def listed(changes: list[Difference]) -> str:
    """Lines of an error."""
    more = len(changes) - LINES
    return "".join(f"\n  {line}" for line in [*changes[:LINES], *([f"and {more} more"] if more > 0 else [])])


def run_meaning(workspace: Workspace, manifest: Mapping[str, Any]) -> Values | None:
    """The values of what a run was decided from; None if it did not write them."""
    path = workspace.run(manifest["campaign"]["id"], manifest["occurrence"]) / MEANING
    return read_json(path)["values"] if path.is_file() else None


def waits_to_be_sent(workspace: Workspace, campaign_id: str, approved: str, now: datetime) -> bool:
    """Whether the campaign's latest run is still to come and was decided from what has this hash."""
    known = workspace.manifests(campaign_id)
    if not known or occurrence_instant(known[-1].parent.name) < now:
        return False
    return bool(read_json(known[-1])["campaign"].get("fingerprint") == approved)


# --- what a campaign means -------------------------------------------------------------------------------------------


def meaning(settings: Settings, campaign: Campaign) -> Fingerprint:
    """The campaign with all that larisma.toml and the program add to it. campaign: as its file states it."""
    return fingerprint(campaign, around(settings, campaign))


def around(settings: Settings, campaign: Campaign) -> dict[str, dict[str, Any]]:
    """Part → what of the settings and of the program's own words binds this campaign."""
    night = settings.night
    spoken = [language for language in sorted({HOME, *campaign.languages}) if language in languages()]
    return {
        "audience": {
            "consent.assume": [channel for channel in settings.consent.assume if channel in campaign.channels],
            "control_group": settings.control.model_dump(mode="json", include={"global_share", "exempt"}),
        },
        "limits": {
            "contact": settings.contact.model_dump(mode="json"),
            "night.budgets": {name: most for name, most in night.budgets.items() if name in campaign.budgets},
            "night.limits": [
                limit.model_dump(mode="json") for limit in night.limits if any(map(limit.covers, campaign.offers))
            ],
        },
        "content": {
            **{key: getattr(settings, key) for key in ("shop", "shop_url", "shop_address", "optout_url")},
            "words": {language: load_words(language) for language in spoken},
            "templates": template_digests(),
        },
    }


@cache
def template_digests() -> dict[str, str]:
    """Name → SHA-256 of each of the program's own templates of messages."""
    return dict(sorted(_digests(files("campaigns") / "templates", "")))


def _digests(folder: Traversable, path: str) -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        name = f"{path}{entry.name}"
        if entry.is_dir():
            found += _digests(entry, f"{name}/") if entry.name not in ("words", "__pycache__") else []
        else:
            found.append((name, hashlib.sha256(entry.read_bytes()).hexdigest()))
    return found
