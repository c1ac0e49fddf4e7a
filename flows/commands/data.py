"""A workspace and its data."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.commands.options import HERE, AsJson, Folder, at_work, opened


def demo(
    workspace: Folder = Path("larisma-demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: remove the demo's folder first.")] = False,
    as_json: AsJson = False,
) -> None:
    """A Harbolnas, a Lebaran and a cashback campaign on a year of real purchases, judged by what was bought after."""
    from flows import views
    from flows.demo.run import run_demo

    aloud = nullcontext() if as_json or console.err.is_terminal else console.steps_as_lines("demo")
    with at_work("demo", as_json), aloud:
        result = run_demo(workspace, fresh=fresh)
    if as_json:
        return console.print_json(result)
    views.show_hindsight(result["campaigns"])
    console.finish(
        f"{workspace}: {', '.join(result['reports'])}" + ("" if result["ran"] else " (served from what was there)"),
        [
            f"open {result['reports'][0]} in a browser",
            *(
                [f"open {result['rehearsal']}: its mails stand beside it, as they would go"]
                if "rehearsal" in result
                else []
            ),
            f"larisma explain harbolnas {result['customer']} --workspace {workspace}",
            f"larisma recommend {result['customer']} --workspace {workspace}",
            f"larisma status --workspace {workspace}",
            "larisma demo --fresh starts over",
        ],
    )


def init(
    workspace: Folder = HERE,
    purchases: Annotated[Path | None, typer.Option(help="A CSV or Parquet of order lines to map.")] = None,
    customers: Annotated[Path | None, typer.Option(help="A CSV or Parquet of customers to map.")] = None,
) -> None:
    """Make a workspace: larisma.toml with its columns guessed from your files, and a first campaign."""
    from flows.init import init_workspace

    wrote = init_workspace(workspace, {"purchases": purchases, "customers": customers})
    console.finish(
        f"wrote {', '.join(wrote)}",
        [f"read {workspace / 'larisma.toml'} and mend the column mapping", f"larisma ingest --workspace {workspace}"],
    )


def status(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Each table's rows, age, last ingest and quarantine; the model that serves; the runs."""
    from flows import views
    from flows.status import workspace_status

    place, settings = opened(workspace)
    result = workspace_status(place, settings, datetime.now(UTC))
    console.print_json(result) if as_json else views.show_status(result)


def ingest(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Take in what is new from the sources of larisma.toml; bad rows go to quarantine with a reason."""
    place, settings = opened(workspace)
    from flows import views
    from flows.intake.sources import find_files

    for name, sources in settings.sources.items():  # a file that is not there is said before a server is started
        for source in sources:
            if source.path is not None:
                find_files(source, place.root, f"sources.{name}")
    from flows.ingest import ingest as flow

    with at_work("ingest", as_json):
        summary = flow(str(workspace))
    if as_json:
        return console.print_json(summary)
    views.show_accounting(summary)
    console.finish(f"wrote {workspace / 'tables'}", [f"larisma train --workspace {workspace}"])
