"""What every command takes: a workspace, an instant, a language; and how long work is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from flows import console, server
from flows.settings import Settings, load_settings
from flows.workspace import Workspace, open_workspace
from recsys.tables import InputError

Folder = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="LARISMA_WORKSPACE", help="The workspace's folder; default: here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="Only what was known before this instant counts: 2017-12-05 or ISO 8601; default: now."
    ),
]
Language = Annotated[str | None, typer.Option("--language", help="id or en; default: as larisma.toml says.")]
HERE = Path()


def opened(folder: Path) -> tuple[Workspace, Settings]:
    workspace = open_workspace(folder)
    return workspace, load_settings(workspace)


def instant(text: str | None, zone: str) -> datetime:
    """A moment from the command line; a bare date is its midnight in the workspace's time zone; None is now."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"--as-of: expected a date or an instant such as 2017-12-05T00:00+07:00, got {text!r}"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def spoken(language: str | None, settings: Settings) -> str:
    """The language to answer in. Raises InputError for one there are no words in."""
    if language not in (None, "id", "en"):
        raise InputError(f"--language: expected id or en, got {language!r}")
    return language or settings.language


@contextmanager
def at_work(title: str, as_json: bool) -> Iterator[None]:
    """Long work that needs Prefect's server, shown to who looks on; a log file is spared the moving line."""
    with console.progress(title, quiet=as_json or not console.err.is_terminal), server.answering():
        yield
