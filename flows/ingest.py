"""Ingest: the sources of larisma.toml → checked tables, published all together or not at all.

For each table and source: rows read = left out + accepted + duplicate + quarantined, exactly.
"""

# Prefect keeps a flow and all it refers to until the very end, and DuckDB complains of each of its types kept so long:
# so annotations stay text, here and in the files below.
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.forgetting.register import forgotten_test
from flows.intake.accounting import accounting_markdown
from flows.intake.checks import all_reasons
from flows.intake.database import DatabaseUnreachableError
from flows.intake.forgotten import Forgotten
from flows.intake.mapping import like
from flows.intake.sources import Staged
from flows.intake.table import Batch, derive_missing_items, learn_ids, stage_database, take_in, view_stored
from flows.settings import Settings, load_settings
from flows.workspace import (
    TABLES,
    Workspace,
    move_in,
    open_workspace,
    publish_catalog,
    read_catalog,
    read_ingests,
    taking_in,
)
from recsys.tables import InputError

log = logging.getLogger("larisma")


def ingest_tables(
    workspace: Workspace,
    settings: Settings,
    clock: datetime,
    on_progress: Callable[[str], None] | None = None,
    *,
    stage_database: Callable[..., Staged] = stage_database,
) -> dict[str, Any]:
    """Takes in every source of larisma.toml, and returns what became of its rows.

    clock: rows dated later are refused. stage_database: runs a source's query; the flow gives one that tries again.
    Returns table → {read, left_out, accepted, updated (of the accepted), duplicate, quarantined, reasons: {reason:
    rows}, rows (in the table now), sources: [the same counts of each source]}; a table derived from others has read 0
    and derived true.
    Raises InputError, and leaves the workspace as it was, if a source cannot be read, the mapping is wrong, or one
    reason takes more than its share of the rows.
    """
    if clock.tzinfo is None:
        raise InputError(f"clock {clock}: expected a time zone, such as {clock.isoformat()}+07:00")
    if not settings.sources:
        raise InputError(f"{workspace.settings_file}: no sources; say where the purchases are in [sources.purchases]")
    reasons = all_reasons(clock)
    for name in settings.ingest.stop_share:
        if name != "default" and name not in reasons:
            raise InputError(f"larisma.toml: ingest.stop_share.{name}: no such reason{like(name, reasons)}")
    with taking_in(workspace) as aside, _engine(settings, aside) as database:
        batch = Batch(
            database, workspace, settings, clock.astimezone(UTC), aside, on_progress or log.info, stage_database,
            read_catalog(workspace), read_ingests(workspace), forgotten=Forgotten(forgotten_test(workspace, settings)),
        )  # fmt: skip
        summary = {}
        for name, table in TABLES.items():
            view_stored(batch, table)
            if settings.sources.get(name):
                summary[name] = take_in(batch, table)
            learn_ids(batch, name)
        if items := derive_missing_items(batch):
            summary["items"] = items
        batch.tell("publishing")
        _publish(batch)
    return summary


@contextmanager
def _engine(settings: Settings, aside: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB on a file of its own, so that what exceeds memory_limit goes to disk."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.ingest.memory_limit,
        "threads": str(settings.ingest.threads),
        "temp_directory": str(aside / "spill"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(str(aside / "engine.duckdb"), config=config) as database:
        database.execute("set enable_progress_bar = false")
        try:
            yield database
        except duckdb.OutOfMemoryException as error:
            limit = settings.ingest.memory_limit
            raise InputError(f"larisma.toml: ingest.memory_limit: {limit} is not enough for these sources") from error


def _publish(batch: Batch) -> None:
    for folder, target in (("tables", batch.workspace.tables), ("quarantine", batch.workspace.quarantine)):
        for path in sorted((batch.aside / folder).rglob("*.parquet")):
            move_in(path, target / path.relative_to(batch.aside / folder))
    publish_catalog(batch.workspace, batch.catalog, batch.ingests)


# --- the flow --------------------------------------------------------------------------------------------------------


def _may_answer_later(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), DatabaseUnreachableError)


read_database = task(
    name="read database",
    retries=3,
    retry_delay_seconds=[1, 3, 8],
    retry_condition_fn=_may_answer_later,
    cache_policy=NO_CACHE,
    persist_result=False,
)(stage_database)


@flow(name="ingest")
def ingest(workspace: str, clock: str | None = None) -> dict[str, Any]:
    """Takes in what is new from the sources of larisma.toml. clock: ISO 8601 with an offset; None = now."""
    place = open_workspace(Path(workspace))
    now = datetime.now(UTC) if clock is None else read_clock(clock)
    fault = None
    try:
        summary = ingest_tables(place, load_settings(place), now, stage_database=read_database)
    except InputError as error:
        fault = type(error)(*error.args)  # without its frames: Prefect keeps it, and they hold the engine
    if fault:
        raise fault
    create_markdown_artifact(accounting_markdown(summary), key="ingest", description="What became of the rows")
    return summary


def read_clock(text: str) -> datetime:
    """Raises InputError for text that is not an instant with its offset."""
    try:
        clock = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"clock: expected an instant such as 2017-12-05T00:00:00+07:00, got {text!r}") from error
    return clock
