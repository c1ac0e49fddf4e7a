"""A status tells what is there: tables with their age, the model that serves, and the runs."""

import json
from datetime import UTC, datetime

import pytest

from flows.champion import load_champion
from flows.settings import load_settings
from flows.status import workspace_status
from flows.workspace import Workspace
from recsys.tables import InputError

NOW = datetime(2018, 1, 14, tzinfo=UTC)


def test_an_empty_workspace_has_no_model_and_no_runs(tmp_path):
    (tmp_path / "larisma.toml").write_text('[sources.purchases]\npath = "lines.csv"\n')
    workspace = Workspace(tmp_path)
    status = workspace_status(workspace, load_settings(workspace), NOW)
    assert (status["model"], status["runs"]) == (None, [])
    assert [(row["table"], row["rows"], row["last_ingest"]) for row in status["tables"]] == [("purchases", 0, None)]


def test_a_shop_s_status_says_what_serves_and_what_was_decided(shop):
    status = workspace_status(shop.workspace, shop.settings, NOW)
    assert {row["table"]: row["rows"] for row in status["tables"]}["purchases"] == 8400
    champion = load_champion(shop.workspace)
    assert (status["model"]["id"], status["model"]["name"]) == (champion.id, champion.name)
    manifest = shop.manifest
    assert status["runs"] == [
        {
            "campaign": "panen",
            "occurrence": manifest["occurrence"],
            "as_of": manifest["as_of"],
            "messages": manifest["counts"]["messages"],
            "value": manifest["certificate"]["value"],
            "gap": manifest["certificate"]["gap"],
        }
    ]
    json.dumps(status)


def test_runs_are_listed_by_campaign_and_occurrence_and_versions_aside_are_not_runs(copied):
    text = (copied.workspace.campaigns / "panen.yaml").read_text(encoding="utf-8")
    copied.write_campaign(text.replace("id: panen", "id: a-panen").replace("friday", "sunday"), "a-panen")
    copied.decide("a-panen")
    (copied.workspace.root / "runs" / "panen" / ".versions" / ".20171215t020000z.1").mkdir()
    runs = workspace_status(copied.workspace, copied.settings, NOW)["runs"]
    assert [(run["campaign"], run["occurrence"]) for run in runs] == [
        ("a-panen", "20171210t020000z"),
        ("panen", "20171208t020000z"),
    ]


def test_a_damaged_model_is_named(copied):
    part = next(copied.workspace.champion.resolve().rglob("*.npy"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError, match=part.name):
        workspace_status(copied.workspace, copied.settings, NOW)
