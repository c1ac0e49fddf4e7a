"""Files that are odd but readable are read in full; files that are not give one clear line and change nothing."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.ingest import ingest_tables
from flows.intake import csv_lines
from flows.intake.csv_lines import FAULT, LINE, open_csv
from flows.settings import load_settings
from flows.workspace import folder_digest, open_workspace, read_table
from recsys.tables import InputError

CLOCK = datetime(2017, 12, 5, tzinfo=UTC)
ROWS = {"customer_id": ["c1", "c2"], "name": ["Ibu Sari", "Bapak José"]}
CSV = "customer_id,name\nc1,Ibu Sari\nc2,Bapak José\n"


def read_csv(path: Path, data: bytes, encoding: str = "utf-8") -> list[tuple]:
    """(line, fault or None, values …) of each record, in order of lines."""
    path.write_bytes(data)
    file = open_csv(path, path.name, encoding, None)
    rows = pa.concat_tables(file.batches()).to_pylist()
    return sorted((row[LINE], row[FAULT], *(row[column] for column in file.columns if not row[FAULT])) for row in rows)


# --- CSV records -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"a,b\n1,2\n", [(2, None, "1", "2")]),
        (b"a,b\r\n1,2\r\n3,4", [(2, None, "1", "2"), (3, None, "3", "4")]),
        (b"a,b\r1,2\r3,4\r", [(2, None, "1", "2"), (3, None, "3", "4")]),
        (b"a,b\n1,2\r\n3,4\n", [(2, None, "1", "2"), (3, None, "3", "4")]),
        (b"\xef\xbb\xbf\na;b\n\n1;2\n", [(4, None, "1", "2")]),
        (b"a\tb\n1\t\n", [(2, None, "1", "")]),
        (b"a|b\n1|x,y\n", [(2, None, "1", "x,y")]),
        (b'a,b\n"1","x\ny"\n3,4\n', [(2, None, "1", "x\ny"), (4, None, "3", "4")]),
        (b'a,b\n1,"x ""y"""\n', [(2, None, "1", 'x "y"')]),
        (b'a,b\n1,5" pipe\n2,"x"y\n', [(2, None, "1", '5" pipe'), (3, None, "2", "xy")]),
        (b"a,b\n1,x\0y\n", [(2, None, "1", "x\0y")]),
        (b"a,b\n1,2,3\n4\n5,6\n", [(2, "malformed_line"), (3, "malformed_line"), (4, None, "5", "6")]),
        (b"a,b\n1,\xe9\n5,6\n", [(2, "broken_utf8"), (3, None, "5", "6")]),
        (b'a,b\n1,"x\n3,4\n', [(2, "malformed_line"), (3, None, "3", "4")]),
        (b'a,b\n1,"x\n3,4\n5,"y",6\n', [(2, "malformed_line"), (3, None, "3", "4"), (4, "malformed_line")]),
        (b"a\n1\n\n2\n", [(2, None, "1"), (4, None, "2")]),
    ],
)
def test_every_record_of_a_csv_comes_with_its_line_or_its_fault(tmp_path, data, records):
    assert read_csv(tmp_path / "x.csv", data) == records


@pytest.mark.parametrize("block", [7, 64, 1 << 20])
def test_records_do_not_depend_on_where_the_file_is_cut_into_blocks(tmp_path, monkeypatch, block):
    lines = [b'%d,"a\n%d",x\n' % (n, n) if n % 7 == 0 else b"%d,b,\xc3\xa9\n" % n for n in range(300)]
    lines[100], lines[200] = b'x,"open\n', b"only,two\n"
    monkeypatch.setattr(csv_lines, "BLOCK", block)
    rows = read_csv(tmp_path / "x.csv", b"a,b,c\n" + b"".join(lines))
    assert len(rows) == 300
    assert [row[0] for row in rows if row[1]] == [2 + 100 + 15, 2 + 200 + 29]
    assert sum(row[2:] == (str(n), "b", "é") for n, row in enumerate(rows)) == 300 - 43 - 2


def test_an_open_quote_does_not_swallow_the_rest_of_a_long_file(tmp_path):
    data = b'a,b\n1,"x\n' + b"".join(b"%d,y\n" % n for n in range(100_000))
    rows = read_csv(tmp_path / "x.csv", data)
    assert len(rows) == 100_001
    assert [row[:2] for row in rows if row[1]] == [(2, "malformed_line")]


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252", "utf-16"])
def test_other_encodings_are_read_when_told(tmp_path, encoding):
    data = "a,b\n1,José\n".encode(encoding)
    assert read_csv(tmp_path / "x.csv", data, encoding) == [(2, None, "1", "José")]


# --- where files lie -------------------------------------------------------------------------------------------------


def take_in(root: Path, source: str) -> dict:
    (root / "larisma.toml").write_text(f"[sources.customers]\n{source}\n")
    workspace = open_workspace(root)
    return ingest_tables(workspace, load_settings(workspace), CLOCK)["customers"]


