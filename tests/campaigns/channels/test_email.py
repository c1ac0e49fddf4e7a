"""Every way in which an SMTP server can go wrong is understood as what it says about the mail; real sockets."""

import random
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from amounts import many
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from scripted_smtp import KINDS, STAGES, Script, ScriptedSmtp

from campaigns.channels.email import MOST_PER_CONNECTION, Email, Server
from campaigns.channels.parcel import Answer, Parcel
from campaigns.failpoints import arm, disarm
from campaigns.ledger.schema import BOUNCED, FAILED, PENDING, SENT, UNKNOWN

SEEDS = many(1, 20)
PATIENCE, HASTE = 20.0, 0.5  # seconds; haste where the server hangs
ALWAYS = lambda: True  # noqa: E731


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and that of a client who trusts it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(secret + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


def mail(number: int, lines: int = 20) -> bytes:
    text = "".join(f"baris {k}\r\n.titik di depan\r\n" for k in range(lines))
    return f"Message-ID: <m{number}@toko.example>\r\nSubject: Panen\r\n\r\n{text}".encode()


def parcel(number: int = 1, address: str = "siti@pelanggan.example", content: bytes = b"") -> Parcel:
    return Parcel(f"m{number}", (address,), content or mail(number))


def first_time(stage: str, kind: str) -> Script:
    """A fault the first time that a stage is reached; who is called nobody does not exist."""

    def script(reached: str, visit: int, recipient: str) -> str | None:
        if reached == "rcpt" and recipient.startswith("nobody"):
            return "nobody"
        return kind if (reached, visit) == (stage, 0) else None

    return script


def local(server: ScriptedSmtp, timeout: float = PATIENCE, **more: str) -> Server:
    values = {"security": "none", "sender": "promo@toko.example", "hello": "toko.example", **more}
    return Server("localhost", server.port, timeout=timeout, **values)  # type: ignore[arg-type]


BEFORE = {"4xx": PENDING, "5xx": FAILED, "421": PENDING, "close": PENDING, "hang": PENDING, "garbage": PENDING}
EXPECTED: dict[str, dict[str, set[str]]] = {
    # nobody's mail is refused by a server that refuses everybody
    **{stage: {kind: {PENDING} for kind in BEFORE} for stage in ("greeting", "ehlo", "starttls", "auth")},
    # nothing was taken over before the final dot
    **{stage: {kind: {state} for kind, state in BEFORE.items()} for stage in ("mail", "rcpt", "data")},
    # the whole mail has left, unless the server was quicker to close; its reset may swallow a 421
    "body": {
        "4xx": {PENDING}, "5xx": {FAILED}, "421": {PENDING, UNKNOWN},
        "close": {PENDING, UNKNOWN}, "hang": {UNKNOWN}, "garbage": {UNKNOWN},
    },
    "dot": {
        "4xx": {PENDING}, "5xx": {FAILED}, "421": {PENDING},
        "close": {UNKNOWN}, "hang": {UNKNOWN}, "garbage": {UNKNOWN},
    },
    # of a mail to nobody
    "rset": {kind: {BOUNCED} for kind in BEFORE},
    "quit": {kind: {SENT} for kind in BEFORE},
}  # fmt: skip
# An old server does not know EHLO: it is greeted as in 1982. Where it should let us in, that is not enough.
EXPECTED["ehlo"]["5xx"] = {SENT}
for of_stage in EXPECTED.values():
    of_stage["slow"] = {SENT}
EXPECTED["rset"]["slow"] = {BOUNCED}


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_at_each_stage_is_understood_and_the_next_mail_leaves(
    kind: str, pipelining: bool, tls: tuple[ssl.SSLContext, ssl.SSLContext], record_property: Callable[..., None]
) -> None:
    def one(stage: str, seed: int) -> str | None:
        extensions = ("PIPELINING", "8BITMIME") if pipelining else ("8BITMIME",)
        more = {"security": "starttls"} if stage == "starttls" else {}
        more |= {"user": "toko", "password": "rahasia"} if stage == "auth" else {}
        script = first_time(stage, kind)
        users = {"toko": "rahasia"} if stage == "auth" else None
        with ScriptedSmtp(script, seed=seed, tls=tls[0], users=users, extensions=extensions) as server:
            # A server that hangs is waited for a little only; any other as long as a busy machine needs.
            channel = Email(local(server, HASTE if kind == "hang" else PATIENCE, **more), tls[1])
            first = channel.send(parcel(1, "nobody@x.example" if stage == "rset" else "siti@x.example"), ALWAYS)
            if stage == "quit":
                channel.close()
            second = channel.send(parcel(2), ALWAYS)
            channel.close()
        assert first is not None
        assert second is not None
        taken = [accepted.message_id.partition("@")[0] for accepted in server.accepted]
        if first.state not in EXPECTED[stage][kind] or (first.broken and (stage, kind) != ("auth", "5xx")):
            return f"{stage} {kind} {seed}: {first}"
        if second.state != SENT or "m2" not in taken:
            return f"{stage} {kind} {seed}: the next mail: {second}"
        if first.state != UNKNOWN and (first.state == SENT) != ("m1" in taken):
            return f"{stage} {kind} {seed}: {first}, and the server has {taken}"
        if first.state == PENDING and stage == "auth" and kind == "5xx" and not first.broken:
            return f"{stage} {kind} {seed}: a refused password is said: {first}"
        return None

    cases = [(stage, seed) for stage in STAGES for seed in range(SEEDS)]
    with ThreadPoolExecutor(16) as pool:
        wrong = [found for found in pool.map(lambda case: one(*case), cases) if found]
    record_property(f"SMTP faults understood ({kind})", len(cases))
    assert wrong == []


@pytest.mark.parametrize("kind", ["close", "stall"])
def test_a_connection_that_ends_before_the_mail_has_left_has_taken_nothing_over(kind: str) -> None:
    with ScriptedSmtp(first_time("body", kind), receive_buffer=4096) as server:
        channel = Email(local(server, HASTE))
        answer = channel.send(parcel(content=mail(1, 200_000)), ALWAYS)
        assert answer is not None
        assert (answer.state, server.accepted) == (PENDING, [])


def test_a_mail_arrives_as_it_was_written_with_lines_that_begin_with_dots() -> None:
    contents = [mail(1), b".\r\n..\r\n", b"\r\n.", b"", b"no end"]
    with ScriptedSmtp() as server:
        channel = Email(local(server))
        for content in contents:
            assert channel.send(Parcel("m", ("a@b.example",), content or b"\r\n"), ALWAYS) == Answer(SENT, detail="250")
    assert server.mails == [mail(1), b".\r\n..\r\n", b"\r\n.\r\n", b"\r\n", b"no end\r\n"]


def test_one_connection_serves_many_mails_and_a_new_one_follows_before_it_is_worn() -> None:
    with ScriptedSmtp() as server:
        channel = Email(local(server))
        for number in range(MOST_PER_CONNECTION + 1):
            channel.send(parcel(number), ALWAYS)
        channel.close()
    assert len(server.accepted) == MOST_PER_CONNECTION + 1
    assert [one.connection for one in server.accepted[-2:]] == [1, 2]
    assert server.visits["quit"] == 2


def test_a_connection_that_the_server_ended_meanwhile_costs_no_try() -> None:
    with ScriptedSmtp() as server:
        channel = Email(local(server))
        channel.send(parcel(1), ALWAYS)
        (idle,) = server.open
        idle.sendall(b"421 idle for too long\r\n")
        idle.close()
        answer = channel.send(parcel(2), ALWAYS)
    assert answer == Answer(SENT, detail="250")
    assert server.connections == 2


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_what_is_no_longer_the_sender_s_does_not_leave_and_the_next_mail_does(extensions: tuple[str, ...]) -> None:
    with ScriptedSmtp(extensions=extensions) as server:
        channel = Email(local(server))
        assert channel.send(parcel(1), lambda: False) is None
        assert channel.send(parcel(2), ALWAYS) == Answer(SENT, detail="250")
    assert [one.message_id for one in server.accepted] == ["m2@toko.example"]


def test_whether_it_may_leave_is_asked_once_when_nothing_has_left_yet() -> None:
    seen: list[int] = []
    with ScriptedSmtp() as server:

        def leaving() -> bool:
            seen.append(len(server.accepted))
            return True

        channel = Email(local(server))
        channel.send(parcel(1), leaving)
        channel.send(parcel(2, "a@b.example"), leaving)
    assert seen == [0, 1]


def test_a_ledger_that_is_away_leaves_no_conversation_half_done() -> None:
    def away() -> bool:
        raise OSError("the ledger is away")

    with ScriptedSmtp() as server:
        channel = Email(local(server))
        with pytest.raises(OSError, match="ledger"):
            channel.send(parcel(1), away)
        assert channel.send(parcel(2), ALWAYS) == Answer(SENT, detail="250")
    assert [one.message_id for one in server.accepted] == ["m2@toko.example"]


@pytest.mark.parametrize(
    "address",
    ["", "a@b", "a@b.example\r\nRCPT TO:<c@d.example>", "a@b.example, c@d.example", "ä@b.example", "a b@c.example"],
)
def test_what_is_not_one_address_never_reaches_a_server(address: str) -> None:
    with ScriptedSmtp() as server:
        answer = Email(local(server)).send(parcel(1, address), ALWAYS)
    assert answer == Answer(FAILED, "its customer's e-mail is not one address")
    assert server.connections == 0


@pytest.mark.parametrize(
    ("reply", "state", "detail"),
    [
        ("550 5.1.1 no such user", BOUNCED, "550 5.1.1"),
        ("550 no such user", BOUNCED, "550"),
        ("553 bad name", BOUNCED, "553"),
        ("550 5.1.10 null mx", BOUNCED, "550 5.1.10"),
        ("550 5.7.515 not authenticated", FAILED, "550 5.7.515"),
        ("550 5.1.17 what", FAILED, "550 5.1.17"),
        ("554 no", FAILED, "554"),
        ("552-5.2.2 full\r\n552 5.2.2 siti@x.example is full", FAILED, "552 5.2.2"),
        ("452 4.2.2 full for now", PENDING, "452 4.2.2"),
        ("354 go on", PENDING, "354"),
    ],
)
def test_a_refused_recipient_is_gone_or_refused_as_the_reply_s_code_says(reply: str, state: str, detail: str) -> None:
    with ScriptedSmtp(lambda stage, visit, recipient: f"say {reply}" if stage == "rcpt" else None) as server:
        answer = Email(local(server)).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.detail) == (state, detail)
    assert answer.gone == (("recipient",) if state == BOUNCED else ())
    assert "siti" not in f"{answer}"


