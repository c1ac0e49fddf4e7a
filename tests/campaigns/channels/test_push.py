"""Every answer of FCM, and every silence, leads to what it says about the message and about the device."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from amounts import many
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fake_fcm import PROJECT, TAKEN, FakeFcm, Reply, Script, failed

from campaigns.channels.parcel import Answer, Parcel
from campaigns.channels.push import MOST_BYTES, Push, _Reply, service_account
from campaigns.ledger.schema import BOUNCED, FAILED, PENDING, SENT, UNKNOWN

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SEEDS = many(2, 20)
ALWAYS = lambda: True  # noqa: E731
MESSAGE = {"message": {"notification": {"title": "Panen", "body": "Diskon"}, "data": {"message_id": "m1"}}}


def channel(server: FakeFcm, token: Callable[[bool], str] = lambda renew: "t", timeout: float = 20.0) -> Push:
    return Push(PROJECT, token, lambda: NOW, base_url=server.url, timeout=timeout)


def parcel(*devices: str, content: Any = MESSAGE) -> Parcel:
    return Parcel("m1", devices or ("d1",), content)


def first_time(reply: Reply) -> Script:
    return lambda token, visit: TAKEN if visit else reply


def error(status: int, body: Any) -> Reply:
    return Reply(status, body)


# reply → state, whether the device is gone, whether the channel is broken, the pause that is asked for
CODES: dict[str, tuple[Reply, str, bool, bool, timedelta | None]] = {
    "taken": (TAKEN, SENT, False, False, None),
    "argument": (failed(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), FAILED, False, False, None),
    "argument: token": (failed(400, "INVALID_ARGUMENT", "", "message.token"), BOUNCED, True, False, None),
    "argument: data": (failed(400, "INVALID_ARGUMENT", "", "message.data"), FAILED, False, False, None),
    "third party": (failed(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), PENDING, False, True, None),
    "forbidden": (failed(403, "PERMISSION_DENIED"), PENDING, False, True, None),
    "sender": (failed(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), BOUNCED, True, False, None),
    "unregistered": (failed(404, "NOT_FOUND", "UNREGISTERED"), BOUNCED, True, False, None),
    "another 404": (error(404, b"<html>not here</html>"), FAILED, False, False, None),
    "quota": (failed(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), PENDING, False, False, MINUTE),
    "quota, seconds": (
        failed(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", Retry_After="90"),
        PENDING, False, False, timedelta(seconds=90),
    ),
    "quota, date": (
        failed(429, "RESOURCE_EXHAUSTED", Retry_After=format_datetime(NOW + 5 * MINUTE, usegmt=True)),
        PENDING, False, False, 5 * MINUTE,
    ),
    "quota, date gone by": (
        failed(429, "RESOURCE_EXHAUSTED", Retry_After=format_datetime(NOW - MINUTE, usegmt=True)),
        PENDING, False, False, MINUTE,
    ),
    "internal": (failed(500, "INTERNAL", "INTERNAL"), PENDING, False, False, None),
    "unavailable": (failed(503, "UNAVAILABLE", "UNAVAILABLE"), PENDING, False, False, None),
    "unavailable, seconds": (
        failed(503, "UNAVAILABLE", "UNAVAILABLE", Retry_After="10"), PENDING, False, False, timedelta(seconds=10),
    ),
    "unspecified": (failed(500, "UNKNOWN", "UNSPECIFIED_ERROR"), PENDING, False, False, None),
    "gateway": (error(502, b"bad gateway"), UNKNOWN, False, False, None),
    "gateway timeout": (failed(504, "DEADLINE_EXCEEDED"), UNKNOWN, False, False, None),
    "redirect": (Reply(302, b"", {"Location": "/elsewhere"}), FAILED, False, False, None),
    # silences
    "timeout, taken": (Reply(how="hang", taken=True), UNKNOWN, False, False, None),
    "timeout": (Reply(how="hang"), UNKNOWN, False, False, None),
    "closed, taken": (Reply(how="close", taken=True), UNKNOWN, False, False, None),
    "closed": (Reply(how="close"), UNKNOWN, False, False, None),
    "reset, taken": (Reply(how="reset", taken=True), UNKNOWN, False, False, None),
    "cut": (Reply(how="cut", taken=True), UNKNOWN, False, False, None),
}  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_answer_of_fcm_has_its_action_and_the_next_push_leaves(
    seed: int, record_property: Callable[..., None]
) -> None:
    def one(name: str) -> str | None:
        reply, state, gone, broken, pause = CODES[name]
        with FakeFcm(first_time(reply)) as server:
            push = channel(server, timeout=0.3 if reply.how == "hang" else 20.0)
            answer = push.send(parcel(), ALWAYS)
            again = push.send(parcel(), ALWAYS)
            push.close()
        assert answer is not None
        assert again is not None
        found = (answer.state, answer.gone == ("d1",), answer.broken is not None, answer.retry_after)
        if found != (state, gone, broken, pause):
            return f"{name}: {answer}"
        if again.state != SENT:
            return f"{name}: the next push: {again}"
        if state not in (UNKNOWN, SENT) and len(server.accepted) != 1:
            return f"{name}: {server.accepted}"
        return None

    with ThreadPoolExecutor(8) as pool:
        wrong = [found for found in pool.map(one, sorted(CODES)) if found]
    record_property("FCM answers understood", len(CODES))
    assert wrong == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"7", b"\xff\xfe", b"{", b"[" * 100_000,
        {"error": 7}, {"error": {"details": 7, "status": 7}},
        {"error": {"details": [7, {"errorCode": 7, "fieldViolations": 7}, {"fieldViolations": [7, {}]}]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize(("status", "state"), [(200, SENT), (400, FAILED), (404, FAILED), (503, PENDING)])
def test_an_answer_that_is_not_fcm_s_is_understood_by_its_status(status: int, state: str, body: Any) -> None:
    with FakeFcm(first_time(Reply(status, body, taken=False))) as server:
        answer = channel(server).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.gone, answer.provider_id) == (state, (), None)


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        ("0", MINUTE), ("7", timedelta(seconds=7)), ("9" * 5000, timedelta(days=1)), ("-5", MINUTE), ("²", MINUTE),
        ("soon", MINUTE), ("1.5", MINUTE), ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1)),
        ("Fri, 11 Dec 2026 17:02:00", MINUTE), ("Fri, 99 Dec 2026 17:02:00 GMT", MINUTE),
    ],
)  # fmt: skip
def test_what_is_asked_after_too_many_is_kept_within_a_day(said: str, pause: timedelta) -> None:
    with FakeFcm(first_time(failed(429, "RESOURCE_EXHAUSTED", Retry_After=said))) as server:
        answer = channel(server).send(parcel(), ALWAYS)
    assert answer is not None
    assert answer.retry_after == pause


def test_a_push_arrived_if_it_did_on_one_device_and_names_those_that_are_gone() -> None:
    replies = {"old": failed(404, "NOT_FOUND", "UNREGISTERED"), "busy": failed(503, "UNAVAILABLE", Retry_After="9")}
    with FakeFcm(lambda token, visit: replies.get(token, TAKEN)) as server:
        push = channel(server)
        both = push.send(parcel("old", "new", "busy", "new"), ALWAYS)
        none = push.send(parcel("old"), ALWAYS)
        later = push.send(parcel("old", "busy"), ALWAYS)
    assert both is not None
    assert none is not None
    assert later is not None
    assert (both.state, both.gone, both.retry_after) == (SENT, ("old",), timedelta(seconds=9))
    assert {token: answer.state for token, answer in both.parts.items()} == {
        "old": BOUNCED,
        "new": SENT,
        "busy": PENDING,
    }
    assert str(both.provider_id).startswith(f"projects/{PROJECT}/messages/")
    assert (none.state, later.state) == (BOUNCED, PENDING)
    assert [one.token for one in server.accepted] == ["new"]


def test_one_connection_serves_many_pushes() -> None:
    with FakeFcm() as server:
        push = channel(server)
        for _ in range(20):
            push.send(parcel(), ALWAYS)
        push.close()
    assert (server.connections, len(server.accepted)) == (1, 20)


def test_what_is_no_longer_the_sender_s_and_what_has_no_device_and_what_is_too_large_does_not_leave() -> None:
    asked: list[int] = []

    def leaving() -> bool:
        asked.append(1)
        return False

    def of_size(size: int) -> dict[str, Any]:
        empty = {"message": {"notification": {"title": "", "body": ""}}}
        room = size - len(json.dumps(empty, separators=(",", ":")))
        return {"message": {"notification": {"title": "", "body": "x" * room}}}

    with FakeFcm() as server:
        push = channel(server)
        assert push.send(parcel(), leaving) is None
        assert push.send(Parcel("m1", (), MESSAGE), leaving) == Answer(BOUNCED, "no device")
        too_large = push.send(parcel(content=of_size(MOST_BYTES + 1)), leaving)
        assert too_large == Answer(FAILED, "larger than 4096 bytes")
        assert push.send(parcel(content=of_size(MOST_BYTES)), ALWAYS) is not None
        assert push.send(parcel(content={"message": {"data": {"message_id": "\ud800"}}}), ALWAYS) is not None
    assert len(asked) == 1
    assert len(server.accepted) == 2


def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with FakeFcm() as server:
        push = channel(server)
    answer = push.send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.reason, answer.detail) == (PENDING, "no connection", "ConnectError")


def test_a_mail_is_not_a_push() -> None:
    with FakeFcm() as server, pytest.raises(TypeError, match="message m1: a push's content is an FCM message"):
        channel(server).send(parcel(content=b""), ALWAYS)


# --- the service account's token -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return made.private_bytes(encoding, form, serialization.NoEncryption()).decode()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """google-auth waits between its own tries."""
    waits: list[float] = []
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", waits.append)
    return waits


def account(server: FakeFcm, key: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "k1",
        "private_key": key,
        "client_email": "kirim@toko-contoh.example",
        "token_uri": f"{server.url}/token",
    }


def with_account(server: FakeFcm, key: str) -> Push:
    project, token = service_account(account(server, key), 20.0)
    return Push(project, token, lambda: NOW, base_url=server.url)


def test_a_token_is_fetched_once_and_anew_when_fcm_refuses_it(key: str) -> None:
    with FakeFcm(bearer="first") as server:
        push = with_account(server, key)
        answers = [push.send(parcel(), ALWAYS) for _ in range(3)]
        given = server.tokens_given
        server.bearer = "second"
        answers.append(push.send(parcel(), ALWAYS))
    assert [answer.state for answer in answers if answer] == [SENT] * 4
    assert (given, server.tokens_given) == (1, 2)


def test_a_token_that_fcm_refuses_anew_is_said_and_nothing_is_sent(key: str) -> None:
    replies = (Reply(body={"access_token": "wrong", "expires_in": 3600}),) * 2
    with FakeFcm(bearer="right", token_replies=replies) as server:
        answer = with_account(server, key).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.broken) == (PENDING, "FCM does not let this account send: 401 UNAUTHENTICATED")
    assert server.accepted == []


def test_google_s_library_gets_the_headers_too() -> None:
    assert _Reply(httpx.Response(200, headers={"a": "b"})).headers["a"] == "b"


UNWELL = Reply(503, b"busy")
TOKEN_FAULTS: dict[str, tuple[tuple[Reply, ...], bool]] = {
    "refused": ((Reply(400, {"error": "invalid_grant", "error_description": "no such account"}),), True),
    "unwell": ((UNWELL,) * 3, False),
    "closed": ((Reply(how="close"),), False),
    "cut": ((Reply(body={"access_token": "t"}, how="cut"),), False),
    "words": ((Reply(body=b"hello"),), False),
    "bytes": ((Reply(body=b"\xff\xfe"),), False),
    "list": ((Reply(body=[1]),), False),
    "no number": ((Reply(body={"access_token": "t", "expires_in": "soon"}),), False),
    "empty": ((Reply(body={}),), True),
}


@pytest.mark.parametrize("name", sorted(TOKEN_FAULTS))
def test_a_token_s_server_that_goes_wrong_sends_nothing_and_stops_only_on_a_refusal(
    name: str, key: str, no_waiting: list[float]
) -> None:
    replies, broken = TOKEN_FAULTS[name]
    with FakeFcm(bearer="right", token_replies=replies) as server:
        push = with_account(server, key)
        answer = push.send(parcel(), ALWAYS)
        assert answer is not None
        assert (answer.state, answer.reason, server.accepted) == (PENDING, "no token for FCM", [])
        assert (answer.broken is not None) is broken
        again = push.send(parcel(), ALWAYS)
    assert again is not None
    assert again.state == SENT
    assert len(no_waiting) == (2 if name == "unwell" else 0)
