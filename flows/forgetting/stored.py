"""A person in the tables and in quarantine: new files in the place of those that hold them, published in one step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.forgetting.person import Person
from flows.forgetting.rows import own_rows, rewrite_parquet
from flows.workspace import (
    Workspace,
    checksum,
    files_digest,
    move_in,
    publish_catalog,
    read_catalog,
    read_ingests,
)


def forget_in_tables(place: Workspace, person: Person, aside: Path) -> dict[str, int]:
    """Table → rows that are the pseudonym's from now on; the row of customers is gone. To be called while taking in.

    Files that nothing names any more, such as those of a step that was killed, are removed.
    """
    catalog, ingests = read_catalog(place), read_ingests(place)
    counts: dict[str, int] = {}
    for name in sorted(catalog):
        files = [_rewritten(place.tables, file, person, aside, name) for file in catalog[name]["files"]]
        found = sum(changed for _, changed in files)
        if found:
            listed = [file for file, _ in files if file["rows"]]
            rows = sum(file["rows"] for file in listed)
            catalog[name] = {**catalog[name], "files": listed, "rows": rows, "sha256": files_digest(listed)}
            counts[name] = found
    for name, entry in ingests.items():
        if entry["file"]:
            file, found = _rewritten(place.quarantine, entry["file"], person, aside, "quarantine")
            if found:
                entry["file"] = {key: file[key] for key in ("path", "rows", "sha256")}
                counts[f"quarantine of {name}"] = found
    publish_catalog(place, catalog, ingests)
    return counts


def _rewritten(root: Path, file: dict[str, Any], person: Person, aside: Path, name: str) -> tuple[dict[str, Any], int]:
    """The file's entry, and how many rows of it were the person's (at least 1 if it held anything of them)."""
    path = root / file["path"]
    target = aside / "forgotten.parquet"
    if not rewrite_parquet(path, person, target):
        return file, 0
    found = max(1, _count(path, person))
    if name == "customers":
        _filter(target, lambda table: table.filter(pc.invert(own_rows(table, _as_pseudonym(person)))))
    digest = checksum(target)
    part = file.get("part") or path.stem.rpartition("-")[0]
    new = path.with_name(f"{part}-{digest[:16]}.parquet")
    rows = pq.read_metadata(target).num_rows
    move_in(target, new)
    return {**file, "path": str(new.relative_to(root)), "rows": rows, "sha256": digest}, found


def _filter(path: Path, keep: Callable[[pa.Table], pa.Table]) -> None:
    about = pq.ParquetFile(path)
    aside = path.with_name("kept.parquet")
    with pq.ParquetWriter(aside, about.schema_arrow, compression="zstd", write_page_checksum=True) as writer:
        for number in range(about.num_row_groups):
            writer.write_table(keep(about.read_row_group(number)))
    aside.replace(path)


def _as_pseudonym(person: Person) -> Person:
    return Person(person.pseudonym, person.pseudonym, (), (), (), frozenset())


def _count(path: Path, person: Person) -> int:
    names = pq.read_schema(path).names
    if "customer_id" not in names:
        return 0
    mine = [("customer_id", "=", person.customer_id)]
    return pq.read_table(path, columns=["customer_id"], filters=mine).num_rows