def test_a_server_that_takes_data_after_it_refused_the_recipient_gets_none() -> None:
    refuse = first_time("rcpt", "nobody")
    with ScriptedSmtp(refuse, careless=True) as server:
        channel = Email(local(server))
        assert channel.send(parcel(1), ALWAYS) == Answer(BOUNCED, "no such mailbox", "550 5.1.1", gone=("recipient",))
        assert channel.send(parcel(2), ALWAYS) == Answer(SENT, detail="250")
    assert [one.message_id for one in server.accepted] == ["m2@toko.example"]
    assert server.connections == 2


@pytest.mark.parametrize("reply", ["250 taken\r\n" * 1, "250-" + "x" * 9000, "250-a\r\n" * 200 + "250 b", "2500 taken"])
def test_only_a_whole_reply_says_that_a_mail_was_taken(reply: str) -> None:
    with ScriptedSmtp(lambda stage, visit, recipient: f"say {reply.strip()}" if stage == "dot" else None) as server:
        answer = Email(local(server)).send(parcel(), ALWAYS)
    assert answer is not None
    assert answer.state == (SENT if reply == "250 taken\r\n" else UNKNOWN)


@pytest.mark.parametrize(
    ("stage", "reply", "state"),
    [("data", "250 go on", PENDING), ("dot", "354 go on", UNKNOWN), ("mail", "354 x", PENDING)],
)
def test_a_reply_that_does_not_belong_to_its_question_ends_the_connection(stage: str, reply: str, state: str) -> None:
    with ScriptedSmtp(first_time(stage, f"say {reply}")) as server:
        channel = Email(local(server))
        answer = channel.send(parcel(1), ALWAYS)
        assert answer is not None
        assert answer.state == state
        assert channel.send(parcel(2), ALWAYS) == Answer(SENT, detail="250")
    assert server.connections == 2


