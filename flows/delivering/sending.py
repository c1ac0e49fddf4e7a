"""A running delivery: every connection of every channel in a thread of its own, until nothing is left."""

import os
from collections.abc import Callable
from datetime import datetime
from threading import Thread

from campaigns.calendar import Occurrence, occurrence_instant
from campaigns.contact import may_exceed
from campaigns.failpoints import failpoint
from campaigns.ledger import counts, finish
from campaigns.ledger.exchange import account_ids
from campaigns.ledger.history import latest
from campaigns.ledger.schema import CLAIMED, PENDING, RUNNING, WRITING
from campaigns.silence import blocked_around
from flows.announcements import workspace_moon
from flows.delivering.breaker import WINDOW, Breaker
from flows.delivering.connections import Opened, connections, envelope_of, pace_of, rehearsed
from flows.delivering.desk import Desk
from flows.delivering.facts import Watch, read_facts
from flows.delivering.job import Job, patiently
from flows.delivering.mending import decided
from flows.delivering.outgoing import Delivery, alert_of, standing
from flows.delivering.plan import night_of
from flows.delivering.recheck import Rules, refusals_of
from flows.delivering.rendered import Rendered
from flows.delivering.run import Run
from flows.delivering.sender import Line, send_line
from flows.delivering.timing import RealTime, Timer
from flows.keys import workspace_keys

OPEN = (PENDING, CLAIMED, WRITING)
LISTEN = 0.5  # seconds in which a signal is heard


def send(one: Delivery) -> None:
    """Until nothing waits, or sending is to end; a rehearsal's channels one after the other. Raises LedgerError."""
    states = counts(one.ledger, *one.run.firing)
    job = Job(one.ledger, *one.run.firing, one.asked, len(one.run.messages), one.live)
    job.done = sum(n for (_, state), n in states.items() if state not in OPEN)
    work: list[Callable[[], None]] = []
    watch = watch_of(one)
    for channel in one.run.channels:
        line, opened = line_of(one, channel, watch)
        work += [
            _thread(job, line, opened, one.timer(), f"{os.getpid()}-{channel}-{n}") for n in range(line.connections)
        ]
    if one.live:
        _at_once(work)
    else:
        for each in work:
            each()
    if job.failure is not None:
        raise job.failure
    if not one.asked():
        timer = RealTime(one.clock, one.wait)
        patiently(lambda: finish(one.ledger, *one.run.firing, one.timer().now()), timer)
        failpoint("deliver.finished")
    if (state := one.state) not in (RUNNING, None):
        alert_of(one)(str(state), standing(one.ledger, *one.run.firing))


def _at_once(work: list[Callable[[], None]]) -> None:
    threads = [Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(LISTEN)


def _thread(job: Job, line: Line, opened: Opened, timer: Timer, sender: str) -> Callable[[], None]:
    def work() -> None:
        try:
            send_line(job, line, opened, timer, sender)
        except BaseException as error:
            job.fail(error)

    return work


def watch_of(one: Delivery) -> Watch:
    return Watch(one.workspace, lambda now: read_facts(one.workspace, one.settings, one.campaign, one.run, now))


def line_of(one: Delivery, channel: str, watch: Watch) -> tuple[Line, Opened]:
    """What a channel's messages are got ready and paced by, and what opens a connection."""
    if one.live:
        opened, number = connections(one.workspace, one.settings, channel, one.clock)
    else:
        opened, number = rehearsed(one.folder / channel)
    keys = workspace_keys(one.workspace, one.settings)
    paused, refused = (frozenset(), frozenset()) if one.live else refusals_of(one.sent, one.run.campaign_id, channel)
    rules = Rules(
        *one.run.firing,
        one.settings.contact,
        may_exceed(one.settings.contact, one.run.campaign_id, one.campaign.purpose),
        blocked_around(
            one.campaign.schedule, _occurrence(one.run), moon=workspace_moon(one.workspace), known_at=one.clock()
        ),
        keys.addresses,
        paused,
        refused,
    )
    night = night_of(one.run.manifest, one.settings)
    ids = account_ids(one.ledger, *one.run.firing, night)

    desk = Desk(
        one.workspace,
        one.settings,
        one.ledger,
        one.sent,
        watch,
        rules,
        decided(one.workspace, one.settings, one.run, one.campaign, ids),
        Rendered(one.run, channel),
        envelope_of(one.settings, one.run.campaign_id),
        keys,
    )
    breaker = Breaker(channel, latest(one.ledger, *one.run.firing, channel, WINDOW))
    return Line(channel, desk, pace_of(one.settings, channel), breaker, one.settings.delivery.tries, number), opened


def _occurrence(run: Run) -> Occurrence:
    """As far as the hours that nothing is sent in hang on it."""
    manifest, send_at = run.manifest, occurrence_instant(run.occurrence)
    day = datetime.fromisoformat(manifest["day"]).date()
    return Occurrence(send_at, datetime.fromisoformat(manifest["decide_at"]), day=day)
