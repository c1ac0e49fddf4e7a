"""Whatever is wrong in files, settings, campaigns or arguments: one clear line a fault, exit 2, and nothing changed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import flows.decide
import flows.ingest
import flows.train
from flows.cli import run
from flows.settings import load_settings
from flows.workspace import checksum, open_workspace

LARISMA = Path(sys.executable).with_name("larisma")
NOWHERE = "postgresql://toko:rahasia@127.0.0.1:1/toko"  # nobody listens there


@pytest.fixture
def broken(copied, monkeypatch):
    """A whole workspace to break, in which flows run as plain functions."""

    def opened(root):
        workspace = open_workspace(Path(root))
        return workspace, load_settings(workspace)

    def ingest(root):
        return flows.ingest.ingest_tables(*opened(root), copied.clock)

    def train(root, as_of):
        return flows.train.train_models(*opened(root), datetime.fromisoformat(as_of))

    def decide(root, campaign, as_of, hindsight):
        at = datetime.fromisoformat(as_of)
        return flows.decide.decide_campaign(*opened(root), campaign, at, hindsight=hindsight)

    monkeypatch.setattr(flows.ingest, "ingest", ingest)
    monkeypatch.setattr(flows.train, "train", train)
    monkeypatch.setattr(flows.decide, "decide", decide)
    return copied


def contents(root: Path) -> dict[str, str]:
    """Everything in a folder: each file's checksum, each link's target, and the folders."""
    return {
        str(path.relative_to(root)): os.readlink(path)
        if path.is_symlink()
        else checksum(path)
        if path.is_file()
        else "folder"
        for path in sorted(root.rglob("*"))
    }


# --- what may be broken ----------------------------------------------------------------------------------------------


def settings(old: str, new: str) -> Callable:
    """An edit of larisma.toml; all of it if old is empty."""

    def edit(shop):
        text = shop.workspace.settings_file.read_text(encoding="utf-8")
        assert old in text
        shop.workspace.settings_file.write_text(text.replace(old, new, 1) if old else new, encoding="utf-8")

    return edit


def source(name: str, data: bytes | None, table: str = "customers", more: str = "") -> Callable:
    """The table's only source is this file; None is a file that is not there."""

    def replace(shop):
        if data is not None:
            (shop.workspace.root / name).write_bytes(data)
        shop.workspace.settings_file.write_text(f'[sources.{table}]\npath = "{name}"\n{more}', encoding="utf-8")

    return replace


def rows(table: str, column: str, value: object, count: int) -> Callable:
    """The first `count` rows of a source get this value."""

    def spoil(shop):
        known = pq.read_table(shop.source(table))
        field = known.schema.field(column)
        spoilt = pc.if_else(
            pa.array([n < count for n in range(len(known))]), pa.scalar(value, field.type), known[column]
        )
        place = known.schema.get_field_index(column)
        schema = known.schema.set(place, field.with_nullable(True))
        pq.write_table(known.set_column(place, schema.field(place), spoilt).cast(schema), shop.source(table))

    return spoil


def campaign(old: str, new: str) -> Callable:
    return lambda shop: shop.edit_campaign(old, new)


def file(name: str, data: bytes) -> Callable:
    return lambda shop: (shop.workspace.root / name).write_bytes(data)


def gone(*names: str) -> Callable:
    def remove(shop):
        for name in names:
            path = shop.workspace.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def nothing(shop) -> None:
    """The fault is in the arguments."""


def cut_parquet(shop) -> None:
    path = shop.source("purchases")
    path.write_bytes(path.read_bytes()[:-100])


