"""What a campaign decided, and the schedule that decides."""

import os
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows import console, server
from flows.commands.options import HERE, AsJson, AsOf, Folder, Language, at_work, instant, opened, spoken
from recsys.tables import InputError


def decide(
    campaign: Annotated[str | None, typer.Argument(help="A campaign's id; or --date instead.")] = None,
    workspace: Folder = HERE,
    date: Annotated[
        str | None,
        typer.Option("--date", help="Decide all that is due on this local date as one problem: 2017-12-05, or today."),
    ] = None,
    as_of: AsOf = None,
    hindsight: Annotated[
        bool, typer.Option("--hindsight", help="Add to the report what was really bought after the as-of instant.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose who gets which offer of a campaign, or of all due on a date together; write messages and reports."""
    place, settings = opened(workspace)
    if (campaign is None) == (date is None):
        raise InputError("decide: expected either a campaign or --date, as --date 2017-12-05")
    if campaign is None:
        return _decide_date(workspace, str(date), as_of, hindsight, as_json)
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


def _decide_date(workspace: Path, date: str, as_of: str | None, hindsight: bool, as_json: bool) -> None:
    """As of now; for a date that is past, as of the midnight with which it begins."""
    place, settings = opened(workspace)
    from flows import views
    from flows.campaign_files import load_campaigns
    from flows.decide import decide_date, local_date
    from flows.deciding.due import midnight
    from flows.deciding.held import local_day

    now = datetime.now(UTC)
    date = local_day(settings, now).isoformat() if date == "today" else date
    begins = midnight(settings, local_date(date))
    past = now >= midnight(settings, local_date(date) + timedelta(days=1))
    at = instant(as_of, settings.timezone) if as_of else begins if past else now
    load_campaigns(place)  # faults of files are said before a server is started
    with at_work(f"decide {date}", as_json):
        night = decide_date(str(workspace), date, at.astimezone(UTC).isoformat(), hindsight)
    if as_json:
        return console.print_json(night)
    if not night["campaigns"]:
        return console.finish(
            f"nothing is due on {date}", [f"larisma campaign list --workspace {workspace} shows what is due when"]
        )
    views.show_night(night)
    runs = [workspace / "runs" / row["campaign"] / row["occurrence"] for row in night["campaigns"]]
    first = night["campaigns"][0]["campaign"]
    console.finish(
        f"wrote {workspace / 'nights' / date / 'manifest.json'} and {', '.join(map(str, runs))}",
        [
            *(f"open {run / 'report.html'} in a browser" for run in runs),
            f"larisma explain {first} CUSTOMER --workspace {workspace}",
        ],
    )


def forecast(
    campaign: str, workspace: Folder = HERE, as_of: AsOf = None, language: Language = None, as_json: AsJson = False
) -> None:
    """What a campaign would do if it were decided now, and with half to twice its budget; nothing is sent."""
    place, settings = opened(workspace)
    at = instant(as_of, settings.timezone)
    from flows import views
    from flows.forecast import forecast_campaign

    with console.progress(f"forecast {campaign}", quiet=as_json or not console.err.is_terminal):
        found = forecast_campaign(place, settings, campaign, at, spoken(language, settings))
    if as_json:
        return console.print_json(found)
    views.show_forecast(found)
    console.finish(
        f"wrote {', '.join(found['wrote'])}; no run, no messages",
        [f"open {found['wrote'][0]} in a browser", f"larisma decide {campaign} --workspace {workspace}"],
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
    customer: Annotated[str | None, typer.Argument(help="A customer's id; or --sample instead.")] = None,
    workspace: Folder = HERE,
    sample: Annotated[
        int | None, typer.Option("--sample", help="So many people who differ most, on one page, light and dark.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open what was written in a browser.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder for the files; default: the workspace's previews/.")
    ] = None,
    language: Language = None,
    as_json: AsJson = False,
) -> None:
    """Write one customer's mail or push exactly as it would go, or those of people who differ most."""
    from flows.preview import preview_messages, preview_samples

    if (customer is None) == (sample is None):
        raise InputError("preview: expected either a customer or --sample, as --sample 20")
    place, settings = opened(workspace)
    folder = out or workspace / "previews"
    if sample is None:
        wrote = preview_messages(place, settings, campaign, str(customer), folder)
        result: object = wrote
    else:
        found = preview_samples(place, settings, campaign, sample, folder, spoken(language, settings))
        result, wrote = found, found["wrote"]
    if show:
        webbrowser.open(Path(wrote[0]).absolute().as_uri())
    if as_json:
        return console.print_json(result)
    more = f" and {len(wrote) - 1} files beside it" if sample else ""
    console.finish(f"wrote {wrote[0] if sample else ', '.join(wrote)}{more}", [f"open {wrote[0]} in a browser"])


def serve(workspace: Folder = HERE) -> None:
    """Register the night (ingest, train, decide what is due) with a Prefect server, and run what it fires."""
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    place, settings = opened(workspace)
    from flows.deployments import deployments, require_server, serve_deployments

    require_server()
    found = deployments(place, settings)
    console.show("Deployments", ("deployment", "schedules"), [(d.full_name, len(d.schedules or [])) for d in found])
    console.finish("Ctrl+C ends it", ["start it again after adding a campaign, so that it is registered too"])
    with server.answering():
        serve_deployments(found)
