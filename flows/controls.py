"""Which control groups there have been: controls.json of a workspace, an entry for each change of what draws them.

With it the members of a past group are known again, though neither was stored: see campaigns.control.in_group.
"""

from datetime import datetime
from typing import Any

from flows.settings import Settings
from flows.workspace import Workspace, read_json, write_json

FILE = "controls.json"


def record_controls(workspace: Workspace, settings: Settings, as_of: datetime) -> dict[str, Any]:
    """Writes down what draws the control groups now, unless it is what did before; returns it."""
    drawn = {
        "salt": settings.control_salt,
        "season": settings.control.season,
        "global_share": settings.control.global_share,
        "exempt": sorted(settings.control.exempt),
    }
    entries = controls_history(workspace)
    if controls_at(workspace, as_of) != drawn:
        entries = [entry for entry in entries if entry["since"] != _said(as_of)]
        entries.append({"since": _said(as_of), **drawn})
        entries.sort(key=lambda entry: datetime.fromisoformat(entry["since"]))
        write_json(workspace.root / FILE, {"controls": entries})
    return drawn


def controls_at(workspace: Workspace, instant: datetime) -> dict[str, Any] | None:
    """salt, season, global_share and exempt purposes in force at an instant; None before the first decision."""
    past = [entry for entry in controls_history(workspace) if datetime.fromisoformat(entry["since"]) <= instant]
    return {key: value for key, value in past[-1].items() if key != "since"} if past else None


def controls_history(workspace: Workspace) -> list[dict[str, Any]]:
    """All entries, in order of `since`."""
    path = workspace.root / FILE
    return read_json(path)["controls"] if path.exists() else []


def _said(instant: datetime) -> str:
    return instant.isoformat()
