"""The durable record of what was claimed, sent and spent, and of who said no."""

from campaigns.ledger.claims import Claim, Device, Outcome, claim, mark, next_turn, recover, renew, sent, settle
from campaigns.ledger.planning import (
    MILLIONTHS,
    Account,
    Firing,
    change,
    counts,
    finish,
    plan,
    state_of,
)
from campaigns.ledger.refusals import (
    address_hash,
    opt_in,
    opt_out,
    opted_out,
    pause_offer,
    paused_offers,
    resume_offer,
    suppress,
    suppressed,
    take_event,
)
from campaigns.ledger.store import Ledger, open_ledger
from campaigns.tables import LedgerError

__all__ = [
    "MILLIONTHS",
    "Account",
    "Claim",
    "Device",
    "Firing",
    "Ledger",
    "LedgerError",
    "Outcome",
    "address_hash",
    "change",
    "claim",
    "counts",
    "finish",
    "mark",
    "next_turn",
    "open_ledger",
    "opt_in",
    "opt_out",
    "opted_out",
    "pause_offer",
    "paused_offers",
    "plan",
    "recover",
    "renew",
    "resume_offer",
    "sent",
    "settle",
    "state_of",
    "suppress",
    "suppressed",
    "take_event",
]
