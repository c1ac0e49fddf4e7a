"""The commands: quick help, JSON and nothing else, exit codes, and a demo that harms nobody's folder."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.main import get_command

import flows.decide
import flows.demo.run
import flows.ingest
import flows.train
from flows.cli import app, run
from flows.commands.options import instant
from flows.train import RefusedModel
from flows.workspace import folder_digest, write_json
from recsys.tables import InputError

LARISMA = Path(sys.executable).with_name("larisma")
AS_OF = "2017-12-05T00:00Z"


def commands(command=None, words=()):
    """Every command and group, as the words to call it by."""
    command = command or get_command(app)
    inside = getattr(command, "commands", {})
    return [words, *(found for name in inside for found in commands(inside[name], (*words, name)))]


def call(capsys, *words):
    """(exit code, standard output, standard error)"""
    capsys.readouterr()
    code = run([str(word) for word in words])
    return code, *capsys.readouterr()


@pytest.fixture
def plain(copied, monkeypatch):
    """A workspace in which flows run as plain functions, without Prefect."""

    def train(root, as_of):
        return flows.train.train_models(copied.workspace, copied.settings, datetime.fromisoformat(as_of))

    def decide(root, campaign, as_of, hindsight):
        at = datetime.fromisoformat(as_of)
        return flows.decide.decide_campaign(copied.workspace, copied.settings, campaign, at, hindsight=hindsight)

    monkeypatch.setattr(flows.ingest, "ingest", lambda root: copied.ingest())
    monkeypatch.setattr(flows.train, "train", train)
    monkeypatch.setattr(flows.decide, "decide", decide)
    return copied


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_a_help_that_says_what_it_does(capsys, words):
    code, out, err = call(capsys, *words, "--help")
    assert (code, err) == (0, "")
    usage, _, rest = out.strip().partition("\n")
    assert usage.split()[0] == "Usage:"
    assert rest.strip()


def test_the_commands_are_those_that_were_promised():
    promised = {"demo", "init", "status", "ingest", "train", "evaluate", "recommend", "score", "campaign list"}
    promised |= {"campaign check", "decide", "explain", "preview", "serve"}
    named = {" ".join(words) for words in commands()}
    assert promised <= named


HEAVY = ("prefect", "duckdb", "sqlglot", "implicit", "numba", "matplotlib")


def test_help_waits_for_no_heavy_import():
    code = (
        "import sys\n"
        "from flows.cli import run\n"
        "assert run(['--help']) == 0 and run(['decide', '--help']) == 0\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "holds"),
    [
        ("ingest", "purchases"),
        (f"train --as-of {AS_OF}", "champion"),
        (f"evaluate --as-of {AS_OF}", "rows"),
        (f"decide panen --as-of {AS_OF}", "certificate"),
        ("status", "tables"),
        ("explain panen c000003", "offers"),
    ],
)
def test_json_is_all_that_is_printed(plain, capsys, command, holds):
    code, out, err = call(capsys, *command.split(), "--json", "--workspace", plain.workspace.root)
    assert (code, err) == (0, "")
    assert holds in json.loads(out)


def test_lists_are_json_too(plain, capsys, tmp_path):
    root = plain.workspace.root
    code, out, _ = call(capsys, "recommend", "c000003", "-n", 3, "--json", "--workspace", root)
    assert (code, [row["position"] for row in json.loads(out)]) == (0, [1, 2, 3])
    code, out, _ = call(capsys, "campaign", "list", "--json", "--workspace", root)
    assert (code, [row["id"] for row in json.loads(out)]) == (0, ["panen"])
    code, out, _ = call(capsys, "campaign", "check", "--as-of", AS_OF, "--json", "--workspace", root)
    assert (code, [row["campaign"] for row in json.loads(out)]) == (0, ["panen"])


# --- what people read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "wrote", "following"),
    [
        ("ingest", "wrote {root}/tables", "larisma train --workspace {root}"),
        (f"train --as-of {AS_OF}", "serves: {root}/models/20171205t000000z-", "larisma campaign list"),
        (f"decide panen --as-of {AS_OF}", "wrote {root}/runs/panen/20171208t020000z", "larisma explain panen"),
        ("recommend c000003", "nothing was changed", "larisma score"),
    ],
)
def test_a_command_ends_with_what_it_wrote_and_what_to_do_next(plain, capsys, command, wrote, following):
    root = plain.workspace.root
    code, out, err = call(capsys, *command.split(), "--workspace", root)
    assert (code, err) == (0, "")
    assert wrote.format(root=root) in out
    assert f"next: {following.format(root=root)}" in out


def test_a_list_of_customers_becomes_a_file(plain, capsys, tmp_path):
    (tmp_path / "list.csv").write_text("customer_id\nc000001\nc000149\n")
    words = ("score", "--customers", tmp_path / "list.csv", "-n", 4, "--workspace", plain.workspace.root, "--out")
    before = folder_digest(plain.workspace.root)
    assert call(capsys, *words, tmp_path / "out.parquet")[0] == 0
    code, out, _ = call(capsys, *words, tmp_path / "out.csv")
    assert code == 0
    assert "8 rows for 2 customers, 1 of them without history" in out
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["customer_id"].to_pylist() == ["c000001"] * 4 + ["c000149"] * 4
    assert (tmp_path / "out.csv").read_text().count("\n") == 9
    assert folder_digest(plain.workspace.root) == before


def test_a_preview_writes_what_would_be_sent_and_opens_it(plain, capsys, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    message = plain.rows("messages", channel="email")[0]
    words = ("preview", "panen", message["customer_id"], "--out", tmp_path, "--workspace", plain.workspace.root)
    assert call(capsys, *words)[0] == 0
    (page,) = tmp_path.glob("*.html")
    link = f"/{message['message_id']}"
    written = page.read_text(encoding="utf-8")
    assert written != message["body_html"]  # the link is signed
    assert written[: written.index(link)] == message["body_html"][: message["body_html"].index(link)]
    assert opened == []
    assert call(capsys, *words, "--open")[0] == 0
    assert opened == [page.as_uri()]


def test_a_preview_of_people_who_differ_most_is_one_page(plain, capsys, tmp_path):
    words = ("preview", "panen", "--sample", "4", "--out", tmp_path, "--workspace", plain.workspace.root)
    code, out, _ = call(capsys, *words, "--json")
    assert code == 0
    assert len(json.loads(out)["people"]) == 4
    assert (tmp_path / "panen-samples.html").is_file()


@pytest.mark.parametrize("words", [(), ("c000001", "--sample", "4")])
def test_a_preview_is_of_one_customer_or_of_a_sample(plain, capsys, words):
    code, _, err = call(capsys, "preview", "panen", *words, "--workspace", plain.workspace.root)
    assert code == 2
    assert "preview: expected either a customer or --sample, as --sample 20" in err


# --- exit codes and arguments ----------------------------------------------------------------------------------------


def test_a_run_that_failed_is_exit_1_and_one_line(plain, capsys, monkeypatch):
    def refuse(*_):
        raise RefusedModel("worse than what serves", "ndcg@10 0.1, against 0.2")

    monkeypatch.setattr(flows.train, "train", refuse)
    code, out, err = call(capsys, "train", "--workspace", plain.workspace.root)
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "new model refused, worse than what serves: ndcg@10 0.1, against 0.2; the last good model goes on serving"
    ]


def test_a_server_that_does_not_answer_is_exit_1_and_one_line(plain, capsys, monkeypatch):
    def unreachable(*_):
        raise RuntimeError("Failed to reach API at http://127.0.0.1:1/api/")

    monkeypatch.setattr(flows.train, "train", unreachable)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    code, _, err = call(capsys, "train", "--workspace", plain.workspace.root)
    assert code == 1
    assert err.splitlines() == [
        "Prefect's server does not answer: Failed to reach API at http://127.0.0.1:1/api/; "
        "start it with `prefect server start`, or unset PREFECT_API_URL"
    ]


def test_a_fault_of_ours_is_not_hidden(plain, monkeypatch):
    def fault(*_):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(flows.train, "train", fault)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        run(["train", "--workspace", str(plain.workspace.root)])


@pytest.mark.parametrize("words", [["nonsense"], ["decide"], ["recommend", "c1", "-n", "0"], ["status", "--nonsense"]])
def test_a_command_line_that_is_wrong_is_exit_2(capsys, words):
    assert call(capsys, *words)[0] == 2


def test_the_workspace_may_come_from_the_environment(plain, capsys, monkeypatch):
    monkeypatch.setenv("LARISMA_WORKSPACE", str(plain.workspace.root))
    assert call(capsys, "campaign", "list")[0] == 0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-12-05", "2017-12-04T17:00:00+00:00"),
        ("2017-12-05T08:30", "2017-12-05T01:30:00+00:00"),
        ("2017-12-05T08:30+08:00", "2017-12-05T00:30:00+00:00"),
        ("2017-12-05T00:00Z", "2017-12-05T00:00:00+00:00"),
    ],
)
def test_a_date_is_its_midnight_in_the_workspace_s_zone_unless_it_bears_one(text, moment):
    assert instant(text, "Asia/Jakarta").isoformat() == moment


def test_now_bears_a_zone():
    assert instant(None, "Asia/Jakarta").tzinfo is not None


def test_an_instant_that_is_none_is_wrong_input():
    with pytest.raises(InputError, match=r"--as-of: .* got '5 Desember'"):
        instant("5 Desember", "Asia/Jakarta")


def test_a_reader_that_goes_away_is_left_in_silence(plain):
    """As `larisma … | head` does."""
    child = subprocess.Popen(
        [LARISMA, "campaign", "list", "--workspace", plain.workspace.root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    assert child.stderr.read() == b""
    child.wait(timeout=60)


# --- the demo's folder -----------------------------------------------------------------------------------------------


@pytest.fixture
def no_demo(monkeypatch):
    """Running the demo is a failure."""

    def started(*_, **__):
        raise AssertionError("the demo was run")

    monkeypatch.setattr(flows.demo.run, "write_demo_sources", started)
    monkeypatch.setattr(flows.demo.run, "demo", started)


def test_a_finished_demo_is_served_from_what_is_there(shop, capsys, tmp_path, no_demo):
    root = tmp_path / "demo"
    root.mkdir()
    record = {
        "finished": True,
        "reports": ["a.html", "b.html"],
        "customer": "c1",
        "campaigns": {"panen": shop.manifest},
    }
    write_json(root / "demo.json", record)
    before = folder_digest(root)
    code, out, _ = call(capsys, "demo", "--workspace", root)
    assert code == 0
    assert "served from what was there" in out
    assert "larisma demo --fresh" in out
    code, out, _ = call(capsys, "demo", "--json", "--workspace", root)
    assert json.loads(out) == {**record, "ran": False}
    assert folder_digest(root) == before


@pytest.mark.parametrize("more", [[], ["--fresh"]])
def test_a_folder_that_holds_something_else_is_left_alone(capsys, tmp_path, no_demo, more):
    (tmp_path / "larisma.toml").write_text("")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "purchases.csv").write_text("a year's work")
    before = folder_digest(tmp_path)
    code, out, err = call(capsys, "demo", *more, "--workspace", tmp_path)
    assert (code, out) == (2, "")
    assert "not a demo's folder, so it is left alone" in err
    assert folder_digest(tmp_path) == before


def test_a_demo_that_was_broken_off_is_made_anew(monkeypatch, tmp_path):
    root, made = tmp_path / "demo", []
    monkeypatch.setattr(flows.demo.run, "write_demo_sources", lambda folder, seed: made.append(folder))
    monkeypatch.setattr(flows.demo.run, "demo", lambda folder: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            flows.demo.run.run_demo(root)
        assert not (root / "half").exists()
        (root / "half").write_text("left by the crash")
    assert made == [root, root]
