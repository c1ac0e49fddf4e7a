"""`larisma …`: every verb as a command. Heavy imports wait until a command needs them, so that help is instant.

Exit codes: 0 ok, 1 a run failed, 2 wrong input.
"""

import atexit
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from flows import console, server
from flows.settings import Settings, load_settings
from flows.workspace import RunError, Workspace, open_workspace
from recsys.tables import InputError

app = typer.Typer(
    name="larisma",
    help="Decides which promotion each customer gets, why, and what it should earn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
campaign_app = typer.Typer(help="Campaign files: list and check them.", no_args_is_help=True)
app.add_typer(campaign_app, name="campaign")

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


def main() -> None:
    """The console script."""
    ended: list[int] = []

    def leave() -> None:
        """Ends the process there, after Prefect's own exit handlers: its threads still hold DuckDB's objects, and while
        the interpreter is taken down these would complain about that at length."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(ended[0] if ended else 1)

    atexit.register(leave)  # registered first, so called last
    ended.append(run(sys.argv[1:]))
    sys.exit(ended[0])


def run(arguments: Sequence[str]) -> int:
    """Does what a command line says; returns its exit code. What goes wrong is said in one line for each fault."""
    server.set_defaults()
    try:
        app(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:
        console.complain(str(error))
        return 2
    except RunError as error:
        console.complain(str(error))
        return 1
    return 0


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


# --- a workspace and its data ----------------------------------------------------------------------------------------


@app.command()
def demo(
    workspace: Folder = Path("larisma-demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: remove the demo's folder first.")] = False,
    as_json: AsJson = False,
) -> None:
    """A Harbolnas, a Lebaran and a cashback campaign on a year of real purchases, judged by what was bought after."""
    from flows import views
    from flows.demo import run_demo

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
            f"larisma explain harbolnas {result['customer']} --workspace {workspace}",
            f"larisma recommend {result['customer']} --workspace {workspace}",
            f"larisma status --workspace {workspace}",
            "larisma demo --fresh starts over",
        ],
    )


@app.command()
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


@app.command()
def status(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Each table's rows, age, last ingest and quarantine; the model that serves; the runs."""
    from flows import views
    from flows.status import workspace_status

    place, settings = opened(workspace)
    result = workspace_status(place, settings, datetime.now(UTC))
    console.print_json(result) if as_json else views.show_status(result)


@app.command()
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


@app.command()
def train(workspace: Folder = HERE, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Fit the models, let the best by held-out purchases serve, refuse one that is worse than what serves."""
    _, settings = opened(workspace)
    at = instant(as_of, settings.timezone)
    from flows import views
    from flows.train import train as flow

    with at_work("train", as_json):
        summary = flow(str(workspace), at.isoformat())
    if as_json:
        return console.print_json(summary)
    views.show_evaluation(summary["evaluation"])
    console.finish(
        f"{summary['champion']} serves: {workspace / 'models' / summary['id']}",
        [f"larisma campaign list --workspace {workspace}"],
    )


@app.command()
def evaluate(workspace: Folder = HERE, as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Every model on purchases held out in time, with 95% intervals; changes nothing."""
    from flows import views
    from flows.train import evaluate_models

    place, settings = opened(workspace)
    with at_work("evaluate", as_json):
        result = evaluate_models(place, settings, instant(as_of, settings.timezone))
    if as_json:
        return console.print_json(result)
    views.show_evaluation(result)
    console.finish("nothing was changed", [f"larisma train --workspace {workspace}"])


# --- one customer, or a list -----------------------------------------------------------------------------------------


@app.command()
def recommend(
    customer: str,
    workspace: Folder = HERE,
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many items.")] = 10,
    discover: Annotated[bool, typer.Option("--discover", help="Only items never bought.")] = False,
    language: Language = None,
    as_json: AsJson = False,
) -> None:
    """The best items for one customer, with the reason for each."""
    from flows.recommend import recommend_items

    place, settings = opened(workspace)
    result = recommend_items(place, settings, customer, n, discover=discover, language=spoken(language, settings))
    if as_json:
        return console.print_json(result)
    header = ("", "item", "title", "score", "reason")
    rows = [(row["position"], row["item_id"], row["title"], row["score"], row["reason"]) for row in result]
    console.show(f"For {customer}", header, rows)
    console.finish("nothing was changed", [f"larisma score --customers FILE --out FILE --workspace {workspace}"])


@app.command()
def score(
    customers: Annotated[Path, typer.Option(help="CSV or Parquet with a column customer_id.")],
    out: Annotated[Path, typer.Option(help="Where the recommendations go: .csv or .parquet.")],
    workspace: Folder = HERE,
    n: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many items for each.")] = 10,
    as_json: AsJson = False,
) -> None:
    """The best items for a list of customers, as a file."""
    from flows.recommend import score_customers

    place, _ = opened(workspace)
    result = score_customers(place, customers, out, n)
    if as_json:
        return console.print_json(result)
    console.finish(
        f"wrote {out}: {console.number(result['rows'])} rows for {console.number(result['customers'])} customers, "
        f"{console.number(result['without_history'])} of them without history (popular items)"
    )


# --- campaigns -------------------------------------------------------------------------------------------------------


@campaign_app.command("list")
def campaign_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """The campaigns of the workspace, when they fire next, and what they may spend."""
    from flows import views
    from flows.campaign_files import list_campaigns

    place, _ = opened(workspace)
    result = list_campaigns(place, datetime.now(UTC))
    if as_json:
        return console.print_json(result)
    views.show_campaigns(result)
    console.finish("nothing was changed", [f"larisma campaign check --workspace {workspace}"])


@campaign_app.command("check")
def campaign_check(
    campaign: Annotated[str | None, typer.Argument(help="A campaign's id; default: all of them.")] = None,
    workspace: Folder = HERE,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Check campaign files by themselves and against the data: scopes, audience, words."""
    from flows import views
    from flows.campaign_files import check_campaigns

    place, settings = opened(workspace)
    result = check_campaigns(place, settings, campaign, instant(as_of, settings.timezone))
    if as_json:
        return console.print_json(result)
    views.show_checked(result)
    console.finish("no faults", [f"larisma decide {result[0]['campaign']} --workspace {workspace}"])


@app.command()
def decide(
    campaign: str,
    workspace: Folder = HERE,
    as_of: AsOf = None,
    hindsight: Annotated[
        bool, typer.Option("--hindsight", help="Add to the report what was really bought after the as-of instant.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose who gets which offer of a campaign, write the messages and the report."""
    place, settings = opened(workspace)
    at = instant(as_of, settings.timezone)
    from flows import views
    from flows.campaign_files import find_campaign

    find_campaign(place, campaign)  # faults of its file are said before a server is started
    from flows.decide import decide as flow

    with at_work(f"decide {campaign}", as_json):
        manifest = flow(str(workspace), campaign, at.isoformat(), hindsight)
    if as_json:
        return console.print_json(manifest)
    views.show_run(manifest)
    run = workspace / "runs" / campaign / manifest["occurrence"]
    console.finish(
        f"wrote {run}: decisions, messages, report.html",
        [f"open {run / 'report.html'} in a browser", f"larisma explain {campaign} CUSTOMER --workspace {workspace}"],
    )


@app.command()
def explain(
    campaign: str, customer: str, workspace: Folder = HERE, language: Language = None, as_json: AsJson = False
) -> None:
    """What each offer was worth for one customer, and why it was or was not chosen."""
    from flows import views
    from flows.explain import explain_decision

    place, settings = opened(workspace)
    result = explain_decision(place, settings, campaign, customer, spoken(language, settings))
    if as_json:
        return console.print_json(result)
    views.show_explanation(result)
    console.finish("nothing was changed", [f"larisma preview {campaign} {customer} --workspace {workspace}"])


@app.command()
def preview(
    campaign: str,
    customer: str,
    workspace: Folder = HERE,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the files; default: the workspace's previews/.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one customer's mail and push exactly as the run made them."""
    from flows.explain import preview_messages

    place, _ = opened(workspace)
    wrote = preview_messages(place, campaign, customer, out or workspace / "previews")
    if as_json:
        return console.print_json(wrote)
    console.finish(f"wrote {', '.join(wrote)}", [f"open {wrote[0]} in a browser"])


@app.command()
def serve(workspace: Folder = HERE) -> None:
    """Register the nightly training and each campaign's schedule with a Prefect server, and run what it fires."""
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    place, settings = opened(workspace)
    from flows.deployments import deployments, require_server, serve_deployments

    require_server()
    found = deployments(place, settings, datetime.now(UTC))
    console.show("Deployments", ("deployment", "schedules"), [(d.full_name, len(d.schedules or [])) for d in found])
    console.finish("Ctrl+C ends it", ["start it again after adding a campaign, so that it is registered too"])
    with server.answering():
        serve_deployments(found)


if __name__ == "__main__":
    main()