def damaged_model(shop) -> None:
    path = next(shop.workspace.champion.resolve().glob("serving/*.npy"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


INGEST, TRAIN, DECIDE = "ingest", "train --as-of 2017-12-05T00:00Z", "decide panen --as-of 2017-12-05T00:00Z"
CHECK = "campaign check --as-of 2017-12-05T00:00Z"

# what is wrong: (how it gets so, the command, what each line of stderr says)
FAULTS = {
    # settings
    "no workspace": (gone("larisma.toml"), "status", ["no workspace here (larisma.toml is missing) … larisma init"]),
    "bad TOML": (settings("[train]", "[train"), INGEST, ["larisma.toml: not valid TOML … line 4"]),
    "settings not UTF-8": (
        file("larisma.toml", b'shop = "Caf\xe9"'),
        INGEST,
        ["larisma.toml: not valid TOML … 0xe9 in position 11"],
    ),
    "unknown setting": (
        settings("factors", "factor"),
        TRAIN,
        ["larisma.toml: train.factor: unknown key; did you mean 'factors'?"],
    ),
    "setting of the wrong type": (
        settings("factors = 8", 'factors = "many"'),
        TRAIN,
        ["larisma.toml: train.factors: … 'many'"],
    ),
    "two wrong settings": (
        settings("[train]\n", 'language = "xx"\n[train]\nseed = "x"\n'),
        TRAIN,
        ["larisma.toml: language: expected one of id, en, got 'xx'", "larisma.toml: train.seed: … 'x'"],
    ),
    "unknown time zone": (
        settings("[train]", 'timezone = "Asia/Jakata"\n[train]'),
        "campaign list",
        ["larisma.toml: timezone: expected … Asia/Jakarta, got 'Asia/Jakata'"],
    ),
    "source of an unknown table": (
        settings("[sources.purchases]", "[sources.purchase]"),
        INGEST,
        ["larisma.toml: sources.purchase: no such table; expected one of … purchases"],
    ),
    "source without a place": (
        settings('path = "sources/items.parquet"', ""),
        INGEST,
        ["larisma.toml: sources.items … expected either path (files) or query"],
    ),
    "no sources": (settings("", ""), INGEST, ["larisma.toml: no sources; … [sources.purchases]"]),
    "unknown reason": (
        settings("[train]", "[ingest.stop_share]\nmising_customer_id = 1\n[train]"),
        INGEST,
        ["larisma.toml: ingest.stop_share.mising_customer_id: … did you mean missing_customer_id?"],
    ),
    "unknown metric": (
        settings("[train]\n", '[train]\nmetric = "accuracy"\n'),
        TRAIN,
        ["metric: expected … ndcg@10 … got 'accuracy'"],
    ),
    # sources
    "source not there": (
        source("nowhere.csv", None),
        INGEST,
        ["sources.customers.path: no such file or folder: nowhere.csv"],
    ),
    "glob of nothing": (
        source("nowhere-*.csv", None),
        INGEST,
        ["sources.customers.path: no file matches nowhere-*.csv"],
    ),
    "empty file": (source("empty.csv", b""), INGEST, ["sources.customers: empty.csv: the file is empty"]),
    "header only": (
        source("header.csv", b"customer_id,name\n"),
        INGEST,
        ["sources.customers: no rows in header.csv … leave the source out"],
    ),
    "truncated Parquet": (
        cut_parquet,
        INGEST,
        ["sources.purchases: sources/purchases.parquet: not a whole Parquet file"],
    ),
    "CSV named Parquet": (
        source("customers.parquet", b"customer_id\nc1\n"),
        INGEST,
        ["sources.customers: customers.parquet: not a whole Parquet file (truncated, or another format)"],
    ),
    "spreadsheet": (
        source("customers.csv", b"PK\x03\x04rest"),
        INGEST,
        ["sources.customers: customers.csv: … a spreadsheet or zip file; save it as CSV"],
    ),
    "missing column": (
        source("customers.csv", b"nama,kota\na,b\n"),
        INGEST,
        ["sources.customers: the source lacks customer_id; it has nama, kota; say … [sources.customers.columns]"],
    ),
    "UTF-16 taken for UTF-8": (
        source("customers.csv", "customer_id\nc1\n".encode("utf-16")),
        INGEST,
        ['sources.customers: customers.csv: … UTF-16; set encoding = "utf-16"'],
    ),
    "Latin-1 taken for UTF-8": (
        source("customers.csv", b"customer_id,name\n" + b"c1,Jos\xe9\n" * 20),
        INGEST,
        ["customers: 20 of 20 rows (100.0%) are broken_utf8 … set the source's encoding … customers.csv row 2"],
    ),
    "bad SQL": (
        source("c.csv", b"id\nc1\n", more="columns = {customer_id = 'upper(id'}\n"),
        INGEST,
        ["larisma.toml: sources.customers.columns.customer_id: not a SQL expression: 'upper(id'"],
    ),
    "SQL that reads files": (
        source("c.csv", b"id\nc1\n", more="columns = {customer_id = '(select * from read_text(\"/etc/passwd\"))'}\n"),
        INGEST,
        ["larisma.toml: sources.customers.columns.customer_id: … no subquery"],
    ),
    "mapping of an unknown column": (
        source("c.csv", b"id\nc1\n", more="columns = {custmer_id = 'id'}\n"),
        INGEST,
        ["larisma.toml: sources.customers.columns.custmer_id: … did you mean customer_id?"],
    ),
    "database that does not answer": (
        settings("", f'[sources.customers]\nquery = "select 1"\nurl = "{NOWHERE}"\n'),
        INGEST,
        ["sources.customers: the database … 127.0.0.1"],
    ),
    "too many rows without a customer": (
        rows("purchases", "customer_id", None, 1000),
        INGEST,
        ["purchases: 1,000 of 8,400 rows (11.9%) are missing_customer_id … ingest.stop_share … parquet row 1"],
    ),
    "too many rows from the future": (
        rows("purchases", "occurred_at", datetime(2031, 1, 1, tzinfo=UTC), 1000),
        INGEST,
        ["purchases: 1,000 of 8,400 rows (11.9%) are future_date … the source's timezone … purchases.parquet row 1"],
    ),
    # training
    "nothing to train on": (gone("tables"), TRAIN, ["purchases: none before 2017-12-05 … ingest some"]),
    "as of before the data": (
        nothing,
        "train --as-of 2001-01-01",
        ["purchases: none before 2000-12-31 … choose a later as-of instant"],
    ),
    "no instant": (nothing, "train --as-of yesterday", ["--as-of: expected a date … 2017-12-05 … got 'yesterday'"]),
    "a day that is none": (nothing, "decide panen --as-of 2017-02-30", ["--as-of: expected a date … got '2017-02-30'"]),
    # campaigns
    "unknown campaign": (nothing, "decide pannen", ["campaign pannen: … did you mean panen?"]),
    "no campaigns": (
        gone("campaigns/panen.yaml"),
        "campaign check",
        ["campaigns: no campaigns; make one with: larisma campaign new"],
    ),
    "YAML syntax": (
        campaign("budgets: {", "budgets: ["),
        DECIDE,
        ["panen.yaml:10: not valid YAML: a { or [ is not closed"],
    ),
    "YAML not UTF-8": (
        file("campaigns/panen.yaml", b"id: caf\xe9"),
        CHECK,
        ["panen.yaml:1: byte 0xe9 is not UTF-8; save the file as UTF-8"],
    ),
    "duplicate key": (
        campaign("window_days: 20\n", "window_days: 20\nwindow_days: 30\n"),
        DECIDE,
        ["panen.yaml:5: window_days: … a second time; keep one"],
    ),
    "unknown key": (
        campaign("min_spend: 30000", "min_spnd: 30000"),
        DECIDE,
        ["panen.yaml:42: offers[semua].min_spnd: unknown key; did you mean 'min_spend'?"],
    ),
    "wrong type": (
        campaign("window_days: 20", "window_days: twenty"),
        DECIDE,
        ["panen.yaml:4: window_days: expected … got 'twenty'"],
    ),
    "negative budget": (
        campaign("retailer: 150000", "retailer: -5"),
        DECIDE,
        ["panen.yaml:10: budgets.retailer: expected a positive amount in rupiah, … got -5"],
    ),
    "shares that do not add up": (
        campaign("{retailer: 0.5, sari", "{retailer: 0.6, sari"),
        DECIDE,
        ["panen.yaml:15: offers[kopi].funders: the shares add up to 1.1, expected 1"],
    ),
    "unknown funder": (
        campaign("0.5, sari-murni: 0.5}", "0.5, sari-muni: 0.5}"),
        DECIDE,
        ["panen.yaml:15: offers[kopi].funders.sari-muni: … did you mean 'sari-murni'?"],
    ),
    "another name than the file's": (
        campaign("id: panen", "id: pesta"),
        DECIDE,
        ["panen.yaml:1: id: expected 'panen', … got 'pesta'; rename"],
    ),
    "bad predicate": (
        campaign('"tier is not null"', '"tier is not nul"'),
        DECIDE,
        ["panen.yaml:5: audience: position 13: no column 'nul'; columns are"],
    ),
    "predicate that reads files": (
        campaign('"tier is not null"', "\"city in (select 'x')\""),
        DECIDE,
        ["panen.yaml:5: audience: position 10: 'select' is not allowed"],
    ),
    "predicate of an unknown column": (
        campaign("tier = 'gold'", "tir = 'gold'"),
        DECIDE,
        ["panen.yaml:35: offers[sabun].eligibility: … no column 'tir'; did you mean 'tier'?"],
    ),
    "unknown template field": (
        campaign("{{ offer.title }}, {{", "{{ offer.titel }}, {{"),
        DECIDE,
        [
            "panen.yaml: content.id.subject: unknown field offer.titel; did you mean offer.title?",
            "panen.yaml: content.en.subject: unknown field offer.titel; did you mean offer.title?",
        ],
    ),
    "template that reaches out": (
        campaign('"{{ offer.benefit }}"', '"{{ offer.__class__ }}"'),
        CHECK,
        [
            "panen.yaml:53: content.en.push_body: unknown field offer.__class__",
            "panen.yaml:53: content.id.push_body: unknown field offer.__class__",
        ],
    ),
    "unknown category": (
        campaign('"Dapur > Teh"', '"Dapur > Tee"'),
        CHECK,
        ["panen.yaml:24: offers[teh].scope.categories[0]: … 'Dapur > Tee'; did you mean 'Dapur > Teh'"],
    ),
    "three faults at once": (
        lambda shop: [
            shop.edit_campaign("retailer: 150000", "retailer: 0"),
            shop.edit_campaign("redeemed: 9", "redeemd: 9"),
            shop.edit_campaign("share: 0.15", "share: 15"),
        ],
        DECIDE,
        [
            "panen.yaml:6: control.share: expected … got 15",
            "panen.yaml:10: budgets.retailer: … got 0",
            "panen.yaml:16: offers[kopi].quota … unknown key; did you mean 'redeemed'?",
        ],
    ),
    "no model yet": (gone("models"), DECIDE, ["models: no model serves yet; make one with: larisma train"]),
    "damaged model": (
        damaged_model,
        DECIDE,
        [".npy: this file of the model has changed since it was saved; train again"],
    ),
    # one customer, or a list
    "unknown customer": (
        nothing,
        "recommend c9",
        ["customer: 'c9': no purchases and no row in customers; an id looks like c0"],
    ),
    "customer the run does not know": (
        nothing,
        "explain panen c9",
        ["customer 'c9': not among the customers of panen"],
    ),
    "customer who is sent nothing": (
        nothing,
        "preview panen c9",
        ["customer 'c9': panen sends them nothing; larisma explain panen c9"],
    ),
    "campaign not decided": (
        gone("runs"),
        "explain panen c000001",
        ["campaign panen: it has not been decided yet; larisma decide panen"],
    ),
    "unknown language": (nothing, "recommend c000001 --language xx", ["--language: expected id or en, got 'xx'"]),
    "unknown language to explain in": (
        nothing,
        "explain panen c000001 --language xx",
        ["--language: expected id or en, got 'xx'"],
    ),
    "list not there": (
        nothing,
        "score --customers nowhere.csv --out out.csv",
        ["--customers nowhere.csv: no such file"],
    ),
    "list without customer_id": (
        file("list.csv", b"id\nc000001\n"),
        "score --customers {root}/list.csv --out out.csv",
        ["list.csv: expected a CSV or Parquet with a column customer_id"],
    ),
    "empty list": (
        file("list.csv", b"customer_id\n"),
        "score --customers {root}/list.csv --out out.csv",
        ["list.csv: there is no customer in it"],
    ),
    "unknown customer in a list": (
        file("list.csv", b"customer_id\nc000001\nc9\n"),
        "score --customers {root}/list.csv --out {root}/out.csv",
        ["customer: 1 of 2 are unknown, the first is 'c9'"],
    ),
    "no folder for the output": (
        file("list.csv", b"customer_id\nc000001\n"),
        "score --customers {root}/list.csv --out {root}/none/out.csv",
        ["none/out.csv: there is no folder"],
    ),
    "output of an unknown kind": (
        file("list.csv", b"customer_id\nc000001\n"),
        "score --customers {root}/list.csv --out {root}/out.xlsx",
        ["out.xlsx: expected a name that ends in .csv or .parquet"],
    ),
    # making workspaces
    "workspace there already": (
        nothing,
        "init",
        ["larisma.toml: there is a workspace here already; … choose another folder"],
    ),
    "a folder that is no demo's": (
        gone("sources"),
        "demo",
        ["not a demo's folder, so it is left alone; choose another with --workspace"],
    ),
}


@pytest.mark.parametrize(("spoil", "command", "lines"), FAULTS.values(), ids=FAULTS)
def test_a_fault_gives_one_clear_line_and_exit_2_and_changes_nothing(broken, capsys, spoil, command, lines):
    spoil(broken)
    root = broken.workspace.root
    before = contents(root)
    capsys.readouterr()
    code = run([*command.format(root=root).split(), "--workspace", str(root)])
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert_said(said.err, lines)
    assert contents(root) == before


def assert_said(text: str, lines: list[str]) -> None:
    """As many lines, each with what is expected of it, where … stands for anything; and no secret."""
    found = text.splitlines()
    assert len(found) == len(lines), text
    for line, expected in zip(found, lines, strict=True):
        pieces = [re.escape(piece.strip()) for piece in expected.split("…")]
        assert re.search(".*".join(pieces), line), line
    assert "rahasia" not in text


# --- the real command, on Prefect's embedded server ------------------------------------------------------------------


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory):
    return tmp_path_factory.mktemp("prefect")


@pytest.mark.server
@pytest.mark.parametrize(
    ("spoil", "command", "lines"),
    [
        (cut_parquet, INGEST, FAULTS["truncated Parquet"][2]),
        (nothing, "train --as-of 2001-01-01", FAULTS["as of before the data"][2]),
        (gone("models"), DECIDE, FAULTS["no model yet"][2]),
    ],
    ids=["ingest", "train", "decide"],
)
def test_a_fault_found_inside_a_flow_is_said_as_plainly(copied, prefect_home, spoil, command, lines):
    spoil(copied)
    root = copied.workspace.root
    before = contents(root)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [LARISMA, *command.split(), "--workspace", root],
        env={**kept, "PREFECT_HOME": str(prefect_home)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert_said(done.stderr, lines)
    assert (done.returncode, done.stdout) == (2, "")
    assert contents(root) == before
