"""Who may be addressed by an occurrence: what a workspace knows of people, put to the campaign's audience."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from campaigns.audience import Audience, Rows, select_audience
from campaigns.calendar import NO_MOON, Occurrence, blocked_around
from campaigns.hijri import Moon
from campaigns.segments import columns_used, needs_segments, segment_table, sources_of
from campaigns.spec import Campaign
from flows.contacts import History, read_history
from flows.settings import Settings
from flows.workspace import TABLES, Workspace, known_before, table_files


@dataclass(frozen=True, eq=False)
class People:
    """What is known of people as of an instant. segments: None where no predicate speaks of them."""

    customers: Rows
    consents: Rows
    service_cases: Rows
    silences: Rows
    history: History
    segments: pa.Table | None


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
    tables = {name: scan_table(workspace, name, as_of) for name in ("customers", "consents", "service_cases")}
    columns = frozenset().union(*(columns_used(campaign) for campaign, _ in due))
    return People(
        **tables,
        silences=scan_table(workspace, "silences", as_of),
        history=history,
        segments=read_segments(workspace, settings, history, as_of) if needs_segments(columns) else None,
    )


def read_segments(workspace: Workspace, settings: Settings, history: History, as_of: datetime) -> pa.Table:
    names = ("customers", "purchases", "items", "service_cases", "events")
    return segment_table(
        **{name: scan_table(workspace, name, as_of) for name in names},
        responses=history.responses,
        as_of=as_of,
        timezone=settings.timezone,
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
