"""Bounces and complaints: what they say is understood; what somebody made up does no harm, in little time."""

import base64
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.feedback.event import BOUNCED, COMPLAINED, SOFT, UNSUBSCRIBED, Returned, UnreadableError
from campaigns.feedback.mime import MOST_BYTES, MOST_PARTS, read_headers, read_mail
from campaigns.feedback.reports import BOUNCE, COMPLAINT, read_report

MESSAGE = "0123456789abcdef0123456789abcdef"
AT = datetime(2026, 12, 11, 17, 5, tzinfo=UTC)


def bounce(status="5.1.1", action="failed", address="budi@pelanggan.example", message=MESSAGE, more="", kind=None):
    original = f"Message-ID: <{message}@panen.toko.example>\nTo: {address}\nSubject: Promo\n" if message else ""
    return (
        f"From: MAILER-DAEMON@mx.example\nSubject: Undelivered\nMIME-Version: 1.0\n"
        f"Date: Sat, 12 Dec 2026 00:06:00 +0700\n{more}"
        f'Content-Type: {kind or "multipart/report; report-type=delivery-status"};\n boundary="=_bound"\n\n'
        "--=_bound\nContent-Type: text/plain\n\nSorry.\n"
        "--=_bound\nContent-Type: message/delivery-status\n\n"
        "Reporting-MTA: dns; mx.example\nArrival-Date: Sat, 12 Dec 2026 00:05:00 +0700\n\n"
        f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\n\n"
        f"--=_bound\nContent-Type: message/rfc822\n\n{original}\nHalo\n--=_bound--\n"
    ).encode()


def complaint(kind="abuse", message=MESSAGE, recipient="Original-Rcpt-To: <ann@pelanggan.example>\n"):
    return (
        "From: fbl@mx.example\nDate: Sat, 12 Dec 2026 00:05:00 +0700\nMIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=fbl\n\n"
        "--fbl\nContent-Type: text/plain\n\nThis is an abuse report.\n"
        "--fbl\nContent-Type: message/feedback-report\n\n"
        f"Feedback-Type: {kind}\nUser-Agent: Fbl/1\nVersion: 1\n{recipient}\n"
        f"--fbl\nContent-Type: message/rfc822\n\nMessage-ID: <{message}@panen.toko.example>\nTo: x\n\nHalo\n--fbl--\n"
    ).encode()


def test_a_bounce_names_its_message_its_address_and_when():
    (event,) = read_report(bounce())
    assert (event.kind, event.message_ids, event.addresses) == (BOUNCED, (MESSAGE,), ("budi@pelanggan.example",))
    assert (event.at, event.detail) == (AT, "5.1.1")


@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
def test_both_ends_of_lines_read_alike(ends):
    assert [event.message_ids for event in read_report(bounce().replace(b"\n", ends))] == [(MESSAGE,)]


@pytest.mark.parametrize(
    ("status", "action", "kind"),
    [
        ("5.1.1", "failed", BOUNCED), ("5.0.0", "failed", BOUNCED), ("5.2.2", "Failed", BOUNCED),
        ("4.2.2", "failed", SOFT), ("4.4.1", "delayed", SOFT), ("5.1.1", "delayed", SOFT),
        ("5.7.1", "failed", SOFT), ("5.7.515", "failed", SOFT), ("5.3.4", "failed", SOFT), ("5.6.0", "failed", SOFT),
        ("2.0.0", "delivered", "delivered"),
    ],
)  # fmt: skip
def test_hard_is_what_is_final_and_the_address_s_own(status, action, kind):
    (event,) = read_report(bounce(status, action))
    assert event.kind == kind


def test_each_recipient_of_a_bounce_is_its_own_event():
    more = b"\n\nFinal-Recipient: rfc822; ann@pelanggan.example\nAction: delayed\nStatus: 4.2.1\n"
    raw = bounce().replace(b"no such user\n", b"no such user" + more)
    assert [(event.kind, event.addresses[0][:3]) for event in read_report(raw)] == [(BOUNCED, "bud"), (SOFT, "ann")]


def test_the_address_it_was_first_sent_to_is_named_too():
    raw = bounce().replace(b"Final-Recipient", b"Original-Recipient: rfc822;toko@lain.example\nFinal-Recipient")
    assert read_report(raw)[0].addresses == ("toko@lain.example", "budi@pelanggan.example")


def test_parts_that_are_encoded_are_decoded():
    fields = (
        b"Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822;budi@pelanggan.example\nAction: failed\nStatus: 5.1.1\n"
    )
    head, rest = bounce().split(b"message/delivery-status\n\n")
    tail = rest[rest.index(b"\n--=_bound") :]
    coded = b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(fields)
    (event,) = read_report(head + b"message/delivery-status\n" + coded + tail)
    assert event.addresses == ("budi@pelanggan.example",)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("abuse", COMPLAINED), ("Fraud", COMPLAINED), ("other", COMPLAINED), ("opt-out", UNSUBSCRIBED)],
)
def test_a_complaint_names_its_message_and_its_address(kind, told):
    (event,) = read_report(complaint(kind))
    assert event == Returned(told, (MESSAGE,), ("ann@pelanggan.example",), AT)


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "", "dmarc"])
def test_a_report_of_something_else_is_no_complaint(kind):
    with pytest.raises(UnreadableError, match="no complaint"):
        read_report(complaint(kind))


