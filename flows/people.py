"""Who may be addressed by an occurrence: what a workspace knows of people, put to the campaign's audience."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from campaigns.audience import Audience, Rows, check_audience, select_audience
from campaigns.calendar import NO_MOON, Occurrence, occurrences
from campaigns.control import smallest_lift
from campaigns.hijri import Moon
from campaigns.predicates import columns_of, open_sandbox
from campaigns.segments import check_columns, columns_used, needs_segments, segment_table, sources_of
from campaigns.silence import blocked_around
from campaigns.spec import Campaign
from campaigns.tables import RESPONSES
from flows.announcements import workspace_moon
from flows.answers.refusals import refusals_before
from flows.contacts import History, read_history
from flows.settings import Settings
from flows.workspace import TABLES, Workspace, known_before, read_table, table_digest, table_files
from recsys.lifetime import lifetime_values

LIFETIME_DAYS = 365


@dataclass(frozen=True, eq=False)
class People:
    """What is known of people as of an instant. segments: None where no predicate speaks of them."""

    customers: Rows
    consents: Rows
    service_cases: Rows
    silences: Rows
    history: History
    segments: pa.Table | None

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        """Rows and sha256 of what was worked out, for the manifest."""
        made = {"contacts": self.history.contacts, "ghosts": self.history.ghosts, "responses": self.history.responses}
        if self.segments is not None:
            made["segments"] = self.segments
        return {name: {"rows": table.num_rows, "sha256": table_digest(table)} for name, table in made.items()}


def read_people(
    workspace: Workspace, settings: Settings, due: Sequence[tuple[Campaign, Occurrence]], as_of: datetime
) -> People:
    """For some occurrences that are decided together. Customers and what is said of them are read as they are used."""
    history = read_history(
        workspace,
        as_of,
        deciding={(campaign.id, occurrence.name) for campaign, occurrence in due},
        around=[occurrence.send_at for _, occurrence in due],
    )
    responses = pa.concat_tables([history.responses, refusals_before(workspace, settings, as_of)])
    history = replace(history, responses=responses.sort_by([(name, "ascending") for name in RESPONSES.key]))
    tables = {name: scan_table(workspace, name, as_of) for name in ("customers", "consents", "service_cases")}
    shared = [columns_of(limit.where) for limit in settings.night.limits if limit.where]
    columns = frozenset().union(*(columns_used(campaign) for campaign, _ in due), *shared)
    return People(
        **tables,
        silences=scan_table(workspace, "silences", as_of),
        history=history,
        segments=read_segments(workspace, settings, history, as_of, columns) if needs_segments(columns) else None,
    )


def read_segments(
    workspace: Workspace, settings: Settings, history: History, as_of: datetime, columns: Collection[str]
) -> pa.Table:
    """SEGMENTS of all customers. columns: those wanted; lifetime values take the longest, so only if they are."""
    lifetime = None
    if "lifetime_value" in columns:
        values = lifetime_values(read_table(workspace, "purchases", as_of=as_of), as_of, LIFETIME_DAYS)
        lifetime = values.filter(pc.is_finite(values["expected_orders"]))  # else nothing was learned of them
    names = ("customers", "purchases", "items", "service_cases", "events")
    return segment_table(
        **{name: scan_table(workspace, name, as_of) for name in names},
        responses=history.responses,
        as_of=as_of,
        timezone=settings.timezone,
        lifetime=lifetime,
        memory=settings.ingest.memory_limit,
    )


def scan_table(workspace: Workspace, name: str, as_of: datetime) -> Rows:
    """A table's rows known before an instant, in any order; read from its files as they stream by."""
    contract, files = TABLES[name], table_files(workspace, name)
    if not files:
        return contract.schema.empty_table()
    found = ds.dataset([str(file) for file in files], schema=contract.schema)
    known = known_before(contract, as_of)
    return found if known is None else found.filter(known)


def audience_of(
    campaign: Campaign,
    occurrence: Occurrence,
    people: People,
    settings: Settings,
    as_of: datetime,
    moon: Moon = NO_MOON,
) -> Audience:
    """Raises as select_audience."""
    return select_audience(
        campaign,
        people.customers,
        people.consents,
        people.service_cases,
        people.silences,
        as_of=as_of,
        send_at=occurrence.send_at,
        control_salt=settings.control_salt,
        assume_consent=settings.consent.assume,
        controls=settings.control,
        policy=settings.contact,
        birthday_ahead=(occurrence.occasion_day - occurrence.day).days,
        blocked=blocked_around(campaign.schedule, occurrence, moon=moon, known_at=as_of),
        segments=people.segments,
        contacts=people.history.contacts,
        ghosts=people.history.ghosts,
        responses=people.history.responses,
        memory=settings.ingest.memory_limit,
    )


