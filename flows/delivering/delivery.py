"""One delivery from its beginning to its end: into the ledger once, then sent until nothing is left of it.

Whatever ends it, starting it again goes on where it was: all that it knows stands in the ledger.
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from campaigns.failpoints import failpoint
from campaigns.ledger import Ledger, LedgerError, change
from campaigns.ledger.rehearsals import discard
from campaigns.ledger.schema import PLANNED, RUNNING
from campaigns.ledger.store import instant_of, milliseconds
from flows.campaign_files import find_campaign
from flows.delivering.care_sheet import care_facts, write_care_sheet
from flows.delivering.connections import require_channels
from flows.delivering.ledgers import open_for
from flows.delivering.outgoing import Clock, Delivery, Result, alert_of, entry, standing, told
from flows.delivering.plan import due_at, put_in
from flows.delivering.run import Run, find_run
from flows.delivering.sending import send
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

log = logging.getLogger("larisma")


def deliver_campaign(
    workspace: Workspace,
    settings: Settings,
    campaign_id: str,
    *,
    live: bool,
    clock: Clock,
    wait: Callable[[float], object],
    asked: Callable[[], bool] = lambda: False,
    occurrence: str | None = None,
    fresh: bool = False,
) -> Result:
    """Sends a run's messages, the latest or an occurrence's; without live it is a full rehearsal into files.

    wait, asked: see Delivery; what is in hand is settled first. fresh: a rehearsal starts over. Returns what `told`
    says. Raises InputError for what is wrong with the run, the settings or the approval, LedgerError if the ledger
    cannot be used.
    """
    campaign, run = find_campaign(workspace, campaign_id), find_run(workspace, campaign_id, occurrence)
    if live:
        require_channels(settings, run.channels)
    with _opened(workspace, settings, live, clock()) as (ledger, sent):
        folder = workspace.delivery(*run.firing) if live else workspace.rehearsal(*run.firing)
        one = Delivery(workspace, settings, campaign, run, ledger, sent, live, folder, clock, wait, asked)
        if not live and (fresh or _of_another_run(one)):
            discard(ledger, *run.firing)
            shutil.rmtree(folder, ignore_errors=True)
        _begin(one)
        wrote: list[Path] = []
        if one.state == RUNNING:
            wrote = _care_sheet(one)
            send(one)
        return told(one, wrote)


@contextmanager
def _opened(workspace: Workspace, settings: Settings, live: bool, now: datetime) -> Iterator[tuple[Ledger, Ledger]]:
    with ExitStack() as closing:
        sent = open_for(workspace, settings, True, now)
        closing.callback(sent.close)
        if live:
            yield sent, sent
            return
        ledger = open_for(workspace, settings, False, now)
        closing.callback(ledger.close)
        yield ledger, sent


def _of_another_run(one: Delivery) -> bool:
    """Whether a rehearsal of the occurrence is there, of a run that was decided anew since."""
    here = entry(one.ledger, *one.run.firing)
    return here is not None and here["run"] != one.run.digest


def _begin(one: Delivery) -> None:
    """Puts the run into the ledger where it is not there yet, approved and in time, and starts it."""
    now = one.timer().now()
    if one.state is None:
        approval = None
        if one.live:
            from flows.approving.approvals import require_approval

            approval = require_approval(one.workspace, one.settings, one.run.manifest)
            _require_time(one.run, now)
        log.info("putting %s messages into the ledger", len(one.run.messages))
        put_in(one.ledger, one.workspace, one.settings, one.run, approval=approval, live=one.live, now=now)
        failpoint("deliver.planned")
    elif one.live:  # raises if it is there from another run
        put_in(one.ledger, one.workspace, one.settings, one.run, approval=None, live=True, now=now)
    if one.state == PLANNED:
        try:
            change(one.ledger, *one.run.firing, RUNNING, now)
        except LedgerError:  # fired twice: the other one started it just now, and has even finished
            if one.state == PLANNED:
                raise
            return
        failpoint("deliver.started")
        alert_of(one)("started", standing(one.ledger, *one.run.firing))


def _require_time(run: Run, now: datetime) -> None:
    last = int(run.instants("send_before").max(initial=0))
    if len(run.messages) and last <= milliseconds(now):
        raise InputError(
            f"{run.campaign_id} {run.occurrence}: was to be sent before {instant_of(last):%Y-%m-%d %H:%M} UTC; "
            f"nothing of it is sent any more. Decide the next occurrence: larisma decide {run.campaign_id}"
        )


def _care_sheet(one: Delivery) -> list[Path]:
    here = entry(one.ledger, *one.run.firing)
    planned = here["created_at"] if here else one.timer().now()
    due = due_at(one.run, one.settings, planned)
    facts = care_facts(one.run, one.campaign, one.settings, due, live=one.live, at=planned)
    if len(due) and one.live and (first := instant_of(int(due.min()))) > one.clock():
        log.info("the first message is due at %s", first.isoformat(timespec="minutes"))
    return write_care_sheet(one.folder, facts, one.settings.language, one.workspace.root)
