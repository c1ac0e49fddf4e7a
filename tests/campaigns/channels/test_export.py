"""Files for services that send: whole or not there, the same rows in every format, and no spreadsheet formulas."""

import csv
import hashlib
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.channels.export import FORMATS, MANIFEST, Export, columns_for, offer_fields, plain

COLUMNS = columns_for(2)
ROWS = [
    {"message_id": "m1", "customer_id": "c1", "address": "budi@x.example", "subject": "Kopi, \"hemat\"\nuntuk Anda",
     **offer_fields([{"id": "kopi", "title": "Kopi", "min_spend": 30_000}, {"id": "teh", "code": "-X"}])},
    {"message_id": "m2", "customer_id": "=1+1", "address": None, "subject": "@salam ☕", "offer_1_min_spend": -5},
]  # fmt: skip


def exported(folder, form, *blocks):
    export = Export(folder, form, COLUMNS)
    export.begin()
    for block in blocks:
        export.write(block)
    assert not (folder / export.name).exists()
    export.publish(export.close(), {"campaign": "panen"})
    return folder / export.name


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_the_same_rows_and_a_manifest_that_is_true(tmp_path, form):
    path = exported(tmp_path / "out", form, ROWS[:1], ROWS[1:], [])
    rows = read(path)
    assert [row["message_id"] for row in rows] == ["m1", "m2"]
    assert rows[0]["subject"] == ROWS[0]["subject"]
    assert rows[0]["offer_2_id"] == "teh"
    assert tuple(rows[0]) == COLUMNS
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    (file,) = manifest["files"]
    assert (manifest["campaign"], file["path"], file["rows"]) == ("panen", path.name, 2)
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file["bytes"] == path.stat().st_size
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == sorted([path.name, MANIFEST])


def test_numbers_stay_numbers_and_text_is_no_formula(tmp_path):
    text = exported(tmp_path / "csv", "csv", ROWS).read_text("utf-8")
    assert ",-5," in text
    assert ",30000," in text
    for row in read(tmp_path / "csv" / "messages.csv"):
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in row.values())
    assert ",'-X," in text
    table = pq.read_table(exported(tmp_path / "parquet", "parquet", ROWS))
    assert table["offer_1_min_spend"].to_pylist() == [30_000, -5]
    assert table["customer_id"].to_pylist() == ["c1", "=1+1"], "only a spreadsheet reads formulas"


@given(st.text(max_size=20))
def test_no_text_begins_like_a_formula_and_most_stay_as_they_are(text):
    safe = plain(text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert safe.removeprefix("'") == text.removeprefix("'") or safe == text


@pytest.mark.parametrize("value", [-5, 0, 1.5, None, True])
def test_what_is_not_text_is_left_alone(value):
    assert plain(value) is value


def test_a_zero_byte_is_taken_out_of_csv(tmp_path):
    path = exported(tmp_path / "out", "csv", [{"message_id": "m1", "subject": "\0=x\0"}])
    assert b"\0" not in path.read_bytes()
    assert read(path)[0]["subject"] == "'=x"


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_broken_off_leaves_nothing(tmp_path, form):
    export = Export(tmp_path / "out", form, COLUMNS)
    export.begin()
    export.write(ROWS)
    export.discard()
    assert list((tmp_path / "out").iterdir()) == []
    export.discard()


def test_an_export_that_was_ended_is_discarded_too(tmp_path):
    export = Export(tmp_path / "out", "parquet", COLUMNS)
    export.begin()
    export.close()
    export.discard()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_there_is_never_written_over(tmp_path, form):
    exported(tmp_path / "out", form, ROWS)
    for other in FORMATS:
        with pytest.raises(FileExistsError):
            Export(tmp_path / "out", other, COLUMNS).begin()


def test_nothing_is_written_before_it_begins(tmp_path):
    with pytest.raises(RuntimeError, match="not begun"):
        Export(tmp_path, "csv", COLUMNS).write(ROWS)
