"""Bounces (RFC 3464) and complaints (ARF, RFC 5965): a multipart/report with fields, and the mail that it is of."""

from collections.abc import Iterator, Mapping, Sequence

from campaigns.feedback.event import (
    COMPLAINED,
    UNSUBSCRIBED,
    Returned,
    UnreadableError,
    address,
    bounce_kind,
    linked_messages,
    mail_date,
    message_ids,
)
from campaigns.feedback.mime import Part, field_blocks, read_headers, read_mail

BOUNCE, COMPLAINT = "bounce", "complaint"
STATUS = ("message/delivery-status", "message/global-delivery-status")
ORIGINALS = ("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers")
COMPLAINTS = {"abuse": COMPLAINED, "fraud": COMPLAINED, "virus": COMPLAINED, "other": COMPLAINED,
              "opt-out": UNSUBSCRIBED, "opt-out-list": UNSUBSCRIBED}  # fmt: skip

Fields = Mapping[str, Sequence[str]]


def read_report(raw: bytes, wanted: str | None = None) -> list[Returned]:
    """The events of a mail, at least one. wanted: BOUNCE or COMPLAINT, to read these only.

    Raises UnreadableError for a mail that is none of these, or cannot be understood.
    """
    mail = read_mail(raw)
    parts = list(_leaves(mail))
    status = next((part for part in parts if part.kind in STATUS), None)
    feedback = next((part for part in parts if part.kind == "message/feedback-report"), None)
    if status is not None and wanted in (None, BOUNCE):
        return _bounces(mail, status, _original(parts))
    if feedback is not None and wanted in (None, COMPLAINT):
        return _complaints(mail, feedback, _original(parts))
    raise UnreadableError(f"not a {wanted}" if wanted else "neither a bounce nor a complaint")


def _bounces(mail: Part, status: Part, original: Fields) -> list[Returned]:
    about, found = _about(mail, original), []
    of_message, *recipients = field_blocks(status.content()) or [{}]
    for fields in recipients:
        kind, code = bounce_kind(_first(fields, "action"), _first(fields, "status"), _first(fields, "diagnostic-code"))
        if kind is None:
            continue
        named = (*address(_first(fields, "original-recipient")), *address(_first(fields, "final-recipient")))
        dates = (
            _first(fields, "last-attempt-date"),
            _first(of_message, "arrival-date"),
            mail.header("date"),
        )
        found.append(Returned(kind, about, tuple(dict.fromkeys(named)), mail_date(*dates), code))
    if not found:
        raise UnreadableError("a delivery status that tells nothing")
    return found


def _complaints(mail: Part, feedback: Part, original: Fields) -> list[Returned]:
    fields = read_headers(feedback.content().lstrip(b"\r\n"))
    kind = COMPLAINTS.get(_first(fields, "feedback-type").strip().lower())
    if kind is None:
        raise UnreadableError("a feedback report that is no complaint")
    named = [one for value in fields.get("original-rcpt-to", ())[:100] for one in address(value)]
    if not named:
        named = [*address(_first(original, "x-hmxmroriginalrecipient")), *address(_first(original, "to"))]
    dates = (_first(fields, "arrival-date"), _first(fields, "received-date"), mail.header("date"))
    return [Returned(kind, _about(mail, original), tuple(dict.fromkeys(named)), mail_date(*dates))]


def _about(mail: Part, original: Fields) -> tuple[str, ...]:
    """Our names of messages that a report can be of."""
    found = [
        *message_ids(_first(original, "message-id")),
        *linked_messages(_first(original, "list-unsubscribe")),
        *message_ids(mail.header("in-reply-to")),
    ]
    return tuple(dict.fromkeys(found))[:10]


def _original(parts: Sequence[Part]) -> Fields:
    """The headers of the mail that came back."""
    part = next((part for part in parts if part.kind in ORIGINALS), None)
    return read_headers(part.content().lstrip(b"\r\n")) if part else {}


def _leaves(part: Part) -> Iterator[Part]:
    if not part.parts:
        yield part
    for inner in part.parts:
        yield from _leaves(inner)


def _first(fields: Fields, name: str) -> str:
    return next(iter(fields.get(name, ())), "")
