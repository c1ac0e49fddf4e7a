"""The demo: real purchases, three campaigns, and what was really bought afterwards. Nothing in it knows the future."""

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
from prefect import flow

from campaigns.terms import co_funders
from flows.approving.agreements import agree
from flows.campaign_files import load_campaigns
from flows.decide import decide
from flows.delivering.delivery import deliver_campaign
from flows.demo.data import write_demo_sources
from flows.ingest import ingest
from flows.settings import load_settings
from flows.train import train
from flows.workspace import Workspace, open_workspace, read_json, write_json
from recsys.tables import InputError

log = logging.getLogger("larisma")
SEED = 20171205
JAKARTA = ZoneInfo("Asia/Jakarta")
# In order of time: each campaign is decided by a model that had seen nothing from its as-of instant on.
DECIDED = {
    datetime(2017, 6, 5, tzinfo=JAKARTA): ("lebaran",),
    datetime(2017, 12, 5, tzinfo=JAKARTA): ("harbolnas", "cashback"),
}
RECORD = "demo.json"


def run_demo(root: Path, *, fresh: bool = False) -> dict[str, Any]:
    """Makes the demo's workspace and decides its campaigns; a finished one is served as it is, half of one made anew.

    Returns {"ran": bool, "reports": paths, "customer": one who was addressed, "campaigns": {id: manifest},
    "rehearsal": the care sheet of a rehearsed one}.
    Raises InputError, and touches nothing, if root holds something that no demo has put there.
    """
    record = root / RECORD
    if record.is_file():
        found = read_json(record)
        if found["finished"] and not fresh:
            return {**found, "ran": False}
        shutil.rmtree(root)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: not a demo's folder, so it is left alone; choose another with --workspace")
    write_json(record, {"finished": False})
    write_demo_sources(root, seed=SEED)
    runs = demo(str(root))
    workspace = Workspace(root)
    reports = [
        str(workspace.run(name, runs[name]["occurrence"]) / "report.html")
        for name in ("harbolnas", "lebaran", "cashback")
    ]
    result = {
        "finished": True,
        "reports": reports,
        "customer": addressed_customer(workspace, runs["harbolnas"]),
        "campaigns": runs,
        "rehearsal": rehearsed(workspace, "harbolnas"),
    }
    write_json(record, result)
    return {**result, "ran": True}


@flow(name="demo")
def demo(root: str) -> dict[str, Any]:
    """Ingest, have the made-up funders agree, then train and decide at each as-of instant; with hindsight, since the
    year is over."""
    ingest(root)
    funders_agree(open_workspace(Path(root)), min(DECIDED))
    runs = {}
    for as_of, campaigns in DECIDED.items():
        instant = as_of.astimezone(UTC).isoformat()
        train(root, instant)
        for campaign in campaigns:
            runs[campaign] = decide(root, campaign, instant, hindsight=True)
    return runs


def funders_agree(workspace: Workspace, at: datetime) -> None:
    """The suppliers are made up, and so are their agreements; without them no co-funded offer could be given."""
    settings = load_settings(workspace)
    for campaign in load_campaigns(workspace):
        for funder in co_funders(campaign):
            agree(workspace, settings, campaign, funder, f"{funder} (demo)", at)


def addressed_customer(workspace: Workspace, manifest: dict[str, Any]) -> str:
    """Somebody who was written to, to try the other commands on."""
    run = workspace.run(manifest["campaign"]["id"], manifest["occurrence"])
    return str(pq.read_table(run / "messages.parquet", columns=["customer_id"])["customer_id"][0])


def rehearsed(workspace: Workspace, campaign_id: str) -> str:
    """Rehearses a campaign's sending into files, on the day it was for; the care sheet's path."""
    log.info("%s: rehearsing", campaign_id)
    as_of = max(DECIDED)
    settings = load_settings(workspace)
    made = deliver_campaign(workspace, settings, campaign_id, live=False, clock=lambda: as_of, wait=lambda _: None)
    return str(made["wrote"][0])
