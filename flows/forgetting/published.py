"""A person in published folders: runs, which keep what was rewritten in them and when; models and recommendations."""

import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.champion import NAME, PARTS, load_model, publish_champion
from flows.deciding.run import file_name, sample_messages
from flows.forgetting.person import Person
from flows.forgetting.rows import rewrite_parquet
from flows.reporting.report import write_report
from flows.settings import Settings
from flows.workspace import (
    Workspace,
    checksum,
    point,
    publishing,
    read_json,
    withdraw,
    write_json,
)
from recsys.artifact import Artifact
from recsys.interactions import InteractionMatrix
from recsys.models import Recommender

REPORT = "report.html"


# --- runs ------------------------------------------------------------------------------------------------------------


def forget_in_runs(place: Workspace, settings: Settings, person: Person, now: datetime) -> list[str]:
    """Rewrites each run that holds the person; "CAMPAIGN OCCURRENCE" of these.

    A run's manifest keeps, under `forgotten`, of each file that was rewritten its checksum before and after and its
    rows, and the checksum of the manifest before. Rows, values and costs stay what they were.
    """
    changed = []
    for run in [path.parent for path in place.manifests()]:
        if not _in_run(run, person):
            continue
        with publishing(run) as folder:
            shutil.copytree(run, folder, dirs_exist_ok=True)
            _rewrite_run(folder, settings, person, checksum(run / "manifest.json"), now)
        changed.append(f"{run.parent.name} {run.name}")
    return changed


def renamed_manifests(place: Workspace) -> dict[str, str]:
    """SHA-256 of each run's manifest before it was rewritten, however often → now."""
    found: dict[str, str] = {}
    for path in place.manifests():
        now = checksum(path)
        found |= {entry["manifest_was"]: now for entry in read_json(path).get("forgotten", [])}
    return found


def _in_run(run: Path, person: Person) -> bool:
    for path in sorted(run.glob("*.parquet")):
        if "customer_id" in pq.read_schema(path).names and _rows_of(path, person):
            return True
    return any(person.in_name(path.name) for path in run.rglob("*") if path.is_file())


def _rewrite_run(folder: Path, settings: Settings, person: Person, before: str, now: datetime) -> None:
    manifest = read_json(folder / "manifest.json")
    shown = {row["message_id"] for row in sample_messages(folder).to_pylist()} & person.messages
    files: dict[str, Any] = {}
    for path in sorted(folder.glob("*.parquet")):
        was, rows = checksum(path), pq.read_metadata(path).num_rows
        if rewrite_parquet(path, person):
            files[path.name] = {"was": was, "is": checksum(path), "rows": rows}
    for path in sorted((folder / "mails").glob(f"*-{file_name(person.customer_id)}.html")):
        path.unlink()
    if shown and (folder / REPORT).exists():
        was = checksum(folder / REPORT)
        samples = pq.read_table(folder / "messages.parquet", filters=[("message_id", "in", sorted(_others(folder)))])
        write_report(folder, manifest, samples, language=settings.language)
        if (now_is := checksum(folder / REPORT)) != was:
            files[REPORT] = {"was": was, "is": now_is, "rows": None}
    known = manifest.get("files", {})
    manifest["files"] = known | {name: one["is"] for name, one in files.items() if name in known}
    entry = {"at": now.isoformat(), "pseudonym": person.pseudonym, "manifest_was": before, "files": files}
    manifest["forgotten"] = [*manifest.get("forgotten", []), entry]
    write_json(folder / "manifest.json", manifest)


def _others(folder: Path) -> set[str]:
    """The samples that a report may show: without tombstones."""
    table: pa.Table = sample_messages(folder)
    return set(table.filter(pc.not_equal(table["subject"], ""))["message_id"].to_pylist())


# --- models ----------------------------------------------------------------------------------------------------------


def forget_in_models(place: Workspace, person: Person) -> list[str]:
    """Publishes each model that holds the person anew under the pseudonym, with what it recommended; their new names.

    The old one is withdrawn after that, so that one serves at every moment.
    """
    serves = Path(os.readlink(place.champion)).name if place.champion.is_symlink() else None
    changed = {}
    for path in sorted(place.models.glob("*")) if place.models.is_dir() else []:
        if not NAME.fullmatch(path.name) or not _in_model(path, person):
            continue
        old = load_model(path)
        serving, at_cut = (_renamed(part, person) for part in (old.serving, old.at_cut))
        new = publish_champion(place, old.manifest, serving, at_cut)
        changed[old.id] = new.id
        _recommendations(place, old.id, new.id, person)
        if serves in changed:
            point(place.champion, place.models / changed[str(serves)])
        withdraw(path)
        withdraw(place.recommendations(old.id))
    for path in sorted(place.root.glob("recommendations/*/recommendations.parquet")):  # of models that are gone
        if _rows_of(path, person):
            _recommendations(place, path.parent.name, path.parent.name, person)
    return sorted(changed.values())


def _in_model(folder: Path, person: Person) -> bool:
    return any(_rows_of(folder / part / "customer_id.parquet", person) for part in PARTS)


def _renamed(part: Artifact, person: Person) -> tuple[Recommender, InteractionMatrix]:
    known = part.matrix.customers
    mine = pc.equal(known, pa.scalar(person.customer_id, known.type))
    customers = pc.if_else(mine, pa.scalar(person.pseudonym, known.type), known)
    return part.model, replace(part.matrix, customers=customers)


def _recommendations(place: Workspace, old: str, new: str, person: Person) -> None:
    before = place.recommendations(old)
    if not before.exists():
        return
    with publishing(place.recommendations(new)) as folder:
        shutil.copytree(before, folder, dirs_exist_ok=True)
        rewrite_parquet(folder / "recommendations.parquet", person)
        write_json(folder / "manifest.json", {**read_json(folder / "manifest.json"), "model": new})


def _rows_of(path: Path, person: Person) -> int:
    mine = [("customer_id", "=", person.customer_id)]
    return pq.read_table(path, columns=["customer_id"], filters=mine).num_rows if path.exists() else 0


# --- what a killed step has left -------------------------------------------------------------------------------------


def remove_leftovers(place: Workspace) -> int:
    """Removes versions that no link leads to, and folders of processes that are gone; how many."""
    removed = 0
    for versions in sorted(place.root.glob("**/.versions")):
        links = {path.resolve() for path in versions.parent.iterdir() if path.is_symlink()}
        for version in sorted(versions.iterdir()):
            if version.resolve() not in links and not in_hand(version.name):
                shutil.rmtree(version)
                removed += 1
    for aside in sorted(place.models.glob(".fitted-*")) if place.models.is_dir() else []:
        shutil.rmtree(aside)
        removed += 1
    return removed


def in_hand(name: str) -> bool:
    """Whether a file or folder `.NAME.PROCESS` is what a living process, other than this one, writes into."""
    number = name.rpartition(".")[2]
    if not (name.startswith(".") and number.isdigit()) or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
