"""Export: a run's messages as a file for a service that sends them; in the ledger they are handed over, once.

Every message is rechecked as a delivery does it, at the time it would be sent. The file is written aside, all its
messages are marked, and then it is put in its place: so a killed export has handed over nothing, or is told as not
known. `larisma deliver` does not send what was exported, nor does an export take what was sent.
"""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from campaigns.channels.export import MANIFEST, Export, Format, columns_for
from campaigns.failpoints import failpoint
from campaigns.ledger import Claim, Outcome, change, claim, counts, finish, mark, recover, renew, settle
from campaigns.ledger.people import next_due
from campaigns.ledger.rehearsals import discard
from campaigns.ledger.schema import HELD, PENDING, PLANNED, RUNNING, SENT
from campaigns.ledger.store import milliseconds
from flows.approving.approvals import require_approval
from flows.campaign_files import find_campaign
from flows.delivering.desk import Desk, prepared
from flows.delivering.ledgers import open_for
from flows.delivering.outgoing import Clock, Delivery, standing
from flows.delivering.plan import put_in
from flows.delivering.run import find_run
from flows.delivering.sending import line_of, watch_of
from flows.delivering.timing import Timer
from flows.export_rows import Terms, message_rows, most_offers, terms_of
from flows.settings import Settings
from flows.workspace import RunError, Workspace, read_json, write_json
from recsys.tables import InputError

EXPORTS = "exports.json"
GROUP = 500  # messages of a claim
LEASE = timedelta(minutes=10)
PROVIDER = "export"

log = logging.getLogger("larisma")
Row = dict[str, Any]


def export_campaign(
    place: Workspace,
    settings: Settings,
    campaign_id: str,
    form: Format,
    out: Path,
    *,
    live: bool,
    clock: Clock,
    occurrence: str | None = None,
) -> Row:
    """Writes out/messages.FORM and out/manifest.json; returns {"campaign", "occurrence", "live", "rows", "left_out":
    [[state, reason, n]], "wrote"}. Not live, it is a rehearsal: it neither needs an approval nor counts.

    Raises InputError for what is wrong with the run, the approval or the folder, LedgerError if the ledger cannot be
    used, RunError if another sender has messages in hand; then nothing was handed over.
    """
    campaign, run = find_campaign(place, campaign_id), find_run(place, campaign_id, occurrence)
    with ExitStack() as closing:
        sent = open_for(place, settings, True, clock())
        closing.callback(sent.close)
        ledger = sent if live else open_for(place, settings, False, clock())
        closing.callback(ledger.close)
        one = Delivery(place, settings, campaign, run, ledger, sent, live, out, clock, lambda _: None, lambda: False)
        file = Export(out, form, columns_for(most_offers(campaign)))
        try:
            file.begin()
        except FileExistsError as error:
            raise InputError(f"{out}: there is an export already; give another folder with --out") from error
        try:
            if not live:
                discard(ledger, *run.firing)
            _begin(one)
            result = _exported(one, file)
        except BaseException:
            file.discard()
            raise
    remember(place, out)
    return result


def remember(place: Workspace, folder: Path) -> None:
    """Keeps where exports are, so that `larisma forget` finds them outside of the workspace too."""
    path = place.root / EXPORTS
    known = read_json(path)["folders"] if path.exists() else []
    write_json(path, {"folders": sorted({*known, str(folder.resolve())})})


def _begin(one: Delivery) -> None:
    now = one.timer().now()
    if one.live and int(one.run.instants("send_before").max(initial=0)) <= milliseconds(now):
        raise InputError(f"{one.run.campaign_id} {one.run.occurrence}: its time is over; decide the next occurrence")
    if one.state is None:
        approval = require_approval(one.workspace, one.settings, one.run.manifest) if one.live else None
        put_in(one.ledger, one.workspace, one.settings, one.run, approval=approval, live=one.live, now=now)
    else:  # raises if it is there from another run
        put_in(one.ledger, one.workspace, one.settings, one.run, approval=None, live=one.live, now=now)
    if one.state == PLANNED:
        change(one.ledger, *one.run.firing, RUNNING, now)
    if one.state != RUNNING:
        raise InputError(f"{one.run.campaign_id} {one.run.occurrence}: is {one.state}, so nothing is handed over")
    recover(one.ledger, *one.run.firing, one.clock())


