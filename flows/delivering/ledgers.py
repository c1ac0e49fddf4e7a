"""Which ledger a delivery is written into: the one of what was sent, or that of rehearsals."""

from datetime import datetime

from campaigns.ledger import Ledger, open_ledger
from flows.settings import Settings
from flows.workspace import Workspace


def ledger_url(place: Workspace, settings: Settings) -> str:
    """Of what was really sent: a path, or a postgresql:// URL with its password."""
    url = settings.ledger.url.get_secret_value() if settings.ledger.url else "ledger.db"
    return url if "://" in url else str(place.root / url)


def open_for(place: Workspace, settings: Settings, live: bool, now: datetime) -> Ledger:
    """A rehearsal has a file of its own, so that it neither counts as sent nor keeps anything from being sent.

    Raises LedgerError if the ledger cannot be used, InputError if its URL is none.
    """
    return open_ledger(ledger_url(place, settings) if live else str(place.rehearsals / "ledger.db"), now)
