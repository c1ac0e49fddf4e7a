"""A delivery as a value: which run, into which ledger, by which clock; and how it stands, in counts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from campaigns.ledger import Ledger, counts, state_of
from campaigns.ledger.history import occurrences, reasons, unsure
from campaigns.ledger.store import instant_of, milliseconds
from campaigns.spec import Campaign
from flows.delivering.alerts import Alert, alert_by, silent
from flows.delivering.run import Run
from flows.delivering.timing import RealTime, RehearsedTime, Timer
from flows.settings import Settings
from flows.workspace import Workspace

Clock = Callable[[], datetime]
Result = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Delivery:
    """ledger: that is sent from. sent: of what was really sent, another one in a rehearsal. folder: for what is
    written. wait: is given seconds, and may return early. asked: whether this process was asked to end."""

    workspace: Workspace
    settings: Settings
    campaign: Campaign
    run: Run
    ledger: Ledger
    sent: Ledger
    live: bool
    folder: Path
    clock: Clock
    wait: Callable[[float], object]
    asked: Callable[[], bool]

    @property
    def state(self) -> str | None:
        return state_of(self.ledger, *self.run.firing)

    def timer(self) -> Timer:
        """A rehearsal begins when its first message is due, unless that time is now."""
        if self.live:
            return RealTime(self.clock, self.wait)
        after, before, now = self.run.instants("send_after"), self.run.instants("send_before"), self.clock()
        first = int(after.min(initial=milliseconds(now)))
        begun = first <= milliseconds(now) < int(before.max(initial=0))
        return RehearsedTime(now if begun else instant_of(first))


def told(one: Delivery, wrote: list[Path]) -> Result:
    """{"campaign", "occurrence", "live", "state", "reason", "channels": {channel: {state: n}}, "reasons": [[state,
    reason, n]], "unknown": ids of messages of which nobody knows whether they left, "wrote"}."""
    unknown = [name for name, _ in unsure(one.ledger, *one.run.firing)]
    return {**standing(one.ledger, *one.run.firing), "unknown": unknown, "wrote": [str(path) for path in wrote]}


def entry(ledger: Ledger, campaign_id: str, occurrence: str) -> dict[str, Any] | None:
    """What the ledger says of an occurrence; None if it is not there."""
    here = (row for row in occurrences(ledger) if (row["campaign_id"], row["occurrence"]) == (campaign_id, occurrence))
    return next(here, None)


def standing(ledger: Ledger, campaign_id: str, occurrence: str) -> Result:
    """How it stands, in counts: nothing of it is about a person."""
    here = entry(ledger, campaign_id, occurrence) or {}
    channels: dict[str, dict[str, int]] = {}
    for (channel, state), n in counts(ledger, campaign_id, occurrence).items():
        channels.setdefault(channel, {})[state] = n
    found = sorted((state, reason, n) for (state, reason), n in reasons(ledger, campaign_id, occurrence).items())
    return {
        "campaign": campaign_id,
        "occurrence": occurrence,
        "live": here.get("live"),
        "state": here.get("state"),
        "reason": here.get("reason"),
        "channels": channels,
        "reasons": [list(row) for row in found],
    }


def alert_of(one: Delivery) -> Alert:
    return alert_by(one.settings) if one.live else silent
