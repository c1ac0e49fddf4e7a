"""What was sent to whom, and is planned to be, as far as a workspace knows: its table of contacts and its runs."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from campaigns.calendar import occurrence_instant
from campaigns.contact import AHEAD
from campaigns.predicates import open_sandbox
from campaigns.tables import CONTACTS, RESPONSES
from flows.workspace import Workspace, checksum, read_json, read_table

SPARE = timedelta(days=5)  # messages may wait, and days of zones differ
Firing = tuple[str, str]  # campaign and occurrence


@dataclass(frozen=True, eq=False)
class History:
    """contacts: CONTACTS of the table and of runs, also planned ones. ghosts: what controls would have been sent.
    responses: RESPONSES, feedback with its customer and channel. runs: campaign, occurrence and sha256 of the messages
    of each run that is counted, for the manifest."""

    contacts: pa.Table
    ghosts: pa.Table
    responses: pa.Table
    runs: list[dict[str, str]]


def read_history(
    workspace: Workspace, as_of: datetime, *, deciding: Collection[Firing] = (), around: Collection[datetime] = ()
) -> History:
    """What is known as of an instant, of the weeks around some instants of sending.

    A run counts if it was decided from what was known by then, and is not itself one of those being decided. A message
    of a run that the table of contacts holds too counts once.
    """
    times = [as_of, *around]
    first, last = min(times) - AHEAD - SPARE, max(times) + AHEAD + SPARE
    every = runs_known(workspace, as_of, deciding)
    near = [run for run in every if first <= occurrence_instant(run.name) <= last]
    with open_sandbox("UTC") as connection:
        connection.register("told", read_table(workspace, "contacts", as_of=as_of))
        connection.register("feedback", read_table(workspace, "feedback", as_of=as_of))
        connection.register("messages", _parquet([run / "messages.parquet" for run in every], _SENT))
        connection.register("nearby", _parquet([run / "messages.parquet" for run in near], _SENT))
        connection.register("decisions", _parquet([run / "decisions.parquet" for run in near], _DECIDED))
        contacts: pa.Table = connection.sql(_CONTACTS, params={"as_of": as_of}).to_arrow_table()
        ghosts: pa.Table = connection.sql(_GHOSTS).to_arrow_table()
        responses: pa.Table = connection.sql(_RESPONSES, params={"as_of": as_of}).to_arrow_table()
    counted = [
        {"campaign": run.parent.name, "occurrence": run.name, "sha256": checksum(run / "messages.parquet")}
        for run in near
    ]
    return History(
        contacts.cast(CONTACTS.schema), ghosts.cast(CONTACTS.schema), responses.cast(RESPONSES.schema), counted
    )


def runs_known(workspace: Workspace, as_of: datetime, deciding: Collection[Firing] = ()) -> list[Path]:
    """The published runs decided from what was known by an instant, but for some, in order."""
    return [
        path.parent
        for path in workspace.manifests()
        if path.parts[-3:-1] not in deciding and datetime.fromisoformat(read_json(path)["as_of"]) <= as_of
    ]


def _parquet(paths: list[Path], schema: pa.Schema) -> ds.Dataset | pa.Table:
    return ds.dataset([str(path) for path in paths], schema=schema) if paths else schema.empty_table()


_INSTANT = pa.timestamp("us", "UTC")
_FIRING = [(name, pa.string()) for name in ("campaign_id", "occurrence", "customer_id", "channel")]
_SENT = pa.schema([("message_id", pa.string()), *_FIRING, ("send_after", _INSTANT), ("send_before", _INSTANT)])
_DECIDED = pa.schema([*_FIRING, ("arm", pa.string())])

# What was opened is known by the message, or by the customer and the campaign within 30 days.
_CONTACTS = """
WITH sent AS (
    SELECT * FROM nearby WHERE NOT EXISTS (
        SELECT 1 FROM told
        WHERE told.customer_id = nearby.customer_id AND told.campaign_id = nearby.campaign_id
            AND told.channel = nearby.channel AND told.sent_at >= nearby.send_after - INTERVAL 1 DAY
            AND told.sent_at <= nearby.send_before)
),
opened AS (
    SELECT message_id, campaign_id, customer_id, feedback."at" AS opened_at
    FROM feedback WHERE event IN ('opened', 'clicked', 'redeemed') AND feedback."at" < $as_of
),
contacts AS (
    SELECT customer_id, campaign_id, occurrence, channel, sent_at, opened_at, NULL AS message_id FROM told
    UNION ALL
    SELECT customer_id, campaign_id, occurrence, channel, send_after, NULL, message_id FROM sent
),
seen AS (
    SELECT contacts.customer_id, contacts.campaign_id, channel, sent_at, min(opened.opened_at) AS opened_at
    FROM contacts JOIN opened ON contacts.customer_id = opened.customer_id
        AND contacts.campaign_id = opened.campaign_id
    WHERE opened.message_id IS NULL AND opened.opened_at BETWEEN sent_at AND sent_at + INTERVAL 30 DAY
    GROUP BY ALL
),
read_messages AS (
    SELECT message_id, min(opened_at) AS opened_at FROM opened WHERE message_id IS NOT NULL GROUP BY ALL
)
SELECT contacts.customer_id, contacts.campaign_id, occurrence, contacts.channel, contacts.sent_at,
    least(contacts.opened_at, seen.opened_at, read_messages.opened_at) AS opened_at
FROM contacts
LEFT JOIN seen ON contacts.customer_id = seen.customer_id AND contacts.campaign_id = seen.campaign_id
    AND contacts.channel = seen.channel AND contacts.sent_at = seen.sent_at
LEFT JOIN read_messages ON contacts.message_id = read_messages.message_id
ORDER BY contacts.customer_id, contacts.sent_at, contacts.campaign_id, contacts.channel
"""
_GHOSTS = """
SELECT DISTINCT customer_id, campaign_id, occurrence, channel,
    timezone('UTC', strptime(occurrence, '%Y%m%dt%H%M%Sz')) AS sent_at, NULL AS opened_at
FROM decisions WHERE arm = 'control' ORDER BY ALL
"""
# Without a message the channel is known where the campaign went to the customer on one channel only.
_RESPONSES = """
WITH channels AS (
    SELECT customer_id, campaign_id, min(channel) AS channel
    FROM (FROM (SELECT customer_id, campaign_id, channel FROM told)
        UNION ALL SELECT customer_id, campaign_id, channel FROM messages)
    GROUP BY ALL HAVING count(DISTINCT channel) = 1
)
SELECT DISTINCT coalesce(messages.customer_id, feedback.customer_id) AS customer_id,
    coalesce(messages.channel, channels.channel) AS channel, event, feedback."at"
FROM feedback
LEFT JOIN messages ON feedback.message_id = messages.message_id
LEFT JOIN channels ON feedback.message_id IS NULL AND feedback.customer_id = channels.customer_id
    AND feedback.campaign_id = channels.campaign_id
WHERE feedback."at" < $as_of AND coalesce(messages.customer_id, feedback.customer_id) IS NOT NULL
ORDER BY ALL
"""
