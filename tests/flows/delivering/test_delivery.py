"""A delivery as a whole, against a channel that writes down what it is handed."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes
from importlib import import_module
from itertools import count
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from campaigns.calendar import due_occurrence
from campaigns.channels.parcel import Answer
from campaigns.ledger import LedgerError, claim, mark, opt_out, pause_offer, resume_offer
from campaigns.ledger.history import balances, sent_to
from campaigns.ledger.schema import BOUNCED, EXPIRED, FINISHED, PENDING, RUNNING, SENT, UNKNOWN
from campaigns.ledger.store import instant_of
from flows.campaign_files import find_campaign
from flows.decide import decide_night
from flows.delivering.delivery import deliver_campaign
from flows.delivering.steering import steer
from flows.status import workspace_status
from flows.workspace import read_json
from recsys.tables import InputError

GREETING = """
  id: &words
    subject: Selamat, {{ customer.called }}
    heading: "{{ customer.greeting }}"
    intro: Terima kasih.
    push_title: Selamat
    push_body: Terima kasih.
  en: *words
"""


def total(result: dict[str, Any]) -> int:
    return sum(n for states in result["channels"].values() for n in states.values())


def states(result: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for channel in result["channels"].values():
        for state, n in channel.items():
            found[state] = found.get(state, 0) + n
    return found


def test_everybody_gets_one_message_and_started_again_nobody_gets_another(going: Any) -> None:
    first = going.deliver()
    assert first["state"] == FINISHED
    assert states(first) == {SENT: len(going.run.messages)}
    assert sorted(going.by.names) == sorted(going.run.messages["message_id"].to_pylist())
    assert [going.deliver()["channels"] for _ in range(3)] == [first["channels"]] * 3
    assert len(going.by.taken) == len(going.run.messages)


def test_rows_in_are_rows_out_and_the_accounts_add_up(going: Any) -> None:
    result = going.deliver()
    assert total(result) == len(going.run.messages)
    ledger = going.ledger()
    assert balances(ledger)
    for one in balances(ledger):
        assert one.drift == 0
        assert one.used <= one.ceiling
    ledger.close()


def test_eight_that_fire_at_once_send_each_message_once(going: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(going.deliver) for _ in range(8)]
        results = [task.result() for task in tasks]
    assert sorted(going.by.names) == sorted(going.run.messages["message_id"].to_pylist())
    assert {result["state"] for result in results} <= {RUNNING, FINISHED}
    assert going.deliver()["state"] == FINISHED


def test_a_mail_bears_its_own_signed_link_in_its_text_and_in_its_headers(going: Any) -> None:
    going.deliver()
    (parcel,) = [one for one in going.by.taken if one.message_id == going.message("email")["message_id"]]
    mail = message_from_bytes(parcel.content)
    link = mail["List-Unsubscribe"].strip("<>")
    assert link.startswith(f"https://toko.example/berhenti/{parcel.message_id}.")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    texts = [part.get_payload(decode=True).decode() for part in mail.walk() if not part.is_multipart()]
    assert all(link in text for text in texts)
    assert mail["From"].endswith("<promo@toko.example>")
    assert "Toko Uji" in mail["From"]


# --- what must hold before anything is sent --------------------------------------------------------------------------


def test_a_run_whose_files_were_changed_is_not_sent(going: Any) -> None:
    path = going.run.folder / "messages.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for live in (True, False):
        with pytest.raises(InputError, match=r"messages\.parquet is not what was decided"):
            going.deliver(live=live)
    assert going.by.taken == []


def test_what_nobody_approved_is_rehearsed_but_not_sent(going: Any) -> None:
    (going.workspace.root / "approvals" / "panen.json").unlink()
    with pytest.raises(InputError, match="nobody has approved it"):
        going.deliver()
    assert going.rehearse()["state"] == FINISHED
    assert going.by.taken == []


def test_a_campaign_that_changed_since_it_was_approved_is_not_sent(going: Any) -> None:
    going.shop.edit_campaign("budgets: {retailer: 150000", "budgets: {retailer: 150001")
    with pytest.raises(InputError, match="has changed since"):
        going.deliver()


def test_without_a_server_nothing_is_sent_and_the_missing_keys_are_named(going: Any) -> None:
    going.set(email=None, push=None)
    with pytest.raises(InputError, match=r"LARISMA_EMAIL__HOST.*LARISMA_PUSH__SERVICE_ACCOUNT"):
        going.deliver()


def test_a_run_whose_time_is_over_is_refused(going: Any) -> None:
    going.clock.at += timedelta(hours=40)
    with pytest.raises(InputError, match="nothing of it is sent any more"):
        going.deliver()
    assert going.by.taken == []


def test_what_is_late_expires_and_is_never_sent(going: Any) -> None:
    going.by.before = lambda n: setattr(going.clock, "at", going.due + timedelta(hours=40)) if n == 10 else None
    result = going.deliver()
    assert result["state"] == FINISHED
    assert states(result)["expired"] >= len(going.run.messages) - 11
    assert len(going.by.taken) <= 11


def test_what_is_being_sent_is_not_decided_anew(going: Any) -> None:
    going.deliver(asked=lambda: True)
    with pytest.raises(InputError, match="its sending has begun"):
        going.shop.decide()
    campaign = find_campaign(going.workspace, "panen")
    due = [(campaign, due_occurrence(campaign.schedule, going.shop.as_of))]
    night = decide_night(going.workspace, going.shop.settings, going.due.date(), due, going.shop.as_of)
    assert night["campaigns"] == []
    assert going.deliver()["state"] == FINISHED


def test_a_run_that_was_replaced_all_the_same_is_refused(going: Any) -> None:
    going.deliver(asked=lambda: True)
    going.run.folder.joinpath("manifest.json").write_text(
        json.dumps({**going.run.manifest, "code": "another"}), encoding="utf-8"
    )
    with pytest.raises(LedgerError, match="from another run"):
        going.deliver()
    assert going.by.taken == []


# --- from another terminal -------------------------------------------------------------------------------------------


def test_a_pause_is_heeded_and_a_resumed_delivery_sends_the_rest_once(going: Any) -> None:
    def pause(handed: int) -> None:
        if handed == 5:
            steer(going.workspace, going.settings, "panen", "paused", going.clock.at, reason="price is wrong")
        going.clock.at += timedelta(seconds=1)

    going.by.before = pause
    first = going.deliver()
    assert (first["state"], first["reason"]) == ("paused", "price is wrong")
    assert len(going.by.taken) < 12
    assert states(first)[PENDING] == len(going.run.messages) - len(going.by.taken)
    going.by.before = lambda _: None
    assert going.deliver()["state"] == "paused"
    assert steer(going.workspace, going.settings, "panen", "running", going.clock.at)["before"] == "paused"
    assert going.deliver()["state"] == FINISHED
    assert sorted(going.by.names) == sorted(going.run.messages["message_id"].to_pylist())


def test_what_waits_in_a_cancelled_delivery_is_skipped_for_good(going: Any) -> None:
    def cancel(handed: int) -> None:
        if handed == 5:
            steer(going.workspace, going.settings, "panen", "cancelled", going.clock.at)
        going.clock.at += timedelta(seconds=1)

    going.by.before = cancel
    result = going.deliver()
    assert result["state"] == "cancelled"
    assert states(result) == {
        SENT: len(going.by.taken),
        "skipped": len(going.run.messages) - len(going.by.taken),
    }
    with pytest.raises(LedgerError, match="cannot become running"):
        steer(going.workspace, going.settings, "panen", "running", going.clock.at)


def test_a_campaign_of_which_nothing_is_sent_cannot_be_paused(going: Any) -> None:
    with pytest.raises(InputError, match="nothing of it is being sent"):
        steer(going.workspace, going.settings, "panen", "paused", going.clock.at)


def test_a_process_that_is_asked_to_end_puts_back_what_it_has_in_hand(going: Any) -> None:
    result = going.deliver(asked=lambda: len(going.by.taken) >= 7)
    assert result["state"] == RUNNING
    assert states(result) == {SENT: len(going.by.taken), PENDING: len(going.run.messages) - len(going.by.taken)}
    assert 7 <= len(going.by.taken) <= 8
    assert going.deliver()["state"] == FINISHED
    assert sorted(going.by.names) == sorted(going.run.messages["message_id"].to_pylist())


def test_an_offer_that_is_paused_waits_while_the_others_are_sent(going: Any) -> None:
    with_tea = {row["customer_id"] for row in going.shop.rows("decisions", arm="treatment", offer_id="teh")}
    ledger = going.ledger()
    pause_offer(ledger, "panen", "teh", going.clock.at)

    def resume(taken: int) -> None:
        if going.clock.at > going.due + timedelta(hours=2):
            resume_offer(ledger, "panen", "teh")

    customers = dict(
        zip(going.run.messages["message_id"].to_pylist(), going.run.messages["customer_id"].to_pylist(), strict=True)
    )
    result = going.deliver(asked=lambda: going.clock.at > going.due + timedelta(minutes=30))
    assert with_tea
    assert not with_tea & {customers[name] for name in going.by.names}
    assert states(result)[PENDING] == len(with_tea)
    resume_offer(ledger, "panen", "teh")
    ledger.close()
    assert going.deliver()["state"] == FINISHED
    assert with_tea <= {customers[name] for name in going.by.names}


@pytest.mark.parametrize("per_minute", [None, 6.0], ids=["in a group of fifty", "one by one"])
def test_whoever_says_no_while_it_is_sent_gets_nothing_any_more(going: Any, per_minute: float | None) -> None:
    ledger = going.ledger()
    refused: list[str] = []

    def say_no(parcel: Any) -> Answer:
        if isinstance(parcel.content, bytes) and going.by.taken and not refused:  # the connection of mails waits here
            for row in going.shop.rows("messages", channel="email"):
                if row["message_id"] not in going.by.names:
                    opt_out(ledger, row["customer_id"], "email", "link", going.clock.at)
                    refused.append(row["message_id"])
        return Answer(SENT, detail="250")

    going.set(email=going.settings.email.model_copy(update={"per_minute": per_minute}))
    going.by.answers = say_no
    result = going.deliver()
    ledger.close()
    assert len(refused) > 1
    assert not set(refused) & set(going.by.names)
    assert ["skipped", "opted out", len(refused)] in result["reasons"]
    assert result["state"] == FINISHED
    assert going.clock.at < going.due + timedelta(seconds=60)  # nothing had to wait for a lease to end


@pytest.mark.parametrize("asked", ["job.state_of", "job.complaints", "desk.seen_by"])
def test_a_ledger_that_does_not_answer_is_waited_for_whatever_it_is_asked(
    going: Any, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = asked.split(".")
    module = import_module(f"flows.delivering.{module}")
    answers, calls = getattr(module, name), count(1)

    def away(*given: Any) -> Any:
        if next(calls) in (1, 3):
            raise OperationalError("select 1", None, Exception("the server closed the connection"))
        return answers(*given)

    monkeypatch.setattr(module, name, away)
    assert going.deliver()["state"] == FINISHED
    assert sorted(going.by.names) == sorted(going.run.messages["message_id"].to_pylist())
    assert next(calls) > 1


# --- what stops it ---------------------------------------------------------------------------------------------------


def test_mails_that_nobody_takes_stop_it_and_suppress_the_addresses(going: Any) -> None:
    going.by.answers = lambda parcel: Answer(
        BOUNCED if isinstance(parcel.content, bytes) else SENT, "no such mailbox", "550 5.1.1", gone=("recipient",)
    )
    result = going.deliver()
    assert result["state"] == "stopped"
    assert "bounced for good" in result["reason"]
    assert result["channels"]["email"][BOUNCED] == 6
    assert going.deliver()["state"] == "stopped"
    steer(going.workspace, going.settings, "panen", "running", going.clock.at)
    going.by.answers = lambda _: Answer(SENT)
    again = going.deliver()
    assert again["channels"]["email"][BOUNCED] == 6


def test_a_password_that_is_refused_stops_it_and_no_message_is_lost(going: Any) -> None:
    going.by.answers = lambda _: Answer(PENDING, "refused at the door", "535", broken="user and password are refused")
    result = going.deliver()
    assert (result["state"], result["reason"]) == ("stopped", "user and password are refused")
    assert states(result) == {PENDING: len(going.run.messages)}
    steer(going.workspace, going.settings, "panen", "running", going.clock.at)
    going.by.answers = lambda _: Answer(SENT)
    assert states(going.deliver()) == {SENT: len(going.run.messages)}


def test_complaints_stop_it(going: Any) -> None:
    from campaigns.ledger import take_event

    ledger = going.ledger()

    def complain(handed: int) -> None:
        if handed >= 20:
            for name in going.by.names[:3]:
                take_event(ledger, f"of {name}", "complaint", name, going.clock.at)
        going.clock.at += timedelta(seconds=20)

    going.by.before = complain
    result = going.deliver()
    ledger.close()
    assert result["state"] == "stopped"
    assert "3 of" in result["reason"]
    assert "complained of" in result["reason"]


def test_what_its_time_ends_for_while_the_server_hesitates_does_not_leave(going: Any) -> None:
    over = instant_of(int(going.run.instants("send_before").max()))

    def hesitate(_: Any) -> Answer:
        going.clock.at = max(going.clock.at, over)
        return Answer(SENT)

    going.by.answers = hesitate
    assert states(going.deliver()) == {EXPIRED: len(going.run.messages)}
    assert going.by.names == []


def test_what_is_sent_says_when_it_left_not_when_the_server_answered(going: Any) -> None:
    answered = {}
    take = going.by.send

    def slowly(parcel: Any, leaving: Any) -> Answer | None:
        answer: Answer | None = take(parcel, leaving)
        going.clock.at += timedelta(minutes=5)
        answered[parcel.message_id] = going.clock.at
        return answer

    going.by.send = slowly
    going.deliver()
    ledger = going.ledger()
    customers = set(going.run.messages["customer_id"].to_pylist())
    kept = {one["message_id"]: one["changed_at"] for who in customers for one in sent_to(ledger, who)}
    ledger.close()
    assert kept.keys() == answered.keys()
    assert all(kept[one] <= at - timedelta(minutes=5) for one, at in answered.items())


# --- what is refused for now, and what nobody knows ------------------------------------------------------------------


def test_what_is_refused_for_now_is_tried_again_and_sent_once(going: Any) -> None:
    tries: dict[str, list[Any]] = {}

    def answers(parcel: Any) -> Answer:
        tries.setdefault(parcel.message_id, []).append(going.clock.at)
        return Answer(SENT) if len(tries[parcel.message_id]) == 3 else Answer(PENDING, "refused for now", "451")

    going.by.answers = answers
    result = going.deliver()
    assert states(result) == {SENT: len(going.run.messages)}
    assert sorted(going.by.names) == sorted(going.run.messages["message_id"].to_pylist())
    for one in tries.values():
        assert one[1] - one[0] >= timedelta(seconds=30)
        assert one[2] - one[1] >= timedelta(seconds=60)


def test_a_channel_that_asks_for_time_gets_it(going: Any) -> None:
    asked: list[Any] = []

    def answers(parcel: Any) -> Answer:
        if not isinstance(parcel.content, bytes) and not asked:
            asked.append((parcel.message_id, going.clock.at))
            return Answer(PENDING, "too many at once", "429", retry_after=timedelta(minutes=10))
        if not isinstance(parcel.content, bytes):
            assert going.clock.at >= asked[0][1] + timedelta(minutes=10)
        return Answer(SENT)

    going.by.answers = answers
    assert states(going.deliver()) == {SENT: len(going.run.messages)}
    assert asked


def test_a_server_that_is_away_is_left_in_peace_and_no_try_is_used_up(going: Any) -> None:
    tried: list[Any] = []

    def answers(parcel: Any) -> Answer:
        if going.clock.at < going.due + timedelta(minutes=30):
            tried.append(parcel.message_id)
            return Answer(PENDING, "no connection", "ConnectionRefusedError")
        return Answer(SENT)

    going.by.answers = answers
    going.set(delivery=going.settings.delivery.model_copy(update={"tries": 5}))
    assert states(going.deliver()) == {SENT: len(going.run.messages)}
    assert len(tried) < 100


def test_a_message_that_is_refused_for_now_too_often_is_given_up(going: Any) -> None:
    going.by.answers = lambda _: Answer(PENDING, "refused for now", "451")
    going.set(delivery=going.settings.delivery.model_copy(update={"tries": 3}))
    result = going.deliver()
    assert result["state"] == FINISHED
    assert states(result) == {"failed": len(going.run.messages)}
    assert {reason for _, reason, _ in result["reasons"]} == {"given up: refused for now"}


def test_what_nobody_knows_of_is_listed_and_not_sent_again(going: Any) -> None:
    going.by.answers = lambda parcel: Answer(UNKNOWN, "no answer") if parcel.message_id < "4" else Answer(SENT)
    result = going.deliver()
    doubtful = sorted(name for name in going.run.messages["message_id"].to_pylist() if name < "4")
    assert result["unknown"] == doubtful
    going.by.answers = lambda _: Answer(SENT)
    assert going.deliver()["unknown"] == doubtful
    assert not set(doubtful) & set(going.by.names)


# --- the care sheet and a rehearsal ----------------------------------------------------------------------------------


def test_the_care_sheet_says_what_goes_out_and_names_nobody(going: Any) -> None:
    going.set(delivery=going.settings.delivery.model_copy(update={"ask": "Rina, 1204"}))
    html, data = going.deliver()["wrote"]
    sheet = (
        read_json(going.workspace.root / data) if not data.startswith("/") else read_json(type(going.run.folder)(data))
    )
    assert sheet["live"]
    assert sum(wave["messages"] for wave in sheet["waves"]) == len(going.run.messages)
    assert sheet["ask"] == "Rina, 1204"
    given = {row["offer_id"] for row in going.shop.rows("decisions", arm="treatment")}
    assert {offer["id"] for offer in sheet["offers"]} == given
    page = type(going.run.folder)(html).read_text(encoding="utf-8")
    assert "Rina, 1204" in page
    assert "pelanggan.example" not in page + str(sheet)
    assert not any(name in page for name in going.run.messages["customer_id"].to_pylist())


def test_a_rehearsal_writes_every_message_as_a_file_and_sends_none(going: Any) -> None:
    result = going.rehearse()
    assert states(result) == {SENT: len(going.run.messages)}
    folder = going.workspace.rehearsal(*going.run.firing)
    files = {path.stem for ending in ("eml", "json") for path in folder.glob(f"*/*/*.{ending}")}
    assert files == set(going.run.messages["message_id"].to_pylist())
    tokens = {token for row in going.shop.rows("messages") for token in [f"token-{row['customer_id']}"]}
    assert not any(token in path.read_text() for path in folder.glob("push/*/*.json") for token in tokens)
    assert going.by.taken == []
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.eml")}
    assert going.rehearse()["channels"] == result["channels"]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.eml")} == before
    assert states(going.deliver()) == {SENT: len(going.run.messages)}


def test_a_rehearsal_that_was_killed_over_a_file_writes_it_anew(going: Any) -> None:
    going.rehearse(asked=lambda: True)
    ledger = going.ledger(live=False)
    lost = claim(ledger, *going.run.firing, "email", "dead", 2, going.clock.at, timedelta(seconds=60))
    assert all(mark(ledger, one) for one in lost)
    ledger.close()
    result = going.rehearse()
    assert states(result) == {SENT: len(going.run.messages)}
    folder = going.workspace.rehearsal(*going.run.firing) / "email"
    assert {one.message_id for one in lost} <= {path.stem for path in folder.rglob("*.eml")}


def test_a_rehearsal_of_a_run_decided_anew_starts_over(going: Any) -> None:
    going.rehearse()
    going.shop.edit_campaign("email: {capacity: 45", "email: {capacity: 30")
    going.shop.decide()
    result = going.rehearse()
    assert total(result) == len(going.run.messages) < 65
    folder = going.workspace.rehearsal(*going.run.firing)
    assert len(list(folder.rglob("*.eml"))) + len(list(folder.glob("push/*/*.json"))) == total(result)


def test_a_rehearsal_heeds_who_has_really_said_no(going: Any) -> None:
    one = going.message("email")
    ledger = going.ledger()
    opt_out(ledger, one["customer_id"], "all", "link", going.clock.at)
    ledger.close()
    assert ["skipped", "opted out", 1] in going.rehearse()["reasons"]


def test_a_rehearsal_takes_no_time_however_slow_the_pace(going: Any) -> None:
    going.set(email=going.settings.email.model_copy(update={"per_minute": 1.0}))
    waits: list[float] = []
    result = going.rehearse(wait=waits.append)
    assert states(result)[SENT] == len(going.run.messages)
    assert waits == []


def test_a_sender_that_was_killed_is_taken_over_when_its_lease_ends(going: Any) -> None:
    going.deliver(asked=lambda: True)
    ledger = going.ledger()
    (lost, *_) = claim(ledger, *going.run.firing, "email", "dead", 50, going.clock.at, timedelta(seconds=60))
    ledger.close()
    result = going.deliver()
    assert states(result) == {SENT: len(going.run.messages)}
    assert lost.message_id in going.by.names
    assert going.clock.at >= going.due + timedelta(seconds=60)


def test_a_greeting_without_offers_is_sent_too(going: Any) -> None:
    text = (going.workspace.campaigns / "panen.yaml").read_text(encoding="utf-8")
    head, _, rest = text.partition("budgets:")
    going.shop.write_campaign(f"{head}offers: []\ncontent:{GREETING}".replace("id: panen", "id: salam"), "salam")
    assert rest
    manifest = going.shop.decide("salam").manifest
    result = deliver_campaign(
        going.workspace, going.settings, "salam", live=False, clock=going.clock.now, wait=going.clock.wait
    )
    assert states(result) == {SENT: manifest["counts"]["messages"]}
    sheet = read_json(going.workspace.rehearsal("salam", manifest["occurrence"]) / "care-sheet.json")
    assert sheet["offers"] == []


def test_the_status_says_how_each_delivery_stands(going: Any) -> None:
    assert workspace_status(going.workspace, going.settings, going.clock.at)["deliveries"] == []
    assert not (going.workspace.root / "ledger.db").exists()
    going.deliver(asked=lambda: True)
    (one,) = workspace_status(going.workspace, going.settings, going.clock.at)["deliveries"]
    assert (one["campaign"], one["state"], one["live"]) == ("panen", RUNNING, True)
    assert states(one) == {PENDING: len(going.run.messages)}
