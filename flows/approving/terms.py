"""A funder's terms of a campaign, written as a page and a CSV to be sent to the funder."""

from datetime import datetime, timedelta
from pathlib import Path

from campaigns.calendar import occurrences_between
from campaigns.spec import Campaign
from flows.announcements import workspace_moon
from flows.approving.agreements import terms_now
from flows.catalogue import read_items
from flows.reporting.terms import terms_csv, terms_page
from flows.settings import Settings
from flows.workspace import Workspace, write_text

AHEAD = timedelta(days=366)
FIRINGS = 6  # dates that the page names


def write_terms(
    workspace: Workspace, settings: Settings, campaign: Campaign, funder: str, out: Path, at: datetime, language: str
) -> tuple[str, list[str]]:
    """Writes CAMPAIGN-FUNDER.html and .csv into a folder; returns the hash of the terms, and the paths.

    at: what is sent from then on is named. Raises InputError for who does not co-fund the campaign.
    """
    items = read_items(workspace)
    terms = terms_now(settings, campaign, funder, items)
    used = {phase for o in campaign.offers if o.id in terms.covered for phase in (o.phases or campaign.phases)}
    coming = occurrences_between(campaign.schedule, at, at + AHEAD, moon=workspace_moon(workspace))
    firings = [firing for firing in coming if not campaign.phases or firing.phase in used][:FIRINGS]
    page = terms_page(terms, campaign, items, firings, at, settings.shop, language)
    wrote = {".html": page, ".csv": terms_csv(terms, campaign, items)}
    paths = [out / f"{campaign.id}-{funder}{ending}" for ending in wrote]
    for path, text in zip(paths, wrote.values(), strict=True):
        write_text(path, text)
    return terms.hash, [str(path) for path in paths]
