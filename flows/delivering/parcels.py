"""A rendered message and what is known of its recipient now → what a channel is handed."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from campaigns.channels.mail import Envelope, mail_bytes
from campaigns.channels.parcel import Parcel
from campaigns.optout import signed_url, unsigned_url
from flows.keys import Keys
from recsys.tables import InputError

Row = Mapping[str, Any]


def as_sent(row: Row, keys: Keys, optout_url: str) -> dict[str, Any]:
    """The row with its unsubscribe link signed; a run holds it unsigned, so that its bytes do not hang on a secret."""
    name = str(row["message_id"])
    unsigned = re.compile(re.escape(unsigned_url(optout_url, name)) + r"(?!\.[a-z0-9]{1,16}\.)")
    signed = signed_url(optout_url, name, keys.signing)
    texts = {
        key: unsigned.sub(signed, row[key]) if row[key] else row[key] for key in ("body_html", "body_text", "payload")
    }
    return {**row, **texts}


def parcel_of(
    row: Row,
    person: Row,
    recipients: tuple[str, ...],
    envelope: Envelope,
    keys: Keys,
    optout_url: str,
    at: datetime,
) -> Parcel:
    """row: of MESSAGES, person: of CUSTOMERS, both as they are now.

    Raises InputError, naming the message alone, for one that must not leave so: without a way to say no, or with an
    address that is none.
    """
    name, signed = row["message_id"], as_sent(row, keys, optout_url)
    if row["channel"] != "email":
        return Parcel(name, recipients, json.loads(signed["payload"]))
    link = signed_url(optout_url, name, keys.signing)
    if link not in signed["body_html"] or link not in signed["body_text"]:
        raise InputError(f"message {name}: it has no unsubscribe link of its own; decide the campaign again")
    (address,) = recipients
    content = mail_bytes(
        envelope,
        name,
        address,
        person["name"],
        row["subject"],
        signed["body_html"],
        signed["body_text"],
        link,
        at,
    )
    return Parcel(name, recipients, content)
