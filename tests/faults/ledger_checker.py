"""Whether a delivery kept what was promised, from what the servers wrote down and from the ledger's tables alone.

Written from the specification, without the sender's code: nobody twice, nobody forgotten, nobody who said no, the
doubtful ones listed, and budgets to the rupiah.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ENDED = {"sent", "bounced", "unknown", "skipped", "failed", "expired"}
COUNTS_AGAINST_A_BUDGET = {"claimed", "writing", "sent", "unknown"}


@dataclass(frozen=True)
class Facts:
    """What was found. faults: one line each; empty if all was kept."""

    faults: tuple[str, ...]
    accepted: int
    unknown: int
    duplicates: int
    lost: int
    drift: int


def rows(url: str, query: str) -> list[dict[str, Any]]:
    if "://" in url:
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload]
    connection = sqlite3.connect(url)
    connection.row_factory = sqlite3.Row
    try:
        assert connection.execute("pragma integrity_check").fetchone()[0] == "ok"
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


def check(
    url: str,
    campaign: str,
    taken: Iterable[tuple[str, str]],
    *,
    planned: Mapping[str, str],
    said_no: Iterable[str] = (),
    refused: Iterable[str] = (),
    late: Iterable[str] = (),
    most_unknown: int = 0,
    most_twice: int = 0,
    complete: bool = True,
) -> Facts:
    """taken: (message, recipient) as the servers took them over. planned: message → customer of all that should leave.

    said_no: customers who had opted out before. refused: messages that the servers refuse for good; late: those whose
    time was over. most_unknown: how many may be unknown, most_twice: how many copies may be too many. complete: whether
    all others had room and time.
    """
    faults: list[str] = []
    messages = {row["message_id"]: row for row in rows(url, f"select * from messages where campaign_id = '{campaign}'")}
    copies = Counter(taken)
    arrived = {message for message, _ in copies}
    extra = sum(count - 1 for count in copies.values())
    if extra > most_twice:
        faults.append(f"{extra} copies too many: {[key for key, count in copies.items() if count > 1][:3]}")
    if strangers := arrived - planned.keys():
        faults.append(f"{len(strangers)} that nobody planned: {sorted(strangers)[:3]}")
    if planned.keys() != messages.keys():
        faults.append(f"{len(planned.keys() ^ messages.keys())} messages are missing from the ledger, or too many")
    no, late, refused = set(said_no), set(late), set(refused)
    lost = []
    for message, row in messages.items():
        state, where = row["state"], f"{message} is {row['state']} ({row['reason']})"
        came = message in arrived
        if state not in ENDED:
            faults.append(f"{where}, which is no end")
        if came and row["customer_id"] in no:
            faults.append(f"{where}, and went to somebody who had said no")
        if state == "sent" and not came:
            faults.append(f"{where}, and no server has it")
            lost.append(message)
        if (came and message in late) or (state == "sent" and row["changed_at"] > row["send_before"]):
            faults.append(f"{where}, and went out after its time")
        if came and state not in ("sent", "unknown"):
            faults.append(f"{where}, and a server has it")
        if state == "unknown" and not row["reason"]:
            faults.append(f"{where}, without saying why")
        if state == "bounced" and message not in refused:
            faults.append(f"{where}, and its server refused nothing")
        if state == "skipped" and row["customer_id"] not in no and complete:
            faults.append(f"{where}, for no reason")
        if state in ("failed", "expired") and complete and message not in late:
            faults.append(f"{where}, for no reason")
            lost.append(message)
    unknown = [message for message, row in messages.items() if row["state"] == "unknown"]
    if len(unknown) > most_unknown:
        faults.append(f"{len(unknown)} unknown where {most_unknown} may be: {unknown[:5]}")
    drift = 0
    use: Counter[int] = Counter()
    for row in messages.values():
        if row["state"] in COUNTS_AGAINST_A_BUDGET:
            use.update(dict(json.loads(row["uses"])))
    for account in rows(url, f"select * from accounts where campaign_id = '{campaign}'"):
        off, name = account["used"] - use[account["id"]], f"{account['kind']} {account['name']}"
        drift += abs(off)
        if off:
            faults.append(f"{name} says {account['used']}, its messages {use[account['id']]}")
        if account["ceiling"] is not None and account["used"] > account["ceiling"]:
            faults.append(f"{name} is overdrawn: {account['used']} of {account['ceiling']}")
    return Facts(tuple(faults), len(arrived), len(unknown), extra, len(lost), drift)
