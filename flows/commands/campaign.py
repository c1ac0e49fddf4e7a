"""Campaign files: make, list and check them, count whom they reach, and look at the months ahead."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.commands.options import HERE, AsJson, AsOf, Folder, Language, instant, opened, spoken
from recsys.tables import InputError

campaign_app = typer.Typer(help="Campaign files: make, list, check and plan them.", no_args_is_help=True)


@campaign_app.command("list")
def campaign_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """The campaigns of the workspace, when they fire next, what they may spend, and who approved them."""
    from flows import views
    from flows.approving.review import standings
    from flows.campaign_files import list_campaigns

    place, settings = opened(workspace)
    states = {row["campaign"]: row for row in standings(place, settings)}
    result = [{**row, "approval": states[row["id"]]} for row in list_campaigns(place, datetime.now(UTC))]
    if as_json:
        return console.print_json(result)
    views.show_campaigns(result, settings.timezone)
    console.finish("nothing was changed", [f"larisma campaign check --workspace {workspace}"])


@campaign_app.command("codes")
def campaign_codes(
    campaign: str,
    out: Annotated[Path, typer.Option(help="The CSV to write.")],
    workspace: Folder = HERE,
    occurrence: Annotated[str | None, typer.Option(help="Which run; default: the latest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write which customer was given which voucher code, with its terms, for the shop's checkout."""
    from flows.campaign_files import find_campaign
    from flows.codes import export_codes
    from flows.explain import last_run

    place, _ = opened(workspace)
    found = find_campaign(place, campaign)
    name = occurrence or last_run(place, campaign).name
    rows = export_codes(place, found, name, out)
    if as_json:
        return console.print_json({"wrote": str(out), "codes": rows, "occurrence": name})
    console.finish(f"wrote {out}: {console.number(rows)} codes", ["give it to the checkout before the first message"])


