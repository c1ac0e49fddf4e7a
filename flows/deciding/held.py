"""What the other campaigns of a night have already been given: their published runs, held fixed."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.calendar import occurrence_instant
from flows.contacts import Firing
from flows.settings import Settings
from flows.workspace import Workspace, checksum, read_json

LONGEST_LEAD = timedelta(days=62)  # from deciding to sending, zones among it


@dataclass(frozen=True, eq=False)
class Held:
    """A published run of another campaign that was decided in the same night. digest: of its decisions."""

    campaign_id: str
    occurrence: str
    manifest: dict[str, Any]
    digest: str


def local_day(settings: Settings, instant: datetime) -> date:
    return instant.astimezone(ZoneInfo(settings.timezone)).date()


def held_runs(
    workspace: Workspace, settings: Settings, deciding: Collection[Firing], night: date, as_of: datetime
) -> list[Held]:
    """The runs of a night that are not being decided, of what was known by an instant; by campaign and occurrence."""
    found = []
    for path in workspace.manifests():
        campaign_id, name = firing = path.parts[-3], path.parts[-2]
        ahead = local_day(settings, occurrence_instant(name)) - night
        if firing in deciding or not timedelta() <= ahead <= LONGEST_LEAD:
            continue
        manifest = read_json(path)
        decided = local_day(settings, datetime.fromisoformat(manifest["decide_at"]))
        if decided == night and datetime.fromisoformat(manifest["as_of"]) <= as_of:
            found.append(Held(campaign_id, name, manifest, checksum(path.parent / "decisions.parquet")))
    return found


def spent(held: Sequence[Held]) -> Counter[str]:
    """What funders are expected to spend in these runs, by funder."""
    used: Counter[str] = Counter()
    for run in held:
        used.update({budget["funder"]: budget["used"] for budget in run.manifest["budgets"]})
    return used


def used_of_limits(held: Sequence[Held]) -> Counter[str]:
    """What these runs use of the limits that larisma.toml states for a night, by the limit's name."""
    used: Counter[str] = Counter()
    for run in held:
        used.update({row["name"]: row["own"] for row in run.manifest.get("night", {}).get("limits", [])})
    return used
