"""What is in a workspace now: its tables, the model that serves, how its campaigns stand, and its runs."""

from datetime import datetime
from typing import Any

from flows.approving.review import standings
from flows.champion import load_champion
from flows.delivering.steering import deliveries
from flows.intake.accounting import table_status
from flows.settings import Settings
from flows.workspace import Workspace, read_json


def workspace_status(workspace: Workspace, settings: Settings, clock: datetime) -> dict[str, Any]:
    """{"tables": see table_status, "model": the champion's manifest or null, "campaigns": whether each is approved, see
    approving.review.standings, "runs": a row for each published run, "deliveries": how each of them stands}."""
    return {
        "timezone": settings.timezone,
        "tables": table_status(workspace, settings, clock),
        "model": serving_model(workspace),
        "campaigns": standings(workspace, settings),
        "runs": [run_row(path) for path in workspace.manifests()],
        "deliveries": deliveries(workspace, settings, clock),
    }


def serving_model(workspace: Workspace) -> dict[str, Any] | None:
    """What serves; null if nothing does yet."""
    if not workspace.champion.exists():
        return None
    champion = load_champion(workspace)
    facts = {key: champion.manifest[key] for key in ("as_of", "metric", "metrics", "customers", "items")}
    return {"id": champion.id, "name": champion.name, **facts}


def run_row(path: Any) -> dict[str, Any]:
    manifest = read_json(path)
    return {
        "campaign": manifest["campaign"]["id"],
        "occurrence": manifest["occurrence"],
        "as_of": manifest["as_of"],
        "messages": manifest["counts"]["messages"],
        "value": manifest["certificate"]["value"],
        "gap": manifest["certificate"]["gap"],
    }
