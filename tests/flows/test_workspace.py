"""Publishing: whole or not at all."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from flows import workspace as place
from flows.workspace import (
    TABLES,
    Workspace,
    checksum,
    folder_digest,
    open_workspace,
    publish_catalog,
    publishing,
    read_catalog,
    read_ingests,
    read_table,
    taking_in,
    withdraw,
    write_json,
    write_parquet,
)
from recsys.tables import InputError, conform

LINE = {"order_id": "o1", "customer_id": "c1", "item_id": "i1", "kind": "purchase", "quantity": 1, "amount": 1000}


def store(workspace: Workspace, lines: dict[str, datetime]) -> None:
    """Publishes purchases with these ids and instants."""
    rows = [{**LINE, "line_id": line, "occurred_at": at} for line, at in lines.items()]
    table = conform(pa.Table.from_pylist(rows), TABLES["purchases"])
    name = f"purchases/{'-'.join(lines)}.parquet"
    write_parquet(workspace.tables / name, table)
    publish_catalog(workspace, {"purchases": {"rows": len(rows), "files": [{"path": name}]}})


def test_a_folder_without_larisma_toml_is_no_workspace(tmp_path):
    with pytest.raises(InputError, match=r"no workspace here \(larisma.toml is missing\); make one with: larisma init"):
        open_workspace(tmp_path)


def test_a_table_never_taken_in_is_empty_but_has_its_columns(tmp_path):
    table = read_table(Workspace(tmp_path), "customers", columns=["tier", "customer_id"])
    assert (table.num_rows, table.column_names) == (0, ["tier", "customer_id"])


def test_a_reader_sees_only_what_was_known_before_its_instant_sorted_by_key(tmp_path):
    workspace = Workspace(tmp_path)
    days = {
        "b": datetime(2017, 1, 2, tzinfo=UTC),
        "a": datetime(2017, 1, 1, tzinfo=UTC),
        "c": datetime(2017, 1, 3, tzinfo=UTC),
    }
    store(workspace, days)
    assert read_table(workspace, "purchases")["line_id"].to_pylist() == ["a", "b", "c"]
    assert read_table(workspace, "purchases", as_of=days["b"])["line_id"].to_pylist() == ["a"]
    with pytest.raises(InputError, match="expected a time zone"):
        read_table(workspace, "purchases", as_of=datetime(2017, 1, 2))  # noqa: DTZ001


def test_publishing_a_catalog_removes_what_nothing_names_and_keeps_the_ingests(tmp_path):
    workspace = Workspace(tmp_path)
    instant = datetime(2017, 1, 1, tzinfo=UTC)
    store(workspace, {"a": instant})
    publish_catalog(workspace, read_catalog(workspace), {"purchases": {"file": None}})
    store(workspace, {"b": instant})
    assert [path.name for path in (workspace.tables / "purchases").iterdir()] == ["b.parquet"]
    assert read_ingests(workspace) == {"purchases": {"file": None}}


def test_a_reader_overtaken_by_a_publication_reads_the_new_table(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    instant = datetime(2017, 1, 1, tzinfo=UTC)
    store(workspace, {"a": instant})
    ask = place.table_files
    answers = []

    def overtaken(*arguments):
        answers.append(ask(*arguments))
        if len(answers) == 1:
            store(workspace, {"b": instant})
        return answers[-1]

    monkeypatch.setattr(place, "table_files", overtaken)
    assert read_table(workspace, "purchases")["line_id"].to_pylist() == ["b"]


def test_a_table_s_file_that_is_lost_is_an_error_and_not_an_endless_wait(tmp_path):
    workspace = Workspace(tmp_path)
    store(workspace, {"a": datetime(2017, 1, 1, tzinfo=UTC)})
    (workspace.tables / "purchases/a.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        read_table(workspace, "purchases")


def test_a_folder_is_published_whole_and_replaced_whole(tmp_path):
    target = tmp_path / "runs" / "one"
    for word in ("old", "new"):
        with publishing(target) as aside:
            write_json(aside / "manifest.json", {"word": word})
            assert not (target / "manifest.json").exists() or word == "new"
        assert place.read_json(target / "manifest.json") == {"word": word}
    assert len(list((tmp_path / "runs" / ".versions").iterdir())) == 1


def test_in_a_copy_with_its_links_followed_folders_are_published_and_taken_back_as_ever(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    (target / "old").write_text("1")
    with publishing(target) as folder:
        (folder / "new").write_text("2")
    assert target.is_symlink()
    assert [path.name for path in target.iterdir()] == ["new"]
    copy = tmp_path / "copy" / "run"
    shutil.copytree(target, copy)
    withdraw(copy)
    assert not copy.exists()
    assert sorted(path.name for path in copy.parent.iterdir()) == []


def test_a_publication_that_fails_leaves_what_was_there(tmp_path):
    target = tmp_path / "runs" / "one"
    with publishing(target) as aside:
        write_json(aside / "a.json", {})
    before = os.readlink(target)
    with pytest.raises(ZeroDivisionError), publishing(target) as aside:
        write_json(aside / "b.json", {"impossible": 1 / 0})
    assert os.readlink(target) == before
    assert [path.name for path in target.iterdir()] == ["a.json"]
    assert len(list((tmp_path / "runs" / ".versions").iterdir())) == 1


def test_a_folder_s_digest_depends_on_names_and_contents(tmp_path):
    digests = set()
    for name, word in (("a.json", "x"), ("b.json", "x"), ("a.json", "y")):
        with publishing(tmp_path / "run") as aside:
            write_json(aside / name, {"word": word})
        digests.add(folder_digest(tmp_path / "run"))
    assert len(digests) == 3
    assert len(checksum(tmp_path / "run" / "a.json")) == 64


def test_only_one_process_takes_in_at_a_time_and_nothing_is_left_behind(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / ".ingest").mkdir()
    (tmp_path / ".ingest/left-by-a-killed-run").write_text("")
    code = f"from flows.workspace import *\nwith taking_in(Workspace(Path({str(tmp_path)!r}))): pass"
    with taking_in(workspace) as aside:
        assert list(aside.iterdir()) == []
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "another ingest is running here" in other.stderr
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
