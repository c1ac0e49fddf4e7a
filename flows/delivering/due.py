"""Which runs are to be sent now: approved, their time has come, and nobody has ended or paused them."""

from datetime import datetime, timedelta

from campaigns.calendar import occurrence_instant
from campaigns.ledger import Ledger
from campaigns.ledger.schema import PLANNED, RUNNING
from campaigns.ledger.store import milliseconds
from flows.approving.approvals import require_approval
from flows.contacts import Firing
from flows.delivering.ledgers import open_for
from flows.delivering.outgoing import entry
from flows.delivering.run import find_run
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

LONGEST = timedelta(days=4)  # from an occurrence's instant to the last of its messages


def due_runs(workspace: Workspace, settings: Settings, now: datetime) -> tuple[list[Firing], list[str]]:
    """(campaign and occurrence of each, in order; what keeps others from being sent, such as a missing approval)."""
    found: list[Firing] = []
    waiting: list[str] = []
    ledger = open_for(workspace, settings, True, now)
    try:
        for path in workspace.manifests():
            firing = path.parts[-3], path.parts[-2]
            try:
                if _is_due(workspace, settings, ledger, firing, now):
                    found.append(firing)
            except InputError as error:
                waiting.append(f"{firing[0]} {firing[1]}: {error}")
    finally:
        ledger.close()
    return found, waiting


def _is_due(workspace: Workspace, settings: Settings, ledger: Ledger, firing: Firing, now: datetime) -> bool:
    known = entry(ledger, *firing)
    if known is not None:
        return known["state"] in (PLANNED, RUNNING)
    if not timedelta() <= now - occurrence_instant(firing[1]) < LONGEST:
        return False
    run = find_run(workspace, *firing)
    stamp = milliseconds(now)
    first, last = run.instants("send_after").min(initial=stamp + 1), run.instants("send_before").max(initial=0)
    if not first <= stamp < last:
        return False
    require_approval(workspace, settings, run.manifest)
    return True
