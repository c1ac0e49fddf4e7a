"""The nightly flow: take in what is new, train on it, and decide together what is due."""

import logging
from datetime import date, datetime
from pathlib import Path
from typing import Any

from prefect import flow

from campaigns.allocation import MinimumsError
from campaigns.spec import Campaign
from campaigns.tables import CampaignError
from flows.asked import guarantees
from flows.campaign_files import campaign_paths, find_campaign
from flows.decide import decide_night, shown
from flows.deciding.due import Due, due_tonight
from flows.ingest import ingest
from flows.instants import flow_instant
from flows.settings import Settings, load_settings
from flows.train import train
from flows.workspace import RunError, Workspace, open_workspace
from recsys.tables import InputError

log = logging.getLogger("larisma")


@flow(name="night")
def night(workspace: str, as_of: str | None = None) -> dict[str, Any]:
    """Ingest, train, then decide all campaigns that are due as one problem.

    A model that is refused leaves the last good one serving, and that decides; a campaign whose file is wrong is left
    out, and the others are decided. Either fails the run at its end, by name.
    """
    place, instant = open_workspace(Path(workspace)), flow_instant(as_of)
    taken_in = ingest(workspace, as_of)
    failed: list[Exception] = []
    trained = None
    try:
        trained = train(workspace, as_of)
    except RunError as error:
        failed.append(error)
    nights = decide_tonight(place, load_settings(place), instant, failed)
    for one in nights:
        shown(place, one)
    if failed:
        raise RunError("\n".join(str(error) for error in failed)) from failed[0]
    return {"ingest": taken_in, "train": trained, "nights": nights}


def decide_tonight(
    workspace: Workspace, settings: Settings, as_of: datetime, failed: list[Exception]
) -> list[dict[str, Any]]:
    """The manifests of the nights that are decided. What keeps a campaign out is added to `failed`."""
    campaigns: list[Campaign] = []
    for name in campaign_paths(workspace):
        try:
            campaigns.append(find_campaign(workspace, name))
        except CampaignError as error:
            failed.append(error)
    return [
        _decided(workspace, settings, day, due, as_of, failed)
        for day, due in due_tonight(workspace, campaigns, settings, as_of)
    ]


def _decided(
    workspace: Workspace, settings: Settings, day: date, due: Due, as_of: datetime, failed: list[Exception]
) -> dict[str, Any]:
    """A night; where guarantees cannot be met, the campaigns that give none are decided all the same."""
    try:
        return decide_night(workspace, settings, day, due, as_of, skipped=failed)
    except MinimumsError as error:
        failed.append(error)
        log.warning("deciding without the campaigns whose minimums cannot be met")
        free = [(campaign, occurrence) for campaign, occurrence in due if not guarantees(campaign)]
        return decide_night(workspace, settings, day, free, as_of, skipped=failed)
    except InputError as error:
        failed.append(error)
        return decide_night(workspace, settings, day, [], as_of)