def test_a_message_is_known_by_its_unsubscribe_link_where_its_name_was_taken_out():
    link = f"List-Unsubscribe: <https://toko.example/berhenti/{MESSAGE}.1a2b.{'A' * 43}>\nTo: x"
    raw = complaint(message="").replace(b"To: x", link.encode())
    assert read_report(raw)[0].message_ids == (MESSAGE,)


def test_only_what_is_wanted_is_read():
    assert read_report(bounce(), BOUNCE)
    assert read_report(complaint(), COMPLAINT)
    for raw, wanted in ((bounce(), COMPLAINT), (complaint(), BOUNCE)):
        with pytest.raises(UnreadableError, match=f"not a {wanted}"):
            read_report(raw, wanted)


def test_an_ordinary_mail_that_quotes_all_this_tells_nothing():
    mail = EmailMessage()
    mail["From"], mail["Message-ID"] = "budi@pelanggan.example", f"<{MESSAGE}@panen.toko.example>"
    mail.set_content(bounce().decode() + complaint().decode())
    with pytest.raises(UnreadableError, match="neither a bounce nor a complaint"):
        read_report(mail.as_bytes())


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n\n\n", b"\0" * 1000, b"<html><body>5.1.1 budi@pelanggan.example</body></html>",
        b"a" * (MOST_BYTES + 1), b"X: " + b"y" * 300_000, b"X: y\n" * 2_000, b" \n\t\n" * 100_000, b"\r" * 500_000,
        b"Content-Type: multipart/report; boundary=x\n\n" + b"--x\n" * 200_000,
        b"Content-Type: multipart/report; boundary=" + b";" * 100_000 + b"\n\n--x\n",
        b'Content-Type: multipart/mixed; boundary="' + b'a;"b' * 400 + b"\n\nhalo",
        b"Content-Type: message/delivery-status\n\n" + b"a: b\n\n" * 100_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (k, k) for k in range(50_000)),
        bounce().replace(b"Status: 5.1.1", b"Status: \xff\xfe" + b"9" * 50_000),
        b"Content-Type: text/plain; charset=entah\n\n\xff\xfe\xfd", b"Content-Type:" + b"\n " * 100_000 + b"x\n\n",
        b"Content-Type: multipart/report; charset*0*=x''%\n\nx",
    ],
)  # fmt: skip
def test_hostile_mails_are_refused_or_tell_what_they_name(raw):
    assert {one for event in understood(raw) for one in event.addresses} <= {"budi@pelanggan.example"}


def understood(raw):
    """The events of a mail, none if it is refused."""
    try:
        return read_report(raw)
    except UnreadableError:
        return []


def test_limits_are_on_parts_and_on_recipients():
    parts = b"--b\nContent-Type: text/plain\n\nx\n" * (MOST_PARTS + 2)
    with pytest.raises(UnreadableError, match="parts"):
        read_mail(b"Content-Type: multipart/mixed; boundary=b\n\n" + parts)
    recipients = "\n".join(
        f"\nFinal-Recipient: rfc822; a{k}@b.example\nAction: failed\nStatus: 5.1.1" for k in range(200)
    )
    with pytest.raises(UnreadableError, match="recipients"):
        read_report(bounce().replace(b"\nFinal-Recipient", recipients.encode() + b"\n\nFinal-Recipient"))


@given(st.binary(max_size=600))
def test_random_bytes_tell_nothing(raw):
    with pytest.raises(UnreadableError):
        read_report(raw)


@settings(max_examples=300)
@given(st.sampled_from([bounce(), complaint()]), st.data())
def test_a_damaged_report_names_nobody_else(raw, data):
    place = data.draw(st.integers(0, len(raw)))
    changed = raw[:place] + data.draw(st.binary(max_size=8)) + raw[data.draw(st.integers(place, len(raw))) :]
    for event in understood(changed):
        for one in event.addresses:
            assert one.encode() in changed.lower(), "an address is the mail's own, never put together"


def test_folded_headers_are_one_line_and_repeated_ones_are_all_kept():
    assert read_headers(b"A: b\n c\n\td\nA: e\nwrong line\n: x\nB\xff: x\n\nC: d") == {"a": ["b c d", "e"]}


def test_the_same_event_has_the_same_name_which_hangs_on_the_key():
    one, other = read_report(bounce())[0], read_report(bounce().replace(b"\n", b"\r\n"))[0]
    assert one.digest(b"k" * 32) == other.digest(b"k" * 32)
    assert one.digest(b"k" * 32) != one.digest(b"l" * 32)
    assert (
        len({event.digest(b"k") for raw in (bounce(), bounce("4.2.2"), complaint()) for event in read_report(raw)}) == 3
    )
