"""From claimed messages to what may leave: rechecked, mended where something does not hold, and put into parcels."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.channels.mail import Envelope
from campaigns.channels.parcel import Parcel
from campaigns.failpoints import failpoint
from campaigns.ledger import Claim, Ledger, Outcome
from campaigns.ledger.exchange import exchange
from campaigns.ledger.schema import EXPIRED, FAILED, PENDING, SKIPPED
from campaigns.ledger.store import instant_of
from campaigns.tables import CampaignError
from flows.delivering.facts import Facts, Watch
from flows.delivering.mending import Decided, Mended, mend, other_than_planned, rerendered
from flows.delivering.parcels import parcel_of
from flows.delivering.recheck import Rules, Verdict, judge, seen_by
from flows.delivering.rendered import Rendered
from flows.delivering.retries import LATE, spread
from flows.keys import Keys
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

log = logging.getLogger("larisma")
NO_ROOM = "no room for the fallback offer"
UNWRITABLE, NOT_THERE = "cannot be rendered again", "not among the run's messages any more"


@dataclass(frozen=True, eq=False)
class Desk:
    """What is needed to get a channel's messages ready. ledger: that is sent from; sent: of what was really sent, which
    is another one in a rehearsal."""

    workspace: Workspace
    settings: Settings
    ledger: Ledger
    sent: Ledger
    watch: Watch
    rules: Rules
    about: Decided
    rendered: Rendered
    envelope: Envelope
    keys: Keys


@dataclass(frozen=True)
class Ready:
    claim: Claim
    parcel: Parcel


def prepared(desk: Desk, claims: Sequence[Claim], now: datetime) -> tuple[list[Ready], list[Outcome]]:
    """What may leave, in the order of the claims, and what became of the others."""
    facts = desk.watch.facts(now)
    failpoint("desk.facts")
    people = facts.rows({one.customer_id for one in claims})
    seen = seen_by(desk.sent, claims, people, desk.rules, now)
    verdicts = {one.message_id: judge(one, people.get(one.customer_id), facts, seen, desk.rules, now) for one in claims}
    failpoint("desk.judged")
    outcomes: list[Outcome] = []
    staying = [one for one in claims if verdicts[one.message_id].what in ("skip", "later")]
    outcomes += [_not_now(one, verdicts[one.message_id], now) for one in staying]
    sending = [one for one in claims if verdicts[one.message_id].what == "send"]
    before = other_than_planned(desk.about, [one for one in sending if one.fence > 1])
    sending = [one for one in sending if one.message_id not in before]
    changing = [one for one in claims if verdicts[one.message_id].what == "change" or one.message_id in before]
    rows, refused = _changed(desk, changing, verdicts, facts, now)
    outcomes += refused
    rows |= desk.rendered.rows([one.message_id for one in sending])
    ready: list[Ready] = []
    done = {outcome.message_id for outcome in outcomes}
    for one in claims:
        if one.message_id in done:
            continue
        if one.message_id not in rows:
            outcomes.append(Outcome(one.message_id, one.fence, FAILED, NOT_THERE))
            continue
        recipients, person = verdicts[one.message_id].recipients, people[one.customer_id]
        row, url = rows[one.message_id], desk.settings.optout_url
        try:
            parcel = parcel_of(row, person, recipients, desk.envelope, desk.keys, url, now)
        except InputError as error:
            outcomes.append(Outcome(one.message_id, one.fence, FAILED, str(error).partition(": ")[2]))
        else:
            ready.append(Ready(one, parcel))
    failpoint("desk.ready")
    return ready, outcomes


def _not_now(one: Claim, verdict: Verdict, now: datetime) -> Outcome:
    if verdict.what == "skip" or verdict.at is None:
        return Outcome(one.message_id, one.fence, SKIPPED, verdict.reason)
    at = now + (verdict.at - now) * spread(one.message_id, one.fence) if verdict.soon else verdict.at
    if at >= instant_of(one.send_before):
        return Outcome(one.message_id, one.fence, EXPIRED, LATE)
    return Outcome(one.message_id, one.fence, PENDING, verdict.reason, due_at=at, untried=True)


def _changed(
    desk: Desk, claims: Sequence[Claim], verdicts: dict[str, Verdict], facts: Facts, now: datetime
) -> tuple[dict[str, dict[str, Any]], list[Outcome]]:
    """(message_id → the row that leaves in the place of what was planned, what became of the others)."""
    if not claims:
        return {}, []
    reasons = {one.message_id: verdicts[one.message_id].reason for one in claims}
    found = mend(claims, reasons, desk.about, facts, desk.rules.paused)
    failpoint("desk.mended")
    whole = [one for one in found.values() if isinstance(one, Mended)]
    try:
        rows = rerendered(desk.workspace, desk.settings, desk.about, whole, facts) if whole else {}
    except CampaignError as error:
        log.warning("%s; messages that need to be rendered again are skipped", error)
        found = dict.fromkeys(found, UNWRITABLE)
        rows = {}
    outcomes: list[Outcome] = []
    for one in claims:
        given = found[one.message_id]
        if isinstance(given, str):
            outcomes.append(Outcome(one.message_id, one.fence, SKIPPED, given or UNWRITABLE))
        elif exchange(desk.ledger, one, given.offers, given.uses, now):
            failpoint("desk.exchanged")
        else:
            outcomes.append(Outcome(one.message_id, one.fence, SKIPPED, f"{given.reason}; {NO_ROOM}"))
            del rows[one.message_id]
    return rows, outcomes
