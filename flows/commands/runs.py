"""What a campaign decided, and the schedule that decides."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows import console, server
from flows.commands.options import HERE, AsJson, AsOf, Folder, Language, at_work, instant, opened, spoken


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
