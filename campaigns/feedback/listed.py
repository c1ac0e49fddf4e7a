"""Lists of events as e-mail services export them: CSV, its columns and words recognised by name.

A line is judged by itself, so that one with an open quotation mark does not swallow those after it.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import IO

from campaigns.feedback.event import (
    BOUNCED,
    CLICKED,
    COMPLAINED,
    DELIVERED,
    EARLIEST,
    OPENED,
    SOFT,
    UNSUBSCRIBED,
    Returned,
    UnreadableError,
    address,
    bounce_kind,
    message_ids,
)

LONGEST_LINE = 16_384  # characters
MOST_JOINED = 10  # lines of one row, where a quoted cell holds line ends
MOST_COLUMNS = 500
DELIMITERS = ",;\t|"
# Names without anything but small letters and digits.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "event": ("event", "eventtype", "eventname", "kind", "action", "activity", "recordtype"),
    "message": ("messageid", "larismamessageid", "customargsmessageid", "uniqueargsmessageid", "mergemessageid"),
    "address": ("email", "emailaddress", "recipient", "recipients", "address", "to", "subscriber", "rcptto"),
    "customer": ("customerid", "contactid", "userid", "externalid"),
    "campaign": ("campaignid", "campaign"),
    "at": ("timestamp", "at", "time", "date", "datetime", "eventtime", "eventdate", "occurredat", "createdat", "ts"),
    "status": ("status", "enhancedstatus", "dsn", "smtpcode", "code", "bouncecode", "statuscode"),
    "type": ("bouncetype", "bounceclass", "bounceclassification", "type", "subtype", "severity", "classification"),
}
EVENTS: Mapping[str, str] = {
    **dict.fromkeys(("delivered", "delivery", "terkirim"), DELIVERED),
    **dict.fromkeys(("open", "opened", "opens", "uniqueopened", "read"), OPENED),
    **dict.fromkeys(("click", "clicked", "clicks"), CLICKED),
    **dict.fromkeys(("bounce", "bounced", "hardbounce", "hardbounced", "permanentbounce", "permanentfail"), BOUNCED),
    **dict.fromkeys(("softbounce", "softbounced", "deferred", "delayed", "deliverydelay", "transientbounce"), SOFT),
    **dict.fromkeys(("temporaryfail", "temporaryfailure", "blocked", "block"), SOFT),
    **dict.fromkeys(
        ("complaint", "complained", "complain", "spam", "spamreport", "spamcomplaint", "abuse"), COMPLAINED
    ),
    **dict.fromkeys(("unsubscribe", "unsubscribed", "unsub", "groupunsubscribe", "listunsubscribe"), UNSUBSCRIBED),
    **dict.fromkeys(("optout", "optedout", "berhenti"), UNSUBSCRIBED),
}
IGNORED = ("sent", "send", "processed", "accepted", "injection", "queued", "subscribe", "resubscribe", "forward")
SOFTLY = ("soft", "transient", "temporary", "blocked", "block", "deferred", "undetermined")

# A line's number, its text, and what it tells; or why it is refused; or None for what is of no use here.
Judged = tuple[int, str, Returned | str | None]


def columns_of(header: str) -> tuple[str, dict[str, int]] | None:
    """Delimiter and our column → its place, of a first line that has what is needed; else None."""
    for delimiter in DELIMITERS:
        cells = _cells(header.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"), delimiter)
        if cells is None or not 2 <= len(cells) <= MOST_COLUMNS:
            continue
        names = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in cells]
        places = {
            ours: names.index(match)
            for ours, known in COLUMNS.items()
            if (match := next((name for name in known if name in names), None))
        }
        if "event" not in places and "type" in places:  # some call the event its type
            places["event"] = places.pop("type")
        if "event" in places and {"message", "address", "customer"} & places.keys():
            return delimiter, places
    return None


def read_events(lines: IO[str], zone: tzinfo) -> Iterator[Judged]:
    """What each line of a list tells. zone: of instants that bear none.

    Raises UnreadableError if the first line does not name the columns that are needed.
    """
    found = columns_of(lines.readline(LONGEST_LINE))
    if found is None:
        raise UnreadableError("no columns for an event and for a message, an address or a customer")
    delimiter, places = found
    number = 1
    waiting: list[str] = []
    while True:
        line = waiting.pop(0) if waiting else lines.readline(LONGEST_LINE)
        if not line:
            return
        number += 1
        if len(line) == LONGEST_LINE:
            while (rest := lines.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                pass
            yield number, line[:200], "a line that is too long"
            continue
        ahead: list[str] = []
        whole = line
        while _open(whole, delimiter) and len(ahead) < MOST_JOINED:  # a cell goes on in the next line
            following = waiting[len(ahead)] if len(ahead) < len(waiting) else lines.readline(LONGEST_LINE)
            if not following:
                break
            ahead.append(following)
            whole += following
        if ahead or _open(whole, delimiter):
            if _open(whole, delimiter):  # nobody has closed it
                waiting = [*ahead, *waiting[len(ahead) :]]
                yield number, line, "a quotation mark that is not closed"
                continue
            waiting = waiting[len(ahead) :]
        if line.strip():
            yield number, whole, _judged(whole, delimiter, places, zone)
        number += len(ahead)


def _judged(line: str, delimiter: str, places: Mapping[str, int], zone: tzinfo) -> Returned | str | None:
    cells = _cells(line, delimiter)
    if cells is None or len(cells) > MOST_COLUMNS:
        return "a line that is no row"
    row = {ours: cells[place].strip() for ours, place in places.items() if place < len(cells)}
    event = re.sub(r"[^a-z]", "", row.get("event", "").lower()[:100])
    kind = EVENTS.get(event)
    if event in IGNORED:
        return None
    if kind is None:
        return "an event that is not known"
    code = bounce_kind("failed", row.get("status", ""), "")
    if kind == BOUNCED and (code[0] == SOFT or any(word in row.get("type", "").lower() for word in SOFTLY)):
        kind = SOFT
    at = _instant(row.get("at", ""), zone)
    if row.get("at") and at is None:
        return "a time that is none"
    named, text = address(row.get("address")), row.get("message", "")
    about = (text,) if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text, re.ASCII) else message_ids(text)
    customer = row.get("customer") or None
    if not (named or about or customer):
        return "neither a message, nor an address, nor a customer"
    detail = code[1] if kind in (BOUNCED, SOFT) else ""
    return Returned(kind, about, named, at, detail, customer, row.get("campaign") or None)


def _cells(line: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([line], delimiter=delimiter), None)
    except csv.Error:
        return None


def _open(line: str, delimiter: str) -> bool:
    """Whether a line ends within a quoted cell."""
    try:
        next(csv.reader([line], delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _instant(text: str, zone: tzinfo) -> datetime | None:
    """From ISO 8601, or seconds or milliseconds since 1970."""
    try:
        if re.fullmatch(r"\d{9,13}(\.\d{1,9})?", text, re.ASCII):
            number = float(text)
            at = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
        else:
            at = datetime.fromisoformat(text.removesuffix(" UTC"))
            at = at if at.tzinfo else at.replace(tzinfo=UTC if text.endswith(" UTC") else zone)
        at = at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return at if at >= EARLIEST else None
