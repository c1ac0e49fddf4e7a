"""Whether a message that was just claimed still may go: consent and silence, refusals, caps, hours, offers, items.

It was decided days or hours ago from what was known then. The first thing that does not hold any more is the reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from campaigns.channels.mail import is_address
from campaigns.contact import AHEAD, SPANS, Blocked, Caps, ContactPolicy, slot
from campaigns.ledger import Claim, Ledger, address_hash, opted_out, paused_offers, suppressed
from campaigns.ledger.history import contacts, held_elsewhere
from campaigns.ledger.store import instant_of
from campaigns.words import zone_of
from flows.delivering.facts import Facts, Told

UNKNOWN_CUSTOMER, OPTED_OUT = "customer not known any more", "opted out"
NO_ADDRESS, NOT_ONE = "no address", "not one valid address"
QUIET, CAPPED, BUSY = "quiet hours", "frequency cap", "is being written to by another campaign"
OFFER_PAUSED = "offer paused"
SOON = timedelta(minutes=1)  # until somebody who is being written to just now is looked at again
SAME = timedelta(days=1)  # a contact told so close to one of the ledger's is the same

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """send: to these recipients (an address, or tokens). change: with other offers, or not at all. later: at `at`."""

    what: Literal["send", "change", "later", "skip"]
    reason: str = ""
    recipients: tuple[str, ...] = ()
    at: datetime | None = None
    soon: bool = False  # at about that time, so that two that wait for each other do not come back together


@dataclass(frozen=True)
class Rules:
    """What holds for a campaign's occurrence. more: by how many messages it may exceed the caps. blocked: windows of a
    place in which nothing is sent. paused: offers, and refused: customers, that the ledger which is sent from does not
    know of; a rehearsal takes them from the live one."""

    campaign_id: str
    occurrence: str
    policy: ContactPolicy
    more: int
    blocked: Blocked
    address_key: bytes
    paused: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Contact:
    channel: str
    campaign_id: str
    at: datetime


@dataclass(frozen=True, eq=False)
class Seen:
    """What the ledger of what was really sent says of a group. dead: hashes that are suppressed → why. contacts: person
    → what was sent in the last weeks. busy: persons to whom another occurrence is sending right now, by channel."""

    dead: Mapping[str, str]
    contacts: Mapping[str, Sequence[Contact]]
    busy: Mapping[str, Counter[str]]


def seen_by(ledger: Ledger, claims: Sequence[Claim], people: Mapping[str, Row], rules: Rules, now: datetime) -> Seen:
    """claims: of one channel. people: customer → row of CUSTOMERS."""
    channel, persons = claims[0].channel, sorted({one.person_id for one in claims})
    addresses = [address for row in people.values() for address in addresses_of(row, channel)]
    hashes = [address_hash(address, rules.address_key) for address in addresses]
    found: dict[str, list[Contact]] = {}
    for row in contacts(ledger, now - AHEAD - SAME, now + SAME, persons):
        if (row.campaign_id, row.occurrence) != (rules.campaign_id, rules.occurrence):
            contact = Contact(row.channel, row.campaign_id, instant_of(row.changed_at))
            found.setdefault(row.person_id, []).append(contact)
    busy: dict[str, Counter[str]] = {}
    for person, on in held_elsewhere(ledger, rules.campaign_id, rules.occurrence, persons):
        busy.setdefault(person, Counter())[on] += 1
    return Seen(suppressed(ledger, hashes, channel) if hashes else {}, found, busy)


def refusals_of(ledger: Ledger, campaign_id: str, channel: str) -> tuple[frozenset[str], frozenset[str]]:
    """(paused offers, customers who opted out) of a ledger."""
    return frozenset(paused_offers(ledger, campaign_id)), frozenset(opted_out(ledger, channel))


def judge(claim: Claim, person: Row | None, facts: Facts, seen: Seen, rules: Rules, now: datetime) -> Verdict:
    """person: the customer's row of CUSTOMERS, None if there is none any more."""
    if person is None:
        return Verdict("skip", UNKNOWN_CUSTOMER)
    if claim.customer_id in rules.refused:
        return Verdict("skip", OPTED_OUT)
    if why := facts.refused[claim.channel].get(claim.customer_id):
        return Verdict("skip", why)
    recipients, why = recipients_of(person, claim.channel, seen.dead, rules.address_key)
    if not recipients:
        return Verdict("skip", why)
    hours = _hours(claim, person, facts, rules, now)
    if hours is not None:
        return hours
    capped = _capped(claim, person, facts, seen, rules, now)
    if capped is not None:
        return capped
    if rules.paused & set(claim.offers):
        return Verdict("change", OFFER_PAUSED, recipients)
    if claim.customer_id in facts.touched:
        return Verdict("change", "", recipients)
    return Verdict("send", recipients=recipients)


# --- addresses -------------------------------------------------------------------------------------------------------


def addresses_of(person: Row, channel: str) -> list[str]:
    if channel == "email":
        return [person["email"].strip()] if person["email"] else []
    return list(dict.fromkeys(token for token in person["push_tokens"] or [] if token))


def recipients_of(person: Row, channel: str, dead: Mapping[str, str], key: bytes) -> tuple[tuple[str, ...], str]:
    """(where it may go, why nowhere)."""
    found = addresses_of(person, channel)
    if not found:
        return (), NO_ADDRESS
    if channel == "email" and not is_address(found[0]):
        return (), NOT_ONE
    why = {address: dead.get(address_hash(address, key)) for address in found}
    alive = tuple(address for address in found if why[address] is None)
    return alive, "" if alive else next(reason for reason in why.values() if reason)


# --- hours and caps --------------------------------------------------------------------------------------------------


def _hours(claim: Claim, person: Row, facts: Facts, rules: Rules, now: datetime) -> Verdict | None:
    zone = zone_of(person["timezone"])
    windows = rules.blocked(person["province"], zone)
    free = slot(getattr(rules.policy, claim.channel).quiet, zone, now, windows)
    at = free.at_once if claim.customer_id in facts.night[claim.channel] else free.otherwise
    if at is not None and at <= now:
        return None
    if at is None or at >= instant_of(claim.send_before):
        return Verdict("skip", QUIET)
    return Verdict("later", QUIET, at=at)


def _capped(claim: Claim, person: Row, facts: Facts, seen: Seen, rules: Rules, now: datetime) -> Verdict | None:
    zone = ZoneInfo(zone_of(person["timezone"]))
    today = now.astimezone(zone).date()
    sent = list(seen.contacts.get(claim.person_id, ()))
    sent += [
        Contact(t.channel, t.campaign_id, t.at) for t in facts.told.get(claim.person_id, ()) if not _known(t, sent)
    ]
    days = [(one.channel, (today - one.at.astimezone(zone).date()).days) for one in sent]
    busy = seen.busy.get(claim.person_id, Counter())
    own: Caps = getattr(rules.policy, claim.channel).most
    for caps, on in ((rules.policy.most, None), (own, claim.channel)):
        for span, length in SPANS.items():
            most = getattr(caps, span)
            if most is None:
                continue
            room = most + rules.more - sum(away < length for channel, away in days if on in (None, channel))
            if room <= 0:
                return Verdict("skip", CAPPED)
            if room <= (busy.total() if on is None else busy[on]):  # it may take the last place, or not be sent at all
                return Verdict("later", BUSY, at=now + SOON, soon=True)
    return None


def _known(told: Told, sent: Sequence[Contact]) -> bool:
    return any(
        one.campaign_id == told.campaign_id and one.channel == told.channel and abs(one.at - told.at) <= SAME
        for one in sent
    )