def test_csv_parquet_compressed_folder_and_glob_give_the_same_table(tmp_path):
    for place in ("data", "parts/2017", "parts/2018"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "data/c.csv").write_text(CSV)
    (tmp_path / "data/c.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "data/c.dat").write_text(CSV)
    pq.write_table(pa.table(ROWS), tmp_path / "data/c.parquet")
    for place, rows in (("2017", slice(0, 1)), ("2018", slice(1, 2))):
        part = pa.table({name: values[rows] for name, values in ROWS.items()})
        pq.write_table(part, tmp_path / "parts" / place / "x.parquet")
    (tmp_path / "parts/_SUCCESS").write_text("")
    digests = set()
    for source in (
        'path = "data/c.csv"',
        'path = "data/c.csv.gz"',
        'path = "data/c.dat"\nformat = "csv"',
        'path = "data/c.parquet"',
        'path = "parts"',
        'path = "parts/*/x.parquet"',
        f'path = "{tmp_path}/data/c.csv"',
    ):
        assert take_in(tmp_path, source)["rows"] == 2
        digests.add(folder_digest(tmp_path / "tables/customers"))
    assert len(digests) == 1


def test_files_of_one_source_may_have_their_columns_in_another_order(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.csv").write_text("customer_id,name\nc1,Sari\n")
    (tmp_path / "data/b.csv").write_text("Name,points,Customer_ID\nBudi,5,c2\n")
    (tmp_path / "data/c.csv").write_text("customer_id,name,points\nc3,Dewi,7\n")
    with pytest.raises(InputError, match=r"data/a.csv lacks points, which other files"):
        take_in(tmp_path, 'path = "data"')
    assert take_in(tmp_path, 'path = "data"\ncolumns = {points = "null"}')["rows"] == 3
    names = read_table(open_workspace(tmp_path), "customers")["name"].to_pylist()
    assert names == ["Sari", "Budi", "Dewi"]


# --- faults of a whole source ----------------------------------------------------------------------------------------


def _parquet(path: Path, cut: int | None = None, spoil: bool = False) -> None:
    big = {"customer_id": [f"c{n * 7919 % 5000}-{n}" for n in range(5000)]}
    pq.write_table(pa.table(big), path, write_page_checksum=True)
    data = bytearray(path.read_bytes()[:cut])
    if spoil:
        data[200:400] = bytes(200)
    path.write_bytes(data)


FAULTS = {
    "no such file": ('path = "none.csv"', r"customers.path: no such file or folder: none.csv"),
    "glob of nothing": ('path = "none*.csv"', r"customers.path: no file matches none\*.csv"),
    "empty folder": ('path = "empty"', r"no CSV or Parquet files in the folder empty"),
    "empty CSV": ('path = "empty.csv"', r"empty.csv: the file is empty"),
    "blank CSV": ('path = "blank.csv"', r"blank.csv: the file has no header line"),
    "header only": ('path = "header.csv"', r"no rows in header.csv"),
    "missing column": (
        'path = "other.csv"',
        r"the source lacks customer_id; it has nama, kota; say what stands for it",
    ),
    "column twice": ('path = "twice.csv"', r"column customer_id appears twice"),
    "truncated Parquet": ('path = "cut.parquet"', r"cut.parquet: not a whole Parquet file"),
    "empty Parquet": ('path = "zero.parquet"', r"zero.parquet: the file is empty"),
    "damaged Parquet": ('path = "spoilt.parquet"', r"sources.customers: not readable"),
    "CSV as Parquet": ('path = "header.csv"\nformat = "parquet"', r"header.csv: not a whole Parquet file"),
    "Parquet as CSV": ('path = "cut.parquet"\nformat = "csv"', r'this is a Parquet file; set format = "parquet"'),
    "spreadsheet": ('path = "sheet.csv"', r"a spreadsheet or zip file; save it as CSV"),
    "truncated gzip": ('path = "cut.csv.gz"', r"cut.csv.gz: not readable"),
    "UTF-16": ('path = "utf16.csv"', r'set encoding = "utf-16"'),
    "not UTF-16": ('path = "other.csv"\nencoding = "utf-16"', r"other.csv: the file"),
    "all Latin-1": ('path = "latin.csv"', r"100.0%\) are broken_utf8.*set the source's encoding"),
    "binary": ('path = "noise.csv"', r"noise.csv: the file is not text in utf-8"),
    "unknown ending": ('path = "noise.dat"', r'say what it is by format = "csv"'),
    "two formats": ('path = "mixed"', r"CSV and Parquet files together"),
    "database without URL": ('query = "select 1"', r"LARISMA_DATABASE_URL"),
    "another kind of URL": ('query = "select 1"\nurl = "mysql://a:rahasia@b/c"', r"must look like postgresql://"),
}


@pytest.mark.parametrize(("source", "message"), FAULTS.values(), ids=FAULTS)
def test_a_source_that_cannot_be_read_gives_one_line_and_changes_nothing(tmp_path, source, message):
    (tmp_path / "good.csv").write_text(CSV)
    take_in(tmp_path, 'path = "good.csv"')
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    files = {
        "empty.csv": b"",
        "blank.csv": b"\n\n",
        "header.csv": b"customer_id,name\n",
        "other.csv": b"nama,kota\na,b\n",
        "twice.csv": b"customer_id,Customer_ID\na,b\n",
        "zero.parquet": b"",
        "sheet.csv": b"PK\x03\x04rest",
        "cut.csv.gz": gzip.compress(CSV.encode() * 99)[:-20],
        "utf16.csv": CSV.encode("utf-16"),
        "latin.csv": ("customer_id,name\n" + "c1,José\n" * 20).encode("latin-1"),
        "noise.csv": bytes(range(256)) * 10,
        "noise.dat": b"x",
        "mixed/a.csv": b"customer_id\na\n",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    _parquet(tmp_path / "cut.parquet", cut=3000)
    _parquet(tmp_path / "spoilt.parquet", spoil=True)
    _parquet(tmp_path / "mixed/b.parquet")
    (tmp_path / "larisma.toml").write_text(f"[sources.customers]\n{source}\n")
    digest = folder_digest(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        take_in(tmp_path, source)
    assert "\n" not in str(caught.value)
    assert "rahasia" not in str(caught.value)
    assert folder_digest(tmp_path) == digest
    assert not (tmp_path / ".ingest").exists()
