"""Sending as Prefect flows: one campaign, or all whose time has come. Fired never, once or often, late or anew, it ends
the same: what was sent, and what is still to be, stands in the ledger alone."""

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from prefect import flow

from campaigns.ledger import LedgerError
from flows.contacts import Firing
from flows.delivering.delivery import deliver_campaign
from flows.delivering.due import due_runs
from flows.delivering.signals import asked_to_end
from flows.settings import Settings, load_settings
from flows.workspace import RunError, Workspace, open_workspace
from recsys.tables import InputError

log = logging.getLogger("larisma")
LOOK = 60.0  # seconds, after which runs that have become due are joined to those being sent
AT_ONCE = 16  # occurrences

__all__ = ["deliver", "deliver_campaign", "deliver_due", "send_due"]


@flow(name="deliver")
def deliver(
    workspace: str, campaign: str, live: bool = False, occurrence: str | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Sends a campaign's run, the latest or an occurrence's; without live, a full rehearsal into files."""
    place = open_workspace(Path(workspace))
    with asked_to_end() as ending:
        return deliver_campaign(
            place,
            load_settings(place),
            campaign,
            live=live,
            clock=_now,
            wait=ending.wait,
            asked=ending.is_set,
            occurrence=occurrence,
            fresh=fresh,
        )


@flow(name="deliver-due")
def deliver_due(workspace: str) -> dict[str, Any]:
    """Sends every run that was approved and whose time has come; fails at its end for what could not be sent."""
    place = open_workspace(Path(workspace))
    with asked_to_end() as ending:
        return send_due(place, load_settings(place), clock=_now, ending=ending)


def send_due(
    workspace: Workspace, settings: Settings, *, clock: Callable[[], datetime], ending: Event
) -> dict[str, Any]:
    """{"delivered": how each delivery stands at the end, "waiting": why other runs are not sent that are due}.

    Runs that become due meanwhile are sent too. Raises RunError, once all others are sent, naming what broke off.
    """
    delivered: list[dict[str, Any]] = []
    failed: list[str] = []
    waiting: list[str] = []
    going: dict[Future[dict[str, Any]], Firing] = {}
    begun: set[Firing] = set()

    def begin(pool: ThreadPoolExecutor) -> None:
        due, held = due_runs(workspace, settings, clock())
        waiting[:] = held
        for campaign_id, occurrence in due:
            if (campaign_id, occurrence) not in begun and not ending.is_set():
                begun.add((campaign_id, occurrence))
                call = partial(deliver_campaign, workspace, settings, campaign_id, occurrence=occurrence)
                task = pool.submit(call, live=True, clock=clock, wait=ending.wait, asked=ending.is_set)
                going[task] = (campaign_id, occurrence)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        begin(pool)
        while going:
            for task in wait(going, timeout=LOOK, return_when=FIRST_COMPLETED).done:
                firing = going.pop(task)
                try:
                    delivered.append(task.result())
                except (InputError, LedgerError, RunError) as error:
                    failed.append(f"{' '.join(firing)}: {error}")
            begin(pool)
    for line in waiting:
        log.warning("not sent: %s", line)
    if failed:
        raise RunError("\n".join(failed))
    return {"delivered": delivered, "waiting": waiting}


def _now() -> datetime:
    return datetime.now(UTC)