def filled_columns(workspace: Workspace, columns: Iterable[str], as_of: datetime) -> dict[str, bool]:
    """Whether any row has a value in the columns that columns of predicates come from: "customers.tier" → bool."""
    found: dict[str, bool] = {}
    for source in {source for column in columns for source in sources_of(column)}:
        table, _, column = source.partition(".")
        rows = scan_table(workspace, table, as_of)
        if isinstance(rows, ds.Dataset):
            found[source] = rows.filter(pc.field(column).is_valid()).head(1, columns=[column]).num_rows > 0
        else:
            found[source] = False
    return found


# --- before deciding -------------------------------------------------------------------------------------------------


def count_audience(workspace: Workspace, settings: Settings, campaign: Campaign, as_of: datetime) -> dict[str, Any]:
    """Each step of the funnel of the campaign's next occurrence, and how small an effect its control group lets us see.

    {"campaign", "occurrence", "send_at", "as_of", "funnel": [[step, customers] …] (the first is the sum of the others),
    "channels": {name: people who may be reached there}, "effect": {"treated", "controls", "days", "rate" (of people who
    buy in so many days anyway), "smallest_lift" (of that rate, as a difference; null: none can be seen)}}
    """
    moon = workspace_moon(workspace)
    occurrence = coming(campaign, as_of, moon)
    people = read_people(workspace, settings, [(campaign, occurrence)], as_of)
    return _counted(
        workspace, campaign, occurrence, audience_of(campaign, occurrence, people, settings, as_of, moon), as_of
    )


def _counted(
    workspace: Workspace, campaign: Campaign, occurrence: Occurrence, audience: Audience, as_of: datetime
) -> dict[str, Any]:
    counts = dict(audience.funnel)
    treated, controls = counts["treatment"], counts["control group"]
    rate = buying_rate(workspace, audience.people, campaign.window_days, as_of)
    return {
        "campaign": campaign.id,
        "occurrence": occurrence.name,
        "send_at": occurrence.send_at.isoformat(),
        "as_of": as_of.isoformat(),
        "funnel": [list(step) for step in audience.funnel],
        "channels": {name: pc.sum(audience.people[name]).as_py() or 0 for name in campaign.channels},
        "effect": {
            "treated": treated,
            "controls": controls,
            "days": campaign.window_days,
            "rate": rate,
            "smallest_lift": smallest_lift(treated, controls, rate) if rate < 1 else None,
        },
    }


def check_people(
    workspace: Workspace, settings: Settings, campaign: Campaign, as_of: datetime
) -> tuple[dict[str, Any], list[str]]:
    """(as count_audience, a line for each thing that keeps the campaign from reaching anybody)."""
    moon = workspace_moon(workspace)
    occurrence = coming(campaign, as_of, moon)
    people = read_people(workspace, settings, [(campaign, occurrence)], as_of)
    faults = check_columns(campaign, filled_columns(workspace, columns_used(campaign), as_of))
    faults = faults or check_audience(
        campaign, people.customers, as_of=as_of, send_at=occurrence.send_at, segments=people.segments
    )
    audience = audience_of(campaign, occurrence, people, settings, as_of, moon)
    counts = _counted(workspace, campaign, occurrence, audience, as_of)
    steps = dict(counts["funnel"])
    if not steps["treatment"] + steps["control group"]:
        said = ", ".join(f"{customers} {step}" for step, customers in counts["funnel"][1:] if customers)
        faults.append(
            f"nobody can be written to: {said}; "
            "map [sources.consents], or set consent.assume in larisma.toml if you hold consent elsewhere"
        )
    return counts, faults


def coming(campaign: Campaign, as_of: datetime, moon: Moon = NO_MOON) -> Occurrence:
    """The next occurrence; of a campaign that is over, one at as_of."""
    return next(iter(occurrences(campaign.schedule, as_of, 1, moon=moon)), Occurrence(as_of, as_of))


def buying_rate(workspace: Workspace, people: pa.Table, days: int, as_of: datetime) -> float:
    """The share of people who bought anything in the last days before as_of; 0 of nobody."""
    with open_sandbox("UTC") as connection:
        connection.register("people", people.select(["customer_id"]))
        connection.register("purchases", scan_table(workspace, "purchases", as_of))
        buyers = connection.execute(
            "SELECT count(*) FROM people WHERE customer_id IN "
            "(SELECT customer_id FROM purchases WHERE kind = 'purchase' AND occurred_at >= $since)",
            {"since": as_of - timedelta(days=days)},
        ).fetchall()[0][0]
    return buyers / people.num_rows if people.num_rows else 0.0
