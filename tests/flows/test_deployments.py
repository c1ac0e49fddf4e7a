"""Schedules on a real Prefect server: what is registered, what fires, what a run leaves behind, and what it never says.

The server and `larisma serve` are started once for this file, as processes of their own.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from flows.delivering.settings import EmailServer
from flows.deployments import deployments
from flows.workspace import Workspace, folder_digest, read_json

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("prefect")]  # one worker, one server

BIN = Path(sys.executable).parent
DEADLINE = 120  # seconds that anything may take on a busy machine
AS_OF = "2017-12-05T00:00:00+00:00"
LEBARAN = 'schedule: {occasion: lebaran, days: -3, time: "09:00", lead_days: 7}'
DEFAULT = 'schedule: {occasion: always, weekday: friday, time: "09:00"}'


def until(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives as soon as that is something."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {DEADLINE} seconds")


@contextmanager
def process(*words: str | Path, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A process with its children, ended at the end: asked first, then killed."""
    with log.open("wb") as out:
        child = subprocess.Popen(words, stdout=out, stderr=out, env=env, start_new_session=True)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(20)


@dataclass(frozen=True)
class Prefect:
    """A server that a runner of ours is registered with."""

    api: httpx.Client
    workspace: Workspace

    def post(self, path: str, **body: Any) -> Any:
        def look() -> httpx.Response | None:
            answer = self.api.post(path, json=body)
            return None if answer.status_code == 503 else answer  # its SQLite was locked: a client is to ask again

        return until(look, f"an answer to {path}").raise_for_status().json()

    def deployment(self, name: str) -> dict[str, Any]:
        return self.api.get(f"/deployments/name/{name}").raise_for_status().json()

    def scheduled(self, name: str) -> list[datetime]:
        """When a deployment's runs are to start, in UTC; waits for the scheduler to have made them."""
        only = {"deployment_id": {"any_": [self.deployment(name)["id"]]}, "state": {"type": {"any_": ["SCHEDULED"]}}}
        found = until(
            lambda: self.post("/flow_runs/filter", flow_runs=only, sort="EXPECTED_START_TIME_ASC"),
            f"scheduled runs of {name}",
        )
        return [datetime.fromisoformat(run["expected_start_time"]) for run in found]

    def fire(self, name: str, **parameters: Any) -> str:
        """Triggers a deployment; returns the ID of the run."""
        return self.post(f"/deployments/{self.deployment(name)['id']}/create_flow_run", parameters=parameters)["id"]

    def ended(self, run_id: str) -> dict[str, Any]:
        """A flow run, once it has ended."""

        def look() -> dict[str, Any] | None:
            run = self.api.get(f"/flow_runs/{run_id}").raise_for_status().json()
            return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        return until(look, f"the end of run {run_id}")

    def said(self, run_id: str) -> str:
        """What a run logged, once its exception is there, and everything else that the server keeps of it."""
        only = {"flow_run_id": {"any_": [run_id]}}

        def look() -> list[dict[str, Any]] | None:
            logs = self.post("/logs/filter", logs=only, limit=200)
            return logs if any("Finished in state" in log["message"] for log in logs) else None

        kept = [until(look, "logs"), self.post("/artifacts/filter", artifacts=only), self.ended(run_id)]
        return json.dumps(kept, ensure_ascii=False)


@pytest.fixture(scope="module")
def prefect(shop, tmp_path_factory) -> Iterator[Prefect]:
    folder = tmp_path_factory.mktemp("prefect")
    workspace = Workspace(folder / "shop")
    shutil.copytree(shop.workspace.root, workspace.root, symlinks=True)
    shutil.rmtree(workspace.root / "runs")
    made = replace(shop, workspace=workspace)
    panen = (workspace.campaigns / "panen.yaml").read_text(encoding="utf-8")
    assert DEFAULT in panen
    made.write_campaign(panen.replace("id: panen", "id: mudik").replace(DEFAULT, LEBARAN), "mudik")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LARISMA_"))}
    env |= {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    }
    address = ("--host", "127.0.0.1", "--port", str(port))
    server = (sys.executable, "-m", "prefect", "server", "start", *address)
    serve = (BIN / "larisma", "serve", "--workspace", workspace.root)
    with httpx.Client(base_url=url, timeout=30) as api, process(*server, log=folder / "server.log", env=env):
        found = Prefect(api, workspace)

        def healthy() -> bool:
            try:
                return api.get("/health").is_success
            except httpx.HTTPError:
                return False

        until(healthy, "the server's health")
        with process(*serve, log=folder / "serve.log", env=env) as runner:

            def registered() -> bool:
                assert runner.poll() is None, (folder / "serve.log").read_text()
                return len(found.post("/deployments/filter")) == 5

            until(registered, "the deployments")
            yield found


@dataclass(frozen=True)
class Fired:
    """The same campaign decided twice, and once with wrong input; digests: of the run's folder after each."""

    first: dict[str, Any]
    second: dict[str, Any]
    failed: dict[str, Any]
    digests: tuple[str, str]


@pytest.fixture(scope="module")
def fired(prefect) -> Fired:
    folder = prefect.workspace.root / "runs" / "panen"
    first, failed = prefect.fire("decide/panen", as_of=AS_OF), prefect.fire("decide/mudik", as_of="2001-01-01T00:00Z")
    first, failed = prefect.ended(first), prefect.ended(failed)
    before = folder_digest(folder)
    second = prefect.ended(prefect.fire("decide/panen", as_of=AS_OF))
    return Fired(first, second, failed, (before, folder_digest(folder)))