def test_a_connection_that_breaks_between_two_commands_has_taken_nothing_over() -> None:
    with ScriptedSmtp(extensions=()) as server:
        channel = Email(local(server))
        channel.send(parcel(1), ALWAYS)
        arm("email.sender", channel._smtp.close)  # type: ignore[union-attr]
        answer = channel.send(parcel(2), ALWAYS)
        disarm()
    assert answer is not None
    assert (answer.state, len(server.accepted)) == (PENDING, 1)


def test_a_server_of_others_takes_our_mails() -> None:
    got: list[Envelope] = []

    class Handler:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
            got.append(envelope)
            return "250 ok"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        channel = Email(Server("127.0.0.1", port, "none", sender="promo@toko.example", hello="toko.example"))
        assert [channel.send(parcel(n), ALWAYS) for n in (1, 2)] == [Answer(SENT, detail="250")] * 2
        channel.close()
    finally:
        controller.stop()
    assert [one.content for one in got] == [mail(1), mail(2)]
    assert [one.rcpt_tos for one in got] == [["siti@pelanggan.example"]] * 2


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["4xx", "421", "garbage", "close"])
def test_a_server_that_is_busy_when_greeted_is_tried_again_and_breaks_nothing(kind: str) -> None:
    with ScriptedSmtp(lambda stage, visit, recipient: kind if stage == "auth" else None, users={"u": "p"}) as server:
        answer = Email(local(server, user="u", password="p")).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.broken) == (PENDING, None)


