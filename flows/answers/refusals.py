"""What people said through unsubscribe links and complaints, as whoever decides must know it: from the ledger."""

from datetime import datetime

import pyarrow as pa

from campaigns.ledger.people import refusals
from campaigns.ledger.refusals import ALL
from campaigns.tables import RESPONSES
from flows.delivering.ledgers import ledger_url, open_for
from flows.settings import Settings
from flows.workspace import Workspace


def refusals_before(workspace: Workspace, settings: Settings, as_of: datetime) -> pa.Table:
    """RESPONSES: `unsubscribed` of every opt-out before an instant, without a channel where it is of all of them.

    None where there is no ledger yet; none is made.
    """
    if not has_ledger(workspace, settings):
        return RESPONSES.schema.empty_table()
    ledger = open_for(workspace, settings, True, as_of)
    try:
        said = [one for one in refusals(ledger) if one.at < as_of]
    finally:
        ledger.close()
    rows = [
        {
            "customer_id": one.customer_id,
            "channel": None if one.channel == ALL else one.channel,
            "event": "unsubscribed",
            "at": one.at,
        }
        for one in said
    ]
    return pa.Table.from_pylist(rows, schema=RESPONSES.schema)


def has_ledger(workspace: Workspace, settings: Settings) -> bool:
    """Whether anything can have been sent: a server's ledger is taken to be there."""
    url = ledger_url(workspace, settings)
    return "://" in url or (workspace.root / url).is_file()