def _exported(one: Delivery, file: Export) -> Row:
    # Time goes as in a rehearsal, so that each message is judged at the instant at which it is due.
    rehearsed = replace(one, live=False)
    timer, terms = rehearsed.timer(), terms_of(one)
    watch = watch_of(one)
    held: list[tuple[Claim, datetime]] = []
    for channel in one.run.channels:
        line, _ = line_of(rehearsed, channel, watch)
        _gather(one, line.desk, channel, file, terms, timer, held)
    elsewhere = sum(n for (_, state), n in counts(one.ledger, *one.run.firing).items() if state in HELD) - len(held)
    if elsewhere and not held:
        raise RunError(f"{elsewhere} messages are in the hands of another sender; start again when it has ended")
    digest = file.close()
    failpoint("export.written")
    lost = sum(not mark(one.ledger, claimed, anew=False) for claimed, _ in held)
    if lost:
        _settle(one, held, PENDING, timer.now())
        raise RunError(f"{lost} messages were taken over by another sender; nothing was exported, start again")
    failpoint("export.marked")
    about = {
        "campaign": one.run.campaign_id,
        "occurrence": one.run.occurrence,
        "run": one.run.digest,
        "live": one.live,
    }
    file.publish(digest, about)
    failpoint("export.published")
    _settle(one, held, SENT, timer.now())
    finish(one.ledger, *one.run.firing, timer.now())
    left = [row for row in standing(one.ledger, *one.run.firing)["reasons"] if row[0] != SENT]
    wrote = [str(file.folder / name) for name in (file.name, MANIFEST)]
    return {**about, "rows": file.rows, "left_out": left, "wrote": wrote}


def _gather(
    one: Delivery,
    desk: Desk,
    channel: str,
    file: Export,
    terms: Terms,
    timer: Timer,
    held: list[tuple[Claim, datetime]],
) -> None:
    """Claims all of a channel that may go, writes it, and keeps the claims with the instants they are judged at."""
    here = (one.ledger, *one.run.firing)
    renewed = one.clock()
    while one.state == RUNNING:
        real = one.clock()  # leases are of real time: if this process ends, another takes over soon
        if real - renewed > LEASE / 2:
            renew(one.ledger, [claimed for claimed, _ in held], real, LEASE)
            renewed = real
        claims = claim(*here, channel, PROVIDER, GROUP, timer.now(), real + LEASE - timer.now())
        if not claims:
            due = next_due(*here, channel)
            if due is None:
                return
            timer.until(due)
            continue
        ready, outcomes = prepared(desk, claims, timer.now())
        settle(one.ledger, outcomes, timer.now())
        file.write(message_rows(one, desk, terms, ready, timer.now()))
        held += [(each.claim, timer.now()) for each in ready]
        log.info("%s of %s messages", len(held), len(one.run.messages))
    _settle(one, held, PENDING, timer.now())
    raise RunError(f"{one.run.campaign_id} {one.run.occurrence}: is {one.state}; nothing was exported")


def _settle(one: Delivery, held: Sequence[tuple[Claim, datetime]], state: str, at: datetime) -> None:
    for start in range(0, len(held), GROUP):
        some = [claimed for claimed, _ in held[start : start + GROUP]]
        sent = state == SENT
        outcomes = [
            Outcome(
                each.message_id,
                each.fence,
                state,
                provider_id=PROVIDER if sent else None,
                due_at=None if sent else at,
            )
            for each in some
        ]
        settle(one.ledger, outcomes, held[start][1] if sent else at)