# --- what the server makes of them -----------------------------------------------------------------------------------


def test_the_night_begins_at_half_past_one_in_jakarta(prefect):
    planned = prefect.scheduled("night/nightly")
    assert len(planned) >= 3
    assert {(start.hour, start.minute) for start in planned} == {(18, 30)}
    assert {later - sooner for sooner, later in pairwise(planned)} == {timedelta(days=1)}


def test_campaigns_have_no_schedule_of_their_own_since_the_night_decides_what_is_due(prefect):
    for name in ("panen", "mudik"):
        assert prefect.deployment(f"decide/{name}")["schedules"] == []


def test_parameters_are_plain_values_without_people(prefect):
    assert prefect.deployment("night/nightly")["parameters"] == {"workspace": str(prefect.workspace.root)}
    assert prefect.deployment("decide/panen")["parameters"] == {
        "workspace": str(prefect.workspace.root),
        "campaign": "panen",
    }


def test_a_triggered_run_completes_and_publishes_decisions_and_a_table(prefect, fired):
    assert (fired.first["state_type"], fired.first["parameters"]["as_of"]) == ("COMPLETED", AS_OF)
    run = prefect.workspace.run("panen", "20171208t020000z")
    assert pq.read_table(run / "decisions.parquet").num_rows > 0
    assert read_json(run / "manifest.json")["as_of"] == AS_OF
    only = {"flow_run_id": {"any_": [fired.first["id"]]}}
    (artifact,) = prefect.post("/artifacts/filter", artifacts=only)
    assert (artifact["key"], artifact["type"]) == ("offers-panen", "table")
    assert {row["offer_id"] for row in json.loads(artifact["data"])} == {"kopi", "teh", "sabun", "semua"}


def test_fired_twice_it_gives_the_same_bytes_in_one_folder(prefect, fired):
    assert fired.second["state_type"] == "COMPLETED"
    assert fired.digests[0] == fired.digests[1]
    shown = [path.name for path in (prefect.workspace.root / "runs" / "panen").iterdir()]
    assert sorted(shown) == [".versions", "20171208t020000z"]
    assert len(list((prefect.workspace.root / "runs" / "panen" / ".versions").iterdir())) == 1


def test_a_run_on_wrong_input_fails_with_the_clear_message_and_publishes_nothing(prefect, fired):
    assert fired.failed["state_type"] == "FAILED"
    message = "every model saw purchases from after 2001-01-01"
    assert message in fired.failed["state"]["message"]
    assert message in prefect.said(fired.failed["id"])
    assert not (prefect.workspace.root / "runs" / "mudik").exists()


def test_nothing_that_the_server_keeps_of_a_run_is_personal(prefect, fired):
    customers = pq.read_table(prefect.workspace.root / "sources" / "customers.parquet").to_pylist()
    private = [row[column] for row in customers for column in ("email", "name", "customer_id") if row[column]]
    private += [token for row in customers for token in row["push_tokens"] or []]
    assert len(private) > 300
    kept = prefect.said(fired.first["id"]) + prefect.said(fired.failed["id"])
    assert not [text for text in private if text in kept]


def test_a_delivery_that_is_fired_more_than_once_sends_once_and_says_nothing_of_people(prefect, fired):
    fired_again = [prefect.fire("deliver/panen") for _ in range(2)]
    ended = [prefect.ended(one)["state"] for one in fired_again]
    assert [(state["type"], state["message"]) for state in ended] == [("COMPLETED", None)] * 2
    folder = prefect.workspace.rehearsal("panen", "20171208t020000z")
    messages = pq.read_table(prefect.workspace.run("panen", "20171208t020000z") / "messages.parquet").to_pylist()
    files = [*folder.rglob("*.eml"), *folder.glob("push/*/*.json")]
    assert sorted(path.stem for path in files) == sorted(row["message_id"] for row in messages)
    kept = "".join(map(prefect.said, fired_again))
    assert not [row["customer_id"] for row in messages if row["customer_id"] in kept]
    assert "pelanggan.example" not in kept


# --- what is registered, without a server ----------------------------------------------------------------------------


def test_there_is_one_deployment_for_the_night_and_two_for_each_campaign(shop):
    found = deployments(shop.workspace, shop.settings)
    assert [deployment.full_name for deployment in found] == ["night/nightly", "decide/panen", "deliver/panen"]
    assert all(deployment.concurrency_limit == 1 for deployment in found)
    assert [len(deployment.schedules) for deployment in found] == [1, 0, 0]


def test_where_there_is_something_to_send_by_what_is_due_is_looked_for_and_never_twice_at_once(shop):
    email = EmailServer(host="smtp.toko.example", sender="promo@toko.example", password=SecretStr("s3cret"))
    found = deployments(shop.workspace, shop.settings.model_copy(update={"email": email}))
    (due,) = [deployment for deployment in found if deployment.full_name == "deliver-due/due"]
    assert len(due.schedules) == 1
    assert due.parameters == {"workspace": str(shop.workspace.root.resolve())}
    assert due.concurrency_options.collision_strategy.value == "CANCEL_NEW"
    assert "s3cret" not in str([deployment.model_dump() for deployment in found])
