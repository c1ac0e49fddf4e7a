"""Which occurrences are decided together: those that are due on one local date."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from campaigns.calendar import NO_MOON, Occurrence, occurrences
from campaigns.hijri import Moon
from campaigns.spec import Campaign
from flows.announcements import workspace_moon
from flows.deciding.held import local_day
from flows.settings import Settings
from flows.workspace import Workspace

Due = list[tuple[Campaign, Occurrence]]


def midnight(settings: Settings, day: date) -> datetime:
    """The instant at which a day begins in the workspace's zone."""
    return datetime.combine(day, time(), ZoneInfo(settings.timezone))


def coming(campaign: Campaign, as_of: datetime, end: datetime, moon: Moon = NO_MOON) -> list[Occurrence]:
    """The occurrences to be decided before an instant, none of them past or waiting for an announcement."""
    count, found = 2, occurrences(campaign.schedule, as_of, 2, moon=moon)
    while len(found) == count and found[-1].decide_at < end:  # no further than need be: moons are not known for ever
        count *= 2
        found = occurrences(campaign.schedule, as_of, count, moon=moon)
    return [occurrence for occurrence in found if occurrence.decide_at < end and not occurrence.waiting]


def due_on(campaigns: Sequence[Campaign], settings: Settings, day: date, as_of: datetime, moon: Moon = NO_MOON) -> Due:
    """What is to be decided on a local date and is not past as of an instant: of some campaigns several windows."""
    start, end = midnight(settings, day), midnight(settings, day + timedelta(days=1))
    return [
        (campaign, occurrence)
        for campaign in campaigns
        for occurrence in coming(campaign, as_of, end, moon)
        if occurrence.decide_at >= start
    ]


def due_tonight(
    workspace: Workspace, campaigns: Sequence[Campaign], settings: Settings, as_of: datetime
) -> list[tuple[date, Due]]:
    """What a nightly run has to decide, night after night: what missed nights have left, what is due today, and of
    tomorrow what would be past by the next run."""
    today, next_run = local_day(settings, as_of), as_of + timedelta(days=1)
    tomorrow = today + timedelta(days=1)
    missed: dict[date, Due] = {}
    moon = workspace_moon(workspace)
    for campaign in campaigns:
        for occurrence in coming(campaign, as_of, midnight(settings, today), moon):
            if not workspace.run(campaign.id, occurrence.name).exists():
                missed.setdefault(local_day(settings, occurrence.decide_at), []).append((campaign, occurrence))
    early = [one for one in due_on(campaigns, settings, tomorrow, as_of, moon) if one[1].send_at < next_run]
    nights = [*sorted(missed.items(), key=lambda night: night[0])]
    nights += [(today, due_on(campaigns, settings, today, as_of, moon)), (tomorrow, early)]
    return [(day, due) for day, due in nights if due]


def not_begun(workspace: Workspace, due: Due) -> Due:
    """Without those whose sending has begun: what people got may not be decided anew."""
    return [one for one in due if not has_begun(workspace, *one)]


def has_begun(workspace: Workspace, campaign: Campaign, occurrence: Occurrence) -> bool:
    return workspace.delivery(campaign.id, occurrence.name).exists()
