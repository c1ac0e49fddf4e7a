"""From settings to what messages leave by; what is missing is named, and no secret is ever shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from campaigns.channels.email import Email
from campaigns.channels.sink import Sink
from flows.delivering.connections import connections, envelope_of, pace_of, rehearsed, require_channels
from flows.delivering.settings import EmailServer, PushService
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

MAIL = EmailServer(host="smtp.toko.example", sender="promo@toko.example", password=SecretStr("s3cret"), connections=3)
NOTHING = Settings(shop="Toko Uji")


def with_(**more: Any) -> Settings:
    return NOTHING.model_copy(update=more)


def test_a_channel_that_nothing_is_sent_on_needs_no_settings() -> None:
    require_channels(NOTHING, [])
    require_channels(with_(email=MAIL), ["email"])
    with pytest.raises(InputError, match=r"\[push\]"):
        require_channels(with_(email=MAIL), ["email", "push"])
    with pytest.raises(InputError, match=r"\[push\]"):
        require_channels(with_(push=PushService()), ["push"])


def test_a_sender_has_to_be_an_address() -> None:
    wrong = MAIL.model_copy(update={"sender": "promo@toko.example\r\nBcc: x@y.example"})
    with pytest.raises(InputError, match=r"email\.sender: expected one address"):
        require_channels(with_(email=wrong), ["email"])


def test_mail_is_opened_as_the_settings_say_and_no_password_is_shown(tmp_path: Path) -> None:
    opened, number = connections(Workspace(tmp_path), with_(email=MAIL), "email", lambda: None)  # type: ignore[arg-type,return-value]
    channel = opened()
    assert number == 3
    assert isinstance(channel, Email)
    assert (channel.server.host, channel.server.password) == ("smtp.toko.example", "s3cret")
    assert "s3cret" not in repr(channel.server) + repr(with_(email=MAIL))


@pytest.mark.parametrize(
    ("text", "fault"),
    [("not json", "cannot be read as JSON"), ("[]", "not the key of a service account"), ("{}", "project_id")],
)
def test_a_key_of_fcm_that_is_none_is_refused_without_being_shown(tmp_path: Path, text: str, fault: str) -> None:
    settings = with_(push=PushService(service_account=SecretStr(text)))
    with pytest.raises(InputError, match=fault) as told:
        connections(Workspace(tmp_path), settings, "push", lambda: None)  # type: ignore[arg-type,return-value]
    assert "not json" not in str(told.value)


def test_a_key_may_stand_in_a_file_of_the_workspace(tmp_path: Path) -> None:
    settings = with_(push=PushService(service_account_file="fcm.json"))
    with pytest.raises(InputError, match="FileNotFoundError"):
        connections(Workspace(tmp_path), settings, "push", lambda: None)  # type: ignore[arg-type,return-value]
    (tmp_path / "fcm.json").write_text(json.dumps({"type": "service_account"}), encoding="utf-8")
    with pytest.raises(InputError, match="project_id is missing"):
        connections(Workspace(tmp_path), settings, "push", lambda: None)  # type: ignore[arg-type,return-value]


def test_a_rehearsal_needs_no_server_and_its_mails_say_that_they_are_none(tmp_path: Path) -> None:
    opened, number = rehearsed(tmp_path)
    assert (type(opened()), number) == (Sink, 1)
    assert envelope_of(NOTHING, "panen").sender.endswith("@rehearsal.invalid")
    assert envelope_of(NOTHING, "panen").sender_name == "Toko Uji"
    assert envelope_of(with_(email=MAIL), "panen").list_id == "panen.promo.toko.example"


def test_a_pace_is_the_channel_s_own() -> None:
    mail = MAIL.model_copy(update={"per_minute": 60.0, "per_minute_of": {"gmail.com": 6.0}})
    settings = with_(email=mail, push=PushService(per_minute=600.0))
    assert (pace_of(settings, "email").per_minute, pace_of(settings, "push").per_minute) == (60.0, 600.0)
    assert pace_of(settings, "email").domains == {"gmail.com": 6.0}
    assert pace_of(NOTHING, "push").per_minute is None
