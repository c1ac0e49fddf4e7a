"""When a message that was refused for now is tried again: later each time, not all at once, and never past its time."""

import hashlib
from datetime import datetime, timedelta

from campaigns.channels.parcel import Answer
from campaigns.ledger import Claim, Outcome
from campaigns.ledger.schema import EXPIRED, FAILED, PENDING
from campaigns.ledger.store import instant_of

FIRST, LONGEST = timedelta(minutes=1), timedelta(hours=1)
LATE = "past send_before"


def spread(message_id: str, attempts: int) -> float:
    """A factor from 0.5 to 1.5 by which a wait is stretched, so that messages do not come back together."""
    digest = hashlib.sha256(f"{message_id}\0{attempts}".encode()).digest()
    return 0.5 + int.from_bytes(digest[:8]) / 2**64


def wait_before(claim: Claim, retry_after: timedelta | None) -> timedelta:
    """Twice as long each time, but at least what the other side asked for."""
    doubled = min(LONGEST, FIRST * 2 ** min(claim.attempts - 1, 10)) * spread(claim.message_id, claim.attempts)
    return max(doubled, retry_after or timedelta())


def again(claim: Claim, answer: Answer, tries: int, now: datetime) -> Outcome:
    """What becomes of a message that was refused for now: tried again, or given up after so many tries."""
    at = now + wait_before(claim, answer.retry_after)
    told = (answer.detail, answer.provider_id)
    if claim.attempts >= tries:
        return Outcome(claim.message_id, claim.fence, FAILED, f"given up: {answer.reason}", *told)
    if at >= instant_of(claim.send_before):
        return Outcome(claim.message_id, claim.fence, EXPIRED, f"{LATE}: {answer.reason}", *told)
    return Outcome(claim.message_id, claim.fence, PENDING, answer.reason, *told, due_at=at)
