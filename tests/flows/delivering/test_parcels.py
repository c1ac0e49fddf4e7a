"""What a channel is handed has its unsubscribe link signed, whichever channel it is."""

import json
from datetime import UTC, datetime

import pytest

from campaigns.channels.mail import Envelope
from campaigns.optout import signed_url, unsigned_url
from flows.delivering.parcels import as_sent, parcel_of
from flows.keys import Keys

KEYS = Keys((("k1", b"s" * 32),), b"a" * 32)
URL = "https://toko.example/berhenti"
NAME = "0123456789abcdef0123456789abcdef"
LINK = unsigned_url(URL, NAME)


def row(channel, **more):
    texts = {"body_html": None, "body_text": "Halo", "payload": None}
    return {"message_id": NAME, "channel": channel, "subject": "Halo", **texts, **more}


def push():
    return row("push", payload=json.dumps({"message": {"data": {"unsubscribe": LINK, "url": "https://toko.example"}}}))


def test_a_push_leaves_with_its_link_signed():
    envelope = Envelope("toko@toko.example", "Toko", "promo.toko.example")
    parcel = parcel_of(push(), {"name": None}, ("token",), envelope, KEYS, URL, datetime(2026, 1, 1, tzinfo=UTC))
    assert parcel.content["message"]["data"] == {
        "unsubscribe": signed_url(URL, NAME, KEYS.signing),
        "url": "https://toko.example",
    }


@pytest.mark.parametrize(
    "message", [push(), row("email", body_html=f'<a href="{LINK}">x</a>', body_text=f"Berhenti: {LINK}")]
)
def test_signing_a_message_twice_is_signing_it_once(message):
    once = as_sent(message, KEYS, URL)
    assert once != message
    assert as_sent(once, KEYS, URL) == once
