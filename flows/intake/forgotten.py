"""Rows of people who were forgotten and come in again: recognised by keyed hashes, left out, not quarantined."""

from __future__ import annotations  # see flows/ingest.py

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import duckdb

from flows.intake.checks import LEFT_OUT
from flows.intake.csv_lines import LINE, TEXT
from flows.intake.sources import FILE, Staged, quoted
from recsys.tables import Table

_WORDS = re.compile(r"[^\s,;|\"'<>(){}\[\]=]+")


@dataclass
class Forgotten:
    """test: whether an id, an address or a token is of one of them; None if nobody was forgotten.

    ids: customers of this ingest that were recognised, so that rows of other tables are left out too.
    """

    test: Callable[[str | None], bool] | None = None
    ids: set[str] = field(default_factory=set)


def leave_out_forgotten(
    database: duckdb.DuckDBPyConnection, table: Table, staged: Staged, number: int, forgotten: Forgotten
) -> None:
    """Marks the rows of judged_T, of one of its sources, that are of somebody who was forgotten."""
    if forgotten.test is None:
        return
    judged, here = f"judged_{table.name}", f"_source = {number}"
    if "customer_id" in table.schema.names:
        if table.name == "customers":
            query = f"select customer_id, list_concat([email], coalesce(push_tokens, [])) from {judged} where {here}"
            rows = database.execute(query).fetchall()
            forgotten.ids |= {name for name, values in rows if name and _any(forgotten, values)}
        known = database.execute(f"select distinct customer_id from {judged} where {here}").fetchall()
        forgotten.ids |= {name for (name,) in known if name and forgotten.test(name)}
        database.execute("create or replace temp table gone (id varchar)")
        database.executemany("insert into gone values (?)", [[name] for name in sorted(forgotten.ids)] or [[None]])
        database.execute(
            f"update {judged} set _reason = '{LEFT_OUT}', _problem = null where {here} "
            "and customer_id in (select id from gone where id is not null)"
        )
    _leave_out_refused(database, judged, staged, here, forgotten)


def _leave_out_refused(
    database: duckdb.DuckDBPyConnection, judged: str, staged: Staged, here: str, forgotten: Forgotten
) -> None:
    """What is refused would stand in quarantine as it is, whatever column names the person."""
    texts = ", ".join([f"s.{TEXT}", *(f"s.{quoted(column)}::varchar" for column in staged.columns)])
    refused = database.execute(
        f"""select s.{FILE}, s.{LINE}, concat_ws(' ', {texts}) from {staged.relation} as s
        join {judged} as j on s.{FILE} = j.{FILE} and s.{LINE} = j.{LINE}
        where j.{here} and j._reason is not null and j._reason <> '{LEFT_OUT}'"""
    ).fetchall()
    found = [[file, line] for file, line, text in refused if _any(forgotten, _WORDS.findall(text or ""))]
    if found:
        database.executemany(
            f"update {judged} set _reason = '{LEFT_OUT}', _problem = null where {here} and {FILE} = ? and {LINE} = ?",
            found,
        )


def _any(forgotten: Forgotten, values: Iterable[str | None]) -> bool:
    return forgotten.test is not None and any(value and forgotten.test(value) for value in values)
