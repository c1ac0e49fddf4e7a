"""What is posted to a webhook, and that it never stops anything."""

import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from campaigns.channels.parcel import Answer
from campaigns.ledger.schema import FINISHED, PENDING
from flows.delivering import alerts
from flows.delivering.steering import steer


@pytest.fixture
def posted(going: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def post(url: str, *, json: Any, timeout: float) -> httpx.Response:
        found.append({"url": url, **json})
        return httpx.Response(204, request=httpx.Request("POST", url))

    monkeypatch.setattr(alerts.httpx, "post", post)
    going.set(delivery=going.settings.delivery.model_copy(update={"webhook": SecretStr("https://duty.example/hook")}))
    return found


def test_a_delivery_says_that_it_starts_and_ends_and_nothing_of_people(going: Any, posted: list[Any]) -> None:
    going.deliver()
    assert [one["event"] for one in posted] == ["started", "finished"]
    assert posted[1]["channels"]["email"]["sent"] > 0
    told = json.dumps(posted)
    people = going.shop.rows("messages")
    assert not any(word in told for row in people for word in (row["customer_id"], row["message_id"]))
    assert "pelanggan.example" not in told


def test_a_breaker_says_why_it_stopped_and_a_pause_is_told_too(going: Any, posted: list[Any]) -> None:
    going.by.answers = lambda _: Answer(PENDING, "refused at the door", broken="user and password are refused")
    going.deliver()
    assert [(one["event"], one["reason"]) for one in posted][1:] == [("stopped", "user and password are refused")]
    steer(going.workspace, going.settings, "panen", "paused", going.clock.at)
    assert posted[-1]["event"] == "paused"


def test_a_rehearsal_wakes_nobody(going: Any, posted: list[Any]) -> None:
    going.rehearse()
    assert posted == []


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), httpx.InvalidURL("what"), ValueError("odd")]
)
def test_a_webhook_that_fails_stops_nothing(going: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def post(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(alerts.httpx, "post", post)
    going.set(delivery=going.settings.delivery.model_copy(update={"webhook": SecretStr("https://duty.example/hook")}))
    assert going.deliver()["state"] == FINISHED


def test_a_webhook_that_answers_with_an_error_stops_nothing(going: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx.Response(500, request=httpx.Request("POST", "https://duty.example"))
    monkeypatch.setattr(alerts.httpx, "post", lambda *_, **__: answer)
    going.set(delivery=going.settings.delivery.model_copy(update={"webhook": SecretStr("https://duty.example/hook")}))
    assert going.deliver()["state"] == FINISHED
