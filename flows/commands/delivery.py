"""Messages on their way: sent or rehearsed, paused, resumed, cancelled."""

import os
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import console, server
from flows.commands.options import HERE, AsJson, Folder, opened
from flows.workspace import RunError

Occurrence = Annotated[
    str | None, typer.Option("--occurrence", help="One such as 20261211t170000z; default: the latest.")
]
Why = Annotated[str, typer.Option("--reason", help="Said wherever the state is shown.")]

offer_app = typer.Typer(
    name="offer", help="Hold back one offer of a campaign that is being sent.", no_args_is_help=True
)


def deliver(
    campaign: str,
    live: Annotated[bool, typer.Option("--live", help="Really send; without it, a full rehearsal into files.")] = False,
    occurrence: Occurrence = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="A rehearsal starts over.")] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Send a run's messages, or rehearse it; started again, it goes on where it was."""
    opened(workspace)
    moving = console.progress(f"deliver {campaign}", quiet=as_json or not console.err.is_terminal)
    aloud = nullcontext() if as_json or console.err.is_terminal else console.steps_as_lines(f"deliver {campaign}")
    with moving, aloud:
        result = _delivered(workspace, campaign, live, occurrence, fresh)
    if as_json:
        console.print_json(result)
    else:
        _show(result, workspace)
    if result["state"] == "stopped":
        raise RunError(f"{campaign} {result['occurrence']} stopped by itself: {result['reason']}")


def _delivered(workspace: Path, campaign: str, live: bool, occurrence: str | None, fresh: bool) -> dict[str, Any]:
    """On a Prefect server where one is set, so that it stands among the runs there; sending itself needs none."""
    if os.environ.get("PREFECT_API_URL"):
        from flows.deliver import deliver as flow

        with server.answering():
            return flow(str(workspace), campaign, live, occurrence, fresh)
    from flows.delivering.delivery import deliver_campaign
    from flows.delivering.signals import asked_to_end

    place, settings = opened(workspace)
    with asked_to_end() as ending:
        return deliver_campaign(
            place,
            settings,
            campaign,
            live=live,
            clock=lambda: datetime.now(UTC),
            wait=ending.wait,
            asked=ending.is_set,
            occurrence=occurrence,
            fresh=fresh,
        )


def pause(
    campaign: str,
    occurrence: Occurrence = None,
    reason: Why = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Send no more of a campaign until it is resumed; what is on its way arrives."""
    found = _steered(workspace, campaign, "paused", occurrence, reason)
    if as_json:
        return console.print_json(found)
    console.finish(
        f"paused {campaign} {found['occurrence']}; nothing more is claimed",
        [f"larisma resume {campaign} --workspace {workspace}", f"larisma cancel {campaign} --workspace {workspace}"],
    )


def resume(campaign: str, occurrence: Occurrence = None, workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Let a campaign go on that was paused, or that stopped by itself."""
    found = _steered(workspace, campaign, "running", occurrence, "")
    if as_json:
        return console.print_json(found)
    console.finish(
        f"{campaign} {found['occurrence']} may go on; it was {found['before']}",
        [f"larisma deliver {campaign} --live --occurrence {found['occurrence']} --workspace {workspace}"],
    )


def cancel(
    campaign: str,
    occurrence: Occurrence = None,
    reason: Why = "",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """End a campaign's sending for good: what waits is skipped."""
    found = _steered(workspace, campaign, "cancelled", occurrence, reason)
    if as_json:
        return console.print_json(found)
    skipped = sum(states.get("skipped", 0) for states in found["channels"].values())
    console.finish(
        f"cancelled {campaign} {found['occurrence']}: {console.number(skipped)} messages are not sent",
        [f"larisma deliver {campaign} --workspace {workspace} rehearses the next one"],
    )


@offer_app.command("pause")
def pause_offer(campaign: str, offer: str, reason: Why = "", workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Hold back every message with an offer, such as one that is sold out; the others are sent."""
    found = _steered_offer(workspace, campaign, offer, pause=True, reason=reason)
    if as_json:
        return console.print_json(found)
    said = "paused" if found["changed"] else "was paused already:"
    console.finish(
        f"{said} {offer} of {campaign}; its messages wait",
        [f"larisma offer resume {campaign} {offer} --workspace {workspace}"],
    )


@offer_app.command("resume")
def resume_offer(campaign: str, offer: str, workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Send the messages with an offer again."""
    found = _steered_offer(workspace, campaign, offer, pause=False, reason="")
    if as_json:
        return console.print_json(found)
    said = "may be sent again" if found["changed"] else "was not paused"
    console.finish(f"{offer} of {campaign} {said}", [f"larisma deliver {campaign} --live --workspace {workspace}"])


def _steered(workspace: Path, campaign: str, state: str, occurrence: str | None, reason: str) -> dict[str, Any]:
    from flows.delivering.steering import steer

    place, settings = opened(workspace)
    return steer(place, settings, campaign, state, datetime.now(UTC), occurrence=occurrence, reason=reason)


def _steered_offer(workspace: Path, campaign: str, offer: str, *, pause: bool, reason: str) -> dict[str, Any]:
    from flows.delivering.steering import steer_offer

    place, settings = opened(workspace)
    return steer_offer(place, settings, campaign, offer, datetime.now(UTC), pause=pause, reason=reason)


def _show(result: dict[str, Any], workspace: Path) -> None:
    from flows import views

    views.show_delivery(result)
    campaign, wrote = result["campaign"], ", ".join(result["wrote"]) or "nothing new"
    again = f"larisma deliver {campaign}{' --live' if result['live'] else ''} --workspace {workspace}"
    sheet = [f"open {path} in a browser" for path in result["wrote"] if path.endswith(".html")]
    match result["state"]:
        case "finished" if result["live"]:
            console.finish(
                f"{campaign} is done: {_sums(result)}; wrote {wrote}",
                [*sheet, f"larisma status --workspace {workspace}"],
            )
        case "finished":
            console.finish(
                f"rehearsed {campaign}: nothing was sent; wrote {wrote}",
                [
                    *sheet,
                    f"look at the messages beside it, then: larisma deliver {campaign} --live --workspace {workspace}",
                ],
            )
        case "paused":
            console.finish(
                f"{campaign} is paused{_because(result)}", [f"larisma resume {campaign} --workspace {workspace}", again]
            )
        case "stopped":
            console.finish(
                f"{campaign} stopped by itself{_because(result)}",
                ["look after it, then:", f"larisma resume {campaign} --workspace {workspace}", again],
            )
        case "cancelled":
            console.finish(f"{campaign} is cancelled{_because(result)}; nothing more of it is sent")
        case _:
            console.finish(f"ended with what was in hand settled; wrote {wrote}", [f"{again} goes on where it was"])


def _sums(result: dict[str, Any]) -> str:
    """Such as: 298 sent, 2 unknown."""
    totals: Counter[str] = Counter()
    for states in result["channels"].values():
        totals.update(states)
    ordered = sorted(totals.items(), key=lambda one: (one[0] != "sent", one))
    return ", ".join(f"{console.number(n)} {state}" for state, n in ordered) or "no messages"


def _because(result: dict[str, Any]) -> str:
    return f": {result['reason']}" if result["reason"] else ""
