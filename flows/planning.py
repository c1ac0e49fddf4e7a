"""The months ahead: what is sent when, which campaigns meet on the same people, and what a moved feast would move."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.calendar import Occurrence, occurrences_between
from campaigns.firing import in_phase, offer_ends
from campaigns.hijri import FEASTS, Moon
from campaigns.spec import Campaign
from flows.announcements import workspace_moon
from flows.campaign_files import load_campaigns
from flows.people import audience_of, read_people
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

LONGEST = 400  # days

Firing = tuple[Campaign, Occurrence]


def plan_ahead(
    workspace: Workspace, settings: Settings, start: datetime, days: int, shifts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """What the campaigns do in so many days from an instant, as known at it.

    {"from", "until", "timezone", "firings": a row for each occurrence, "overlaps": a row for each two campaigns of
    which one is sent while the other holds, with the share of the smaller one's people that both may address, "moved":
    what the shifts would move}. Instants are in the workspace's zone, of local campaigns in Papua's. shifts: feast →
    days.
    """
    if not 1 <= days <= LONGEST:
        raise InputError(f"--days: expected 1 to {LONGEST}, got {days}")
    zone, moon, end = ZoneInfo(settings.timezone), workspace_moon(workspace), start + timedelta(days=days)
    campaigns = load_campaigns(workspace)
    firings = coming(campaigns, start, end, moon)
    shown = [firing_row(campaign, occurrence, zone) for campaign, occurrence in firings]
    return {
        "from": start.astimezone(zone).isoformat(timespec="minutes"),
        "until": end.astimezone(zone).isoformat(timespec="minutes"),
        "timezone": settings.timezone,
        "firings": shown,
        "overlaps": overlaps(workspace, settings, firings, start),
        "moved": moved(campaigns, start, end, moon, shifts or {}, zone),
    }


def coming(campaigns: Sequence[Campaign], start: datetime, end: datetime, moon: Moon) -> list[Firing]:
    """In order of sending, then of campaign."""
    found = [
        (campaign, occurrence)
        for campaign in campaigns
        for occurrence in occurrences_between(campaign.schedule, start, end, moon=moon)
    ]
    return sorted(found, key=lambda firing: (firing[1].send_at, firing[0].id))


def firing_row(campaign: Campaign, occurrence: Occurrence, zone: ZoneInfo) -> dict[str, Any]:
    if campaign.schedule.local:  # as the first customers' clock shows it
        zone = ZoneInfo(campaign.schedule.zone)
    return {
        "campaign": campaign.id,
        "name": campaign.name,
        "phase": occurrence.phase or None,
        "occurrence": occurrence.name,
        "send_at": occurrence.send_at.astimezone(zone).isoformat(timespec="minutes"),
        "decide_at": occurrence.decide_at.astimezone(zone).isoformat(timespec="minutes"),
        "until": until(campaign, occurrence).astimezone(zone).isoformat(timespec="minutes"),
        "local": campaign.schedule.local,
        "estimated": occurrence.estimated,
        "waiting": occurrence.waiting,
    }


def until(campaign: Campaign, occurrence: Occurrence) -> datetime:
    """When the last of its offers is over; of a greeting, when it is sent."""
    today = in_phase(campaign, occurrence.phase)
    ends = offer_ends(today, occurrence.send_at)
    return max((ends[offer.id] for offer in today.offers), default=occurrence.send_at)


def overlaps(
    workspace: Workspace, settings: Settings, firings: Sequence[Firing], as_of: datetime
) -> list[dict[str, Any]]:
    """A row for each two campaigns that meet: how often, when first, and how many people both may address."""
    meetings: dict[tuple[str, str], list[datetime]] = {}
    for number, (one, earlier) in enumerate(firings):
        end = max(until(one, earlier), earlier.send_at + timedelta(hours=1))
        for other, later in firings[number + 1 :]:
            if later.send_at >= end:
                break
            if one.id != other.id:
                meetings.setdefault((min(one.id, other.id), max(one.id, other.id)), []).append(later.send_at)
    named = {name for pair in meetings for name in pair}
    first = {campaign.id: (campaign, occurrence) for campaign, occurrence in reversed(firings) if campaign.id in named}
    reached = {name: addressable(workspace, settings, firing, as_of) for name, firing in sorted(first.items())}
    rows = []
    for pair, instants in sorted(meetings.items()):
        these, those = (reached[name] for name in pair)
        both, smaller = len(these & those), min(len(these), len(those))
        rows.append(
            {
                "campaigns": list(pair),
                "times": len(instants),
                "first": min(instants).astimezone(ZoneInfo(settings.timezone)).isoformat(timespec="minutes"),
                "people": both,
                "share": both / smaller if smaller else 0.0,
            }
        )
    return sorted(rows, key=lambda row: (-row["share"], row["campaigns"]))


def addressable(workspace: Workspace, settings: Settings, firing: Firing, as_of: datetime) -> frozenset[str]:
    """Ids of the people whom a firing may address, as known now."""
    people = read_people(workspace, settings, [firing], as_of)
    return frozenset(audience_of(*firing, people, settings, as_of).people["customer_id"].to_pylist())


def moved(
    campaigns: Sequence[Campaign],
    start: datetime,
    end: datetime,
    moon: Moon,
    shifts: Mapping[str, int],
    zone: ZoneInfo,
) -> list[dict[str, Any]]:
    """What would be sent at another instant if feasts were moved by so many days; null: not within the period."""
    if not shifts:
        return []
    supposed = Moon(moon.announced, tuple(sorted(shifts.items())))
    wide = timedelta(days=max(abs(days) for days in shifts.values()) + 1)
    rows = []
    for campaign in campaigns:
        before, after = (
            _by_phase(occurrences_between(campaign.schedule, start, end + wide, moon=sky)) for sky in (moon, supposed)
        )
        for phase in sorted(before.keys() | after.keys()):
            for old, new in zip(before.get(phase, []), after.get(phase, []), strict=False):
                if old.send_at != new.send_at and min(old.send_at, new.send_at) < end:
                    rows.append(
                        {
                            "campaign": campaign.id,
                            "phase": phase or None,
                            "from": old.send_at.astimezone(zone).isoformat(timespec="minutes"),
                            "to": new.send_at.astimezone(zone).isoformat(timespec="minutes"),
                        }
                    )
    return sorted(rows, key=lambda row: (row["from"], row["campaign"], row["phase"] or ""))


def _by_phase(found: Sequence[Occurrence]) -> dict[str, list[Occurrence]]:
    phases: dict[str, list[Occurrence]] = {}
    for occurrence in found:
        phases.setdefault(occurrence.phase, []).append(occurrence)
    return phases


def read_shifts(texts: Sequence[str]) -> dict[str, int]:
    """lebaran=+1 → {"lebaran": 1}. Raises InputError for what is none."""
    found = {}
    for text in texts:
        feast, _, days = text.partition("=")
        if feast not in FEASTS or not days.lstrip("+-").isdigit() or abs(int(days)) > 30:
            raise InputError(f"--if: expected a feast and days, as lebaran=+1 ({', '.join(FEASTS)}), got {text!r}")
        found[feast] = int(days)
    return found
