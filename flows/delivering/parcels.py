"""A rendered message and what is known of its recipient now → what a channel is handed."""

import re
from collections.abc import Mapping
from typing import Any

from campaigns.optout import signed_url, unsigned_url
from flows.keys import Keys

Row = Mapping[str, Any]


def as_sent(row: Row, keys: Keys, optout_url: str) -> dict[str, Any]:
    """The row with its unsubscribe link signed; a run holds it unsigned, so that its bytes do not hang on a secret."""
    name = str(row["message_id"])
    unsigned = re.compile(re.escape(unsigned_url(optout_url, name)) + r"(?!\.[a-z0-9]{1,16}\.)")
    signed = signed_url(optout_url, name, keys.signing)
    texts = {key: unsigned.sub(signed, row[key]) if row[key] else row[key] for key in ("body_html", "body_text")}
    return {**row, **texts}