def test_a_mail_goes_over_a_connection_that_is_encrypted_from_its_first_byte(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    with ScriptedSmtp(tls=tls[0], tls_first=True, users={"toko": "rahasia"}) as server:
        channel = Email(local(server, security="tls", user="toko", password="rahasia"), tls[1])
        assert [channel.send(parcel(n), ALWAYS) for n in (1, 2)] == [Answer(SENT, detail="250")] * 2
        channel.close()
    assert server.connections == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"security": "starttls"}, "no secure connection: CERTIFICATE_VERIFY_FAILED"),
        ({"user": "toko", "password": "salah"}, "user and password are refused"),
        ({"user": "toko", "password": "rahasía"}, "host, user and password can hold only ASCII characters"),
    ],
)
def test_what_only_somebody_s_hand_can_mend_is_said_and_says_no_secret(
    more: dict[str, str], words: str, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    with ScriptedSmtp(tls=tls[0], users={"toko": "rahasia"}) as server:
        settings = local(server, **more)
        answer = Email(settings).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.broken) == (PENDING, words)
    assert "rahas" not in repr(settings)


def test_a_server_that_offers_no_encryption_gets_no_mail() -> None:
    with ScriptedSmtp() as server:
        answer = Email(local(server, security="starttls")).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, server.accepted) == (PENDING, [])
    assert str(answer.broken).startswith("the server does not offer what is asked: STARTTLS")


def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with ScriptedSmtp() as server:
        settings = local(server)
    answer = Email(settings).send(parcel(), ALWAYS)
    assert answer == Answer(PENDING, "no connection", "ConnectionRefusedError")
    Email(settings).close()


def test_a_handshake_that_breaks_off_is_tried_again(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with ScriptedSmtp(
        lambda stage, visit, recipient: "close after" if stage == "starttls" else None, tls=tls[0]
    ) as server:
        answer = Email(local(server, security="starttls"), tls[1]).send(parcel(), ALWAYS)
    assert answer is not None
    assert (answer.state, answer.broken) == (PENDING, None)


def test_a_push_is_not_a_mail() -> None:
    with pytest.raises(TypeError, match="message m1: a mail's content is bytes"):
        Email(Server("localhost")).send(Parcel("m1", ("a@b.example",), {}), ALWAYS)


def test_faults_at_random_never_lose_or_double_what_was_said_to_be_sent(record_property: Callable[..., None]) -> None:
    """Each mail is tried again while the answer says that it was certainly not taken."""
    dice = random.Random(7)
    faults = [kind for kind in KINDS if kind not in ("hang", "slow")]
    plan = {(stage, visit): dice.choice(faults) for stage in STAGES for visit in range(400) if dice.random() < 0.1}
    with ScriptedSmtp(lambda stage, visit, recipient: plan.get((stage, visit))) as server:
        channel = Email(local(server))
        states: dict[int, str] = {}
        for number in range(many(150, 400)):
            answer = None
            for _ in range(30):
                answer = channel.send(parcel(number), ALWAYS)
                if answer is None or answer.state != PENDING:
                    break
            assert answer is not None
            states[number] = answer.state
        channel.close()
    taken = [int(one.message_id[1:].partition("@")[0]) for one in server.accepted]
    assert len(taken) == len(set(taken))
    assert {number for number, state in states.items() if state == SENT} <= set(taken)
    assert all(states[number] in (SENT, UNKNOWN) for number in taken)
    record_property("mails through faults at random", len(states))