@campaign_app.command("check")
def campaign_check(
    campaign: Annotated[str | None, typer.Argument(help="A campaign's id; default: all of them.")] = None,
    workspace: Folder = HERE,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Check campaign files by themselves and against the data: scopes, audience, words, and guarantees."""
    from flows import views
    from flows.approving.review import warnings
    from flows.approving.views import show_warnings
    from flows.asked import check_limits
    from flows.campaign_files import check_campaigns, find_campaign

    place, settings = opened(workspace)
    at = instant(as_of, settings.timezone)
    result = check_campaigns(place, settings, campaign, at)
    check_limits(place, settings, campaign, at)
    for row in result:
        row["warnings"] = warnings(place, settings, find_campaign(place, row["campaign"]))
    if as_json:
        return console.print_json(result)
    views.show_checked(result)
    show_warnings([line for row in result for line in row["warnings"]])
    console.finish("no faults", [f"larisma decide {result[0]['campaign']} --workspace {workspace}"])


@campaign_app.command("audience")
def campaign_audience(
    campaign: Annotated[str, typer.Argument(help="A campaign's id.")],
    workspace: Folder = HERE,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Count who would be written to, and at which step the others are left out; nothing is decided."""
    from flows import views
    from flows.campaign_files import find_campaign
    from flows.people import count_audience

    place, settings = opened(workspace)
    result = count_audience(place, settings, find_campaign(place, campaign), instant(as_of, settings.timezone))
    if as_json:
        return console.print_json(result)
    views.show_audience(result)
    console.finish("nothing was changed", [f"larisma decide {campaign} --workspace {workspace}"])


@campaign_app.command("new")
def campaign_new(
    campaign: Annotated[str | None, typer.Argument(help="The new campaign's id, as lebaran-2027.")] = None,
    preset: Annotated[str | None, typer.Option("--from", help="A preset, as harbolnas; default: asks.")] = None,
    name: Annotated[str | None, typer.Option(help="As reports and lists call it.")] = None,
    audience: Annotated[str | None, typer.Option(help="SQL over the customers' columns, as \"tier = 'gold'\".")] = None,
    budget: Annotated[int | None, typer.Option(help="The retailer's budget for one occurrence, in rupiah.")] = None,
    capacity: Annotated[int | None, typer.Option(help="The most messages on each channel.")] = None,
    time: Annotated[str | None, typer.Option(help="Local time of sending, HH:MM.")] = None,
    month: Annotated[int | None, typer.Option(help="Of double days: 9 is 9.9.")] = None,
    day: Annotated[int | None, typer.Option(help="Of payday: the day of the month.")] = None,
    days: Annotated[int | None, typer.Option(help="Shift from the occasion; negative is before it.")] = None,
    window_days: Annotated[int | None, typer.Option(help="Days in which offers hold and purchases count.")] = None,
    workspace: Folder = HERE,
) -> None:
    """Write a campaign file from a preset; on a terminal it asks for what is not given."""
    from flows.new_campaign import Wishes, presets, write_campaign

    place, _ = opened(workspace)
    asking = sys.stdin.isatty() and (campaign is None or preset is None)
    if asking:
        for known, what in presets().items():
            console.out.print(f"  {known}: {what}", soft_wrap=True)
        preset = preset or typer.prompt("Which preset", default="gajian")
        campaign = campaign or typer.prompt("Its id", default=preset)
        name = name or typer.prompt("Its name (empty: the preset's)", default="", show_default=False) or None
        if budget is None and (said := typer.prompt("Budget in rupiah (empty: the preset's)", "", show_default=False)):
            budget = int(said.removeprefix("Rp").replace(".", ""))
    if preset is None and campaign in presets():
        preset = campaign
    if preset is None:
        raise InputError(
            "\n  ".join(["--from: name a preset:", *(f"{key}: {what}" for key, what in presets().items())])
        )
    path = write_campaign(
        place,
        campaign or preset,
        preset,
        Wishes(name, audience, budget, capacity, time, month, day, days, window_days),
    )
    console.finish(
        f"wrote {path}",
        [
            f"read it and put your own offers there: {path}",
            f"larisma campaign check {path.stem} --workspace {workspace}",
        ],
    )


@campaign_app.command("schema")
def campaign_schema(
    workspace: Folder = HERE,
    printed: Annotated[bool, typer.Option("--print", help="Print it instead of writing a file.")] = False,
) -> None:
    """Write the JSON Schema of campaign files, with which editors complete and check them."""
    from campaigns.spec import json_schema
    from flows.workspace import open_workspace, write_json

    if printed:
        return console.print_json(json_schema())
    path = open_workspace(workspace).root / "campaign.schema.json"
    write_json(path, json_schema())
    console.finish(
        f"wrote {path}",
        ["put as the first line of a campaign file: # yaml-language-server: $schema=../campaign.schema.json"],
    )


@campaign_app.command("calendar")
def campaign_calendar(
    workspace: Folder = HERE,
    as_of: AsOf = None,
    days: Annotated[int, typer.Option(help="How many days to look ahead.")] = 92,
    supposed: Annotated[
        list[str] | None, typer.Option("--if", help="Show what would move if a feast did: lebaran=+1.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write it as a page to this file.")] = None,
    language: Language = None,
    as_json: AsJson = False,
) -> None:
    """What is sent in the months ahead, which campaigns meet on the same people, and what a moved feast would move."""
    from flows import views
    from flows.planning import plan_ahead, read_shifts
    from flows.reporting.calendar import calendar_page
    from flows.workspace import write_text

    place, settings = opened(workspace)
    spoken_in, shifts = spoken(language, settings), read_shifts(supposed or [])
    plan = plan_ahead(place, settings, instant(as_of, settings.timezone), days, shifts)
    if html:
        write_text(html, calendar_page(plan, settings.shop, spoken_in))
    if as_json:
        return console.print_json(plan)
    views.show_calendar(plan)
    wrote = f"wrote {html}" if html else "nothing was changed"
    console.finish(wrote, [f"larisma campaign calendar --if lebaran=+1 --workspace {workspace}"])


@campaign_app.command("announce")
def campaign_announce(
    occasion: Annotated[str, typer.Argument(help="ramadan, lebaran or idul_adha.")],
    day: Annotated[str, typer.Argument(help="Its first day, as 2027-03-10.")],
    source: Annotated[str, typer.Option(help="Whose decision it is.")] = "Sidang isbat Kementerian Agama",
    decided: Annotated[
        str | None, typer.Option(help="When it was announced, ISO 8601; default: now. It is not known before.")
    ] = None,
    workspace: Folder = HERE,
) -> None:
    """Record the government's announcement of a feast; it overrides the estimate from then on."""
    from flows.announcements import announce

    place, settings = opened(workspace)
    path = announce(place, occasion, day, source, instant(decided, settings.timezone))
    console.finish(f"wrote {path}", [f"larisma campaign calendar --workspace {workspace}"])
