"""Campaign files: list and check them, and count whom they reach."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows import console
from flows.commands.options import HERE, AsJson, AsOf, Folder, instant, opened

campaign_app = typer.Typer(help="Campaign files: list and check them.", no_args_is_help=True)


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
