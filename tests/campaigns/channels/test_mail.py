"""A mail is one recipient's, whole, and says only what it was told to say, whatever stands in names and subjects."""

import base64
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses, parseaddr

import pytest
from amounts import FULL, many

from campaigns.channels.mail import LONGEST_NAME, Envelope, domain_of, is_address, mail_bytes
from campaigns.words import one_line
from recsys.tables import InputError

AT = datetime(2026, 12, 11, 17, tzinfo=UTC)
ENVELOPE = Envelope("promo@toko.example", "Toko Contoh", "panen.toko.example")
HEADERS = [
    "Content-Type", "MIME-Version", "From", "To", "Subject", "Date", "Message-ID", "List-Id",
    "List-Unsubscribe", "List-Unsubscribe-Post",
]  # fmt: skip
# fmt: off
HOSTILE = (
    "\r\nBcc: semua@orang.example", "\nX-Injected: 1", "\rX-Injected: 1", "\r\n\r\n<h1>isi</h1>", "\x00", "\x0b",
    "\x0c", "\x1c", "\x1d", "\x1e", "\x85X-Injected: 1", "\u2028X-Injected: 1", "\u2029", "\ud800", "\udfff", "\udc0a",
    "\u202e", "\ufeff", "\u200b", "=?utf-8?q?x=0d=0aX-Injected:_1?=", "=?utf-8?b?DQpYLUluamVjdGVkOiAx?=", "=?", "?=",
    "<a@b.example>", ",", ";", ":", '"', "\\", "(", ")", "@", "a@b.example, c@d.example", "undisclosed:;", "\t", "  ",
    "\U0001f389", "\U0001f469\u200d\U0001f467", "é", "Siti", "Nur Aisyah", "\ufdfa", "\u6f22\u5b57", "q" * 90, "ñ" * 90,
    ".", "\r\n.\r\n", "--=_boundary", "%0d%0a", "{{ name }}", "\\r\\n", "&#13;",
)
NOT_ADDRESSES = (
    None, "", "a", "a@b", "a@@b.example", "a b@c.example", "a@b.example,c@d.example", "<a@b.example>",
    "a@b.example\r\nBcc: x@y.example", "a@b.example\n", "\ta@b.example", "ä@b.example", "a@bücher.example",
    '"a b"@c.example', "a@[127.0.0.1]", ".a@b.example", "a..b@c.example", f"{'l' * 65}@b.example",
    f"a@{'b.' * 130}example", "a@b.example\x00", "a(x)@b.example",
)
# fmt: on


def made(name: str | None = "Siti", subject: str = "Panen", **more: str) -> bytes:
    values = {
        "message_id": "m1",
        "address": "siti@pelanggan.example",
        "html": "<p>Halo</p>",
        "text": "Halo",
        "unsubscribe_url": "https://toko.example/berhenti/m1.k1.abc",
        **more,
    }
    return mail_bytes(ENVELOPE, name=name, subject=subject, at=AT, **values)


def parsed(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def hostile(dice: random.Random) -> str:
    return "".join(dice.choice(HOSTILE) for _ in range(dice.randint(1, 8)))


def fault(raw: bytes, name: str, subject: str, html: str, text: str, url: str) -> str | None:
    """What is wrong with a mail, read by a parser that did not write it."""
    lines = raw.split(b"\r\n")
    if b"\r" in b"".join(lines) or b"\n" in b"".join(lines) or max(map(len, lines)) > 998 or not raw.isascii():
        return "lines"
    mail = parsed(raw)
    if mail.keys() != HEADERS or mail.defects or any(part.defects for part in mail.walk()):
        return f"headers {mail.keys()} {mail.defects}"
    if any(mail[header].defects for header in ("From", "To", "Subject", "Date")):
        return "a header with a defect"
    if [one.addr_spec for one in mail["To"].addresses] != ["siti@pelanggan.example"]:
        return f"recipients {mail['To']!r}"
    # The new parser leaves spaces between encoded words, so the old one reads the name.
    shown, address = parseaddr(message_from_bytes(raw)["To"].replace("\n", ""))
    if (str(make_header(decode_header(shown))), address) != (
        one_line(name)[:LONGEST_NAME].strip(),
        "siti@pelanggan.example",
    ):
        return f"recipient {shown!r}"
    if [address for _, address in getaddresses([mail["From"]])] != ["promo@toko.example"]:
        return "sender"
    if mail["Subject"] != one_line(subject):
        return f"subject {mail['Subject']!r}"
    if f"\nlist-unsubscribe: <{url}>\n" not in raw.decode().lower().replace("\r", ""):
        return "unsubscribe"
    if mail["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
        return "one click"
    plain, rich = mail.iter_parts()
    if (plain.get_content_type(), rich.get_content_type()) != ("text/plain", "text/html"):
        return "parts"
    if (plain.get_content(), rich.get_content()) != (text, html):
        return "contents"
    return None


@pytest.mark.parametrize("part", range(many(1, 4)))
def test_mails_of_hostile_names_and_subjects_parse_with_both_headers_and_none_injected(
    part: int, record_property: Callable[..., None]
) -> None:
    dice = random.Random(part)
    wrong: list[str] = []
    number = many(300, 2500)
    for k in range(number):
        name, subject, words = hostile(dice), hostile(dice), hostile(dice)
        words = re.sub("[\ud800-\udfff]", "", words)  # a table of texts holds none
        html, text = f"<p>{words}</p>" * dice.randint(1, 40), f"{words} {name.isascii()}"
        url = "https://toko.example/berhenti/" + "x" * dice.choice([10, 60, 150, 400]) + ".k1.abc"
        more = {"html": html, "text": text, "unsubscribe_url": url}
        if found := fault(made(name, subject, **more), name, subject, html, text, url):
            wrong.append(f"{k}: {found}")
    record_property("mails of hostile names that parse", number - len(wrong))
    record_property("headers injected", sum("headers" in one for one in wrong))
    assert wrong == []
    assert FULL is (number == 2500)


def test_the_same_mail_is_the_same_bytes() -> None:
    assert made() == made()
    assert made(message_id="m2") != made()


def test_a_mail_without_unsubscribe_or_name_has_no_such_header_and_one_with_a_reply_address_has() -> None:
    mail = parsed(made(None, unsubscribe_url=""))
    assert mail.keys() == HEADERS[:-2]
    assert mail["To"] == "siti@pelanggan.example"
    envelope = Envelope("promo@toko.example", "Toko", "x.toko.example", "tanya@toko.example")
    raw = mail_bytes(envelope, "m1", "a@b.example", None, "s", "h", "t", "", AT)
    assert parsed(raw)["Reply-To"] == "tanya@toko.example"


def test_texts_are_in_base64_so_that_no_line_of_theirs_means_anything_to_a_server() -> None:
    raw = made(text="\r\n.\r\nMAIL FROM:<a@b.example>", html="From here\n.\n")
    assert b"MAIL FROM" not in raw
    assert base64.b64encode(b"From here") in raw


@pytest.mark.parametrize("address", ["a@b.example", "a.b+c@d-e.example", f"{'l' * 64}@b.example"])
def test_an_address_is_one(address: str) -> None:
    assert is_address(address)
    assert domain_of(address.upper()).endswith("example")


@pytest.mark.parametrize("address", NOT_ADDRESSES)
def test_what_is_not_one_address_is_refused_without_naming_it(address: str | None) -> None:
    assert not is_address(address)
    with pytest.raises(InputError) as caught:
        made(address=address)  # type: ignore[arg-type]
    assert str(caught.value) == "message m1: its customer's e-mail is not one address"
