"""The workspace's calendar.csv: what the government has announced of Ramadan, Idul Fitri and Idul Adha."""

import csv
from datetime import datetime
from io import StringIO
from pathlib import Path

from campaigns.hijri import COLUMNS, Moon, read_announcements
from flows.workspace import Workspace, write_text

CALENDAR = "calendar.csv"  # beside larisma.toml


def workspace_moon(workspace: Workspace) -> Moon:
    """The announcements of calendar.csv, if there is one. Raises CampaignError with a line for each wrong row."""
    path = workspace.root / CALENDAR
    if not path.is_file():
        return Moon()
    return Moon(read_announcements(path.read_text(encoding="utf-8-sig"), path.name))


def announce(workspace: Workspace, occasion: str, day: str, source: str, decided_at: datetime) -> Path:
    """Adds a row to calendar.csv; returns its path. Raises CampaignError for what is no announcement."""
    path = workspace.root / CALENDAR
    known = path.read_text(encoding="utf-8-sig") if path.is_file() else ",".join(COLUMNS) + "\n"
    row = StringIO()
    csv.writer(row, lineterminator="\n").writerow([occasion, day, source, decided_at.isoformat(timespec="seconds")])
    text = known + ("" if known.endswith("\n") else "\n") + row.getvalue()
    read_announcements(text, path.name)
    write_text(path, text)
    return path
