"""A new campaign file out of a preset, with what its marketer wants otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from campaigns.checking import check_file
from campaigns.faults import near
from campaigns.tables import CampaignError
from flows.workspace import Workspace, write_text


@dataclass(frozen=True)
class Wishes:
    """What is to be other than in the preset; None: as it is there.

    budget: of the retailer, in rupiah. capacity: messages on each channel. time, month, day: of the schedule.
    """

    name: str | None = None
    audience: str | None = None
    budget: int | None = None
    capacity: int | None = None
    time: str | None = None
    month: int | None = None
    day: int | None = None
    days: int | None = None
    window_days: int | None = None


@cache
def presets() -> Mapping[str, str]:
    """Preset → what it is for, in a sentence: the first of its own comment."""
    found = {}
    for entry in sorted((files("campaigns") / "presets").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            comment = [line[1:].strip() for line in entry.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
            found[entry.name.removesuffix(".yaml")] = " ".join(comment).partition(". ")[0].rstrip(".")
    return found


def preset_text(preset: str) -> str:
    """Raises CampaignError with all presets for one that is none."""
    if preset not in presets():
        listed = "".join(f"\n  {name}: {what}" for name, what in presets().items())
        raise CampaignError(f"--from: no such preset: {preset!r}{near(preset, presets())}; there are:{listed}")
    return (files("campaigns") / "presets" / f"{preset}.yaml").read_text(encoding="utf-8")


def write_campaign(workspace: Workspace, campaign_id: str, preset: str, wishes: Wishes) -> Path:
    """Writes campaigns/ID.yaml and returns its path.

    Raises CampaignError if there is such a file already, or for wishes that a campaign cannot have; nothing is written
    then.
    """
    path = workspace.campaigns / f"{campaign_id}.yaml"
    if path.exists():
        raise CampaignError(f"{path}: there is such a campaign already; choose another name, or edit it")
    text = campaign_text(campaign_id, preset, wishes)
    _, faults = check_file(path, text=text)
    if faults:
        raise CampaignError("\n".join(faults))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def campaign_text(campaign_id: str, preset: str, wishes: Wishes) -> str:
    """The preset's text, comments and all, with the wishes in it."""
    editor = YAML(typ="rt")
    editor.preserve_quotes = True
    editor.width = 4096  # a line stays a line
    editor.indent(mapping=2, sequence=4, offset=2)
    text = preset_text(preset)
    content = editor.load(text)
    content["id"] = campaign_id
    for key in ("name", "audience", "window_days"):
        if (wish := getattr(wishes, key)) is not None:
            content[key] = wish
    schedule = content["schedule"]
    for key in ("time", "month", "day", "days"):
        if (wish := getattr(wishes, key)) is not None:
            schedule[key] = wish
    if wishes.budget is not None:
        content.setdefault("budgets", {})["retailer"] = wishes.budget
    if wishes.capacity is not None:
        for channel in content["channels"].values():
            _shrink(content, channel, wishes.capacity)
    out = StringIO()
    editor.dump(content, out)
    return out.getvalue()


def _shrink(content: Any, channel: Any, capacity: int) -> None:
    """Sets a channel's capacity; quotas of messages that it could not carry any more go down with it."""
    channel["capacity"] = capacity
    most = sum(one["capacity"] for one in content["channels"].values())
    for offer in content["offers"]:
        sent = (offer.get("quota") or {}).get("sent")
        if sent is not None and sent > most:
            offer["quota"]["sent"] = most
