"""What became of the rows that came in: counts that must balance, when to stop, and what `larisma status` tells."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flows.settings import Settings
from flows.workspace import TABLES, Workspace, read_catalog, read_ingests
from recsys.tables import InputError

COUNTS = ("read", "left_out", "accepted", "updated", "duplicate", "quarantined")  # updated rows are accepted, too
DEFAULT_SHARE = 0.05
HINTS = {
    "broken_utf8": "set the source's encoding (latin-1, windows-1252 or utf-16)",
    "malformed_line": "set the source's delimiter",
    "unparsable_date": "map it with strptime(column, '%d/%m/%Y %H:%M') or as your dates are written, in double quotes "
    "(milliseconds since 1970: to_timestamp(column / 1000); numbers of days: date '2020-01-01' + column::int)",
    "unparsable_amount": "map 1.234,50 with replace(replace(column, '.', ''), ',', '.'), in double quotes",
    "non_positive_quantity": "map returns by kind and quantity by abs(column), or leave such rows out by `where`",
    "future_date": "set the source's timezone, or mend the dates",
    "unknown_kind": "map kind to 'purchase', 'return' or 'cancellation'",
    "unknown_item": "add the items to sources.items",
    "unknown_customer": "add the customers to sources.customers",
}


def balance(what: str, counts: Mapping[str, int]) -> None:
    """Raises RuntimeError unless each row that was read is counted exactly once."""
    told = counts["left_out"] + counts["accepted"] + counts["duplicate"] + counts["quarantined"]
    if counts["read"] != told:
        raise RuntimeError(f"{what}: the accounting does not balance: {dict(counts)}")


def stop_if_too_many(table: str, counts: Mapping[str, Any], settings: Settings) -> None:
    """Raises InputError if one reason has taken more than its share of a table's rows."""
    rows = counts["read"] - counts["left_out"]
    shares = settings.ingest.stop_share
    for reason, found in counts["reasons"].items():
        share = shares.get(reason, shares.get("default", DEFAULT_SHARE))
        if found > share * rows:
            advice = f"{HINTS[reason]}, or raise" if reason in HINTS else "mend or leave them out (`where`), or raise"
            raise InputError(
                f"{table}: {found:,} of {rows:,} rows ({found / rows:.1%}) are {reason}, more than the {share:.1%} "
                f"allowed; nothing was changed; {advice} ingest.stop_share.{reason} in larisma.toml; "
                f"the first is {counts['examples'][reason]}"
            )


def accounting_markdown(summary: Mapping[str, Any]) -> str:
    """The accounting as a Markdown table, with the reasons below it."""
    lines = ["| table | " + " | ".join(name.replace("_", " ") for name in COUNTS) + " | rows now |"]
    lines.append("|---|" + "--:|" * (len(COUNTS) + 1))
    for table, counts in summary.items():
        lines.append(f"| {table} | " + " | ".join(f"{counts[name]:,}" for name in COUNTS) + f" | {counts['rows']:,} |")
    for table, counts in summary.items():
        if counts["reasons"]:
            told = ", ".join(f"{reason} {found:,}" for reason, found in counts["reasons"].items())
            lines += ["", f"Quarantined {table}: {told}."]
    return "\n".join(lines)


def table_status(workspace: Workspace, settings: Settings, clock: datetime) -> list[dict[str, Any]]:
    """One dict for each table that has rows, a source, or an ingest behind it:
    table, rows, derived, newest (ISO, the latest instant known), age_days (since then, or where a table has no instants
    since its last ingest), last_ingest (ISO), quarantined, reasons, quarantine (path of its file, or null),
    max_age_days, stale.
    """
    catalog, ingests = read_catalog(workspace), read_ingests(workspace)
    status = []
    for name in TABLES:
        entry, last = catalog.get(name, {}), ingests.get(name, {})
        if not entry and not last and name not in settings.sources:
            continue
        since = entry.get("newest") or last.get("clock")
        age = (clock - datetime.fromisoformat(since)).total_seconds() / 86_400 if since else None
        limit = settings.ingest.max_age_days.get(name)
        status.append(
            {
                "table": name,
                "rows": entry.get("rows", 0),
                "derived": entry.get("derived", False),
                "newest": entry.get("newest"),
                "age_days": None if age is None else round(age, 2),
                "last_ingest": last.get("clock"),
                "quarantined": last.get("quarantined", 0),
                "reasons": last.get("reasons", {}),
                "quarantine": f"quarantine/{last['file']['path']}" if last.get("file") else None,
                "max_age_days": limit,
                "stale": limit is not None and (age is None or age > limit),
            }
        )
    return status
