"""`larisma deliver` and what steers it, as commands; real mail over SMTP; and what is due, sent by the flow."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from campaigns.calendar import occurrence_instant
from campaigns.ledger.schema import FINISHED
from flows import cli
from flows.approving.approvals import approve
from flows.campaign_files import find_campaign
from flows.delivering.delivery import deliver_campaign
from flows.delivering.due import due_runs
from flows.delivering.run import find_run
from flows.delivering.settings import EmailServer
from flows.delivering.signals import asked_to_end
from flows.settings import Settings

ONLY_MAIL = ("  push: {capacity: 20, message_cost: 10, placements: {push: 1}, response: 0.6}\n", "")


class Mailbox:
    """Takes every mail; refuses those to who is not there."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []
        self.gone: set[str] = set()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if address in self.gone:
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails += [(address, envelope.content) for address in envelope.rcpt_tos]
        return "250 OK"


class Impatient(Event):
    """Every wait is short: it lets others run."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0.02)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture
def mailing(copied: Any, mailbox: tuple[Mailbox, int]) -> Any:
    """The shop with mail alone, approved, and settings for a server in this process."""
    copied.edit_campaign(*ONLY_MAIL)
    approve(copied.workspace, copied.settings, find_campaign(copied.workspace, "panen"), "Sari", copied.as_of)
    shop = copied.decide()
    email = EmailServer(host="127.0.0.1", port=mailbox[1], security="none", sender="promo@toko.example", connections=2)
    return shop, shop.settings.model_copy(update={"email": email})


def delivered(shop: Any, settings: Settings, **more: Any) -> dict[str, Any]:
    """On the day of sending; every wait is over at once."""
    at = [occurrence_instant(shop.manifest["occurrence"])]

    def wait(seconds: float) -> None:
        at[0] += timedelta(seconds=seconds)

    return deliver_campaign(shop.workspace, settings, "panen", live=True, clock=lambda: at[0], wait=wait, **more)


def test_mail_goes_over_smtp_to_each_address_once(mailing: Any, mailbox: tuple[Mailbox, int]) -> None:
    shop, settings = mailing
    result = delivered(shop, settings)
    assert result["state"] == FINISHED
    people = {row["customer_id"]: row["email"] for row in _customers(shop)}
    messages = shop.rows("messages")
    assert sorted(address for address, _ in mailbox[0].mails) == sorted(people[row["customer_id"]] for row in messages)
    mails = [message_from_bytes(content) for _, content in mailbox[0].mails]
    assert {mail["Message-ID"] for mail in mails} == {f"<{row['message_id']}@toko.example>" for row in messages}
    assert all(mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" for mail in mails)
    assert delivered(shop, settings)["channels"] == result["channels"]
    assert len(mailbox[0].mails) == len(messages)


def test_a_mailbox_that_is_gone_is_not_written_to_again(mailing: Any, mailbox: tuple[Mailbox, int]) -> None:
    shop, settings = mailing
    first = shop.rows("messages")[0]
    address = next(row["email"] for row in _customers(shop) if row["customer_id"] == first["customer_id"])
    mailbox[0].gone.add(address)
    result = delivered(shop, settings)
    assert ["bounced", "no such mailbox", 1] in result["reasons"]
    assert address not in [to for to, _ in mailbox[0].mails]
    from campaigns.ledger import address_hash, suppressed
    from flows.delivering.ledgers import open_for
    from flows.keys import workspace_keys

    ledger = open_for(shop.workspace, settings, True, shop.clock)
    hashed = address_hash(address, workspace_keys(shop.workspace, settings).addresses)
    assert suppressed(ledger, [hashed], "email") == {hashed: "hard bounce"}
    ledger.close()


def _customers(shop: Any) -> list[dict[str, Any]]:
    from flows.workspace import read_table

    return read_table(shop.workspace, "customers").to_pylist()


# --- what is due -----------------------------------------------------------------------------------------------------


def test_what_was_approved_is_sent_when_its_time_has_come_and_fired_again_nothing_happens(
    mailing: Any, mailbox: tuple[Mailbox, int]
) -> None:
    from flows.deliver import send_due

    shop, settings = mailing
    due = occurrence_instant(shop.manifest["occurrence"])
    early = due - timedelta(minutes=1)
    assert due_runs(shop.workspace, settings, early) == ([], [])
    assert send_due(shop.workspace, settings, clock=lambda: early, ending=Impatient()) == {
        "delivered": [],
        "waiting": [],
    }
    for _ in range(3):
        send_due(shop.workspace, settings, clock=lambda: due, ending=Impatient())
    assert len(mailbox[0].mails) == len(shop.rows("messages"))
    late = due + timedelta(days=3)
    assert due_runs(shop.workspace, settings, late) == ([], [])


def test_what_is_due_and_not_approved_waits_and_says_so(copied: Any) -> None:
    due = occurrence_instant(copied.manifest["occurrence"])
    firings, waiting = due_runs(copied.workspace, copied.settings, due)
    assert firings == []
    assert "nobody has approved it" in waiting[0]


def test_what_breaks_off_fails_the_flow_at_its_end(mailing: Any) -> None:
    from flows.deliver import send_due
    from flows.workspace import RunError

    shop, settings = mailing
    due = occurrence_instant(shop.manifest["occurrence"])
    with pytest.raises(RunError, match=r"panen .*nothing to send by"):
        send_due(shop.workspace, settings.model_copy(update={"email": None}), clock=lambda: due, ending=Impatient())


# --- as commands -----------------------------------------------------------------------------------------------------


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.run(list(words))
    return code, "".join(capsys.readouterr())


def test_a_rehearsal_by_command_says_what_it_wrote_and_what_comes_next(
    copied: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(copied.workspace.root)
    code, text = said(capsys, "deliver", "panen", "--workspace", place)
    assert code == 0
    assert "nothing was sent" in text
    assert "care-sheet.html" in text
    assert f"larisma deliver panen --live --workspace {place}" in text
    code, text = said(capsys, "deliver", "panen", "--workspace", place, "--json")
    found = json.loads(text)
    assert (code, found["state"], found["live"]) == (0, FINISHED, False)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["deliver", "panen", "--live"], "nothing to send by"),
        (["deliver", "paen"], "did you mean panen"),
        (["deliver", "panen", "--occurrence", "20170101t000000z"], "no run 20170101t000000z; it has 2017"),
        (["deliver", "panen", "--occurrence", "yesterday"], "expected a name such as"),
        (["pause", "panen"], "nothing of it is being sent"),
        (["offer", "pause", "panen", "keju"], "no offer 'keju'; it has kopi"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    copied: Any, capsys: pytest.CaptureFixture[str], words: list[str], fault: str
) -> None:
    code, text = said(capsys, *words, "--workspace", str(copied.workspace.root))
    assert code == 2
    assert fault in text.replace("\n", " ")


def test_an_offer_is_paused_and_resumed_by_command(copied: Any, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--workspace", str(copied.workspace.root)]
    assert "paused kopi" in said(capsys, "offer", "pause", "panen", "kopi", "--reason", "habis", *place)[1]
    found = json.loads(said(capsys, "offer", "pause", "panen", "kopi", "--json", *place)[1])
    assert found == {"campaign": "panen", "offer": "kopi", "changed": False, "paused": ["kopi"]}
    assert "may be sent again" in said(capsys, "offer", "resume", "panen", "kopi", *place)[1]


def test_a_delivery_is_steered_by_command(mailing: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shop, settings = mailing
    delivered(shop, settings, asked=lambda: True)
    place = ["--workspace", str(shop.workspace.root)]
    assert "nothing more is claimed" in said(capsys, "pause", "panen", *place)[1]
    found = json.loads(said(capsys, "resume", "panen", "--json", *place)[1])
    assert (found["before"], found["state"]) == ("paused", "running")
    assert "messages are not sent" in said(capsys, "cancel", "panen", *place)[1]
    code, text = said(capsys, "resume", "panen", *place)
    assert (code, "cannot become running" in text) == (1, True)


# --- being asked to end ----------------------------------------------------------------------------------------------


def test_the_first_signal_asks_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with asked_to_end() as ending:
        assert not ending.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert ending.wait(5)
        assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_live_delivery_that_is_asked_to_end_says_how_to_go_on(mailing: Any, tmp_path: Path) -> None:
    """As a process of its own: one mail a minute, so that it has something to wait for."""
    shop, settings = mailing
    now = datetime.now(UTC)
    script = tmp_path / "deliver.py"
    script.write_text(
        "import sys\n"
        "from datetime import timedelta\n"
        "import flows.commands.delivery as delivery\n"
        "from flows import cli\n"
        "late = timedelta(seconds=float(sys.argv[1]))\n"
        "real = delivery.datetime\n"
        "class Then(real):\n"
        "    @classmethod\n"
        "    def now(cls, zone=None):\n"
        "        return real.now(zone) - late\n"
        "delivery.datetime = Then\n"
        "print('begun', flush=True)\n"
        "code = cli.run(sys.argv[2:])\n"
        "sys.exit(code)\n",
        encoding="utf-8",
    )
    away = (now - occurrence_instant(shop.manifest["occurrence"])).total_seconds()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "LARISMA_"))} | {
        "PYTHONUNBUFFERED": "1",
        "LARISMA_EMAIL__HOST": "127.0.0.1",
        "LARISMA_EMAIL__PORT": str(settings.email.port),
        "LARISMA_EMAIL__SECURITY": "none",
        "LARISMA_EMAIL__SENDER": "promo@toko.example",
        "LARISMA_EMAIL__PER_MINUTE": "1",
    }
    words = ["deliver", "panen", "--live", "--workspace", str(shop.workspace.root)]
    process = subprocess.Popen(
        [sys.executable, str(script), str(away), *words], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "into the ledger" in line:
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stdout.read()
    assert process.wait(60) == 0
    assert "goes on where it was" in rest
    run = find_run(shop.workspace, "panen")
    assert delivered(shop, settings)["channels"]["email"]["sent"] == len(run.messages)


def test_a_delivery_s_last_line_says_what_became_of_its_messages(
    mailing: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.commands import delivery

    channels = {"email": {"sent": 1200, "expired": 30}, "push": {"sent": 34, "unknown": 1}}
    told = {"campaign": "panen", "occurrence": "20261211t170000z", "live": True, "state": "finished", "reason": None}
    delivery._show({**told, "channels": channels, "reasons": [], "unknown": [], "wrote": []}, mailing[0].workspace.root)
    assert "panen is done: 1.234 sent, 30 expired, 1 unknown" in "".join(capsys.readouterr())
