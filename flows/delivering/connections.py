"""From the settings to what messages leave by: SMTP servers, FCM, or in a rehearsal files."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from campaigns.channels.email import Email, Server
from campaigns.channels.mail import Envelope, domain_of, is_address
from campaigns.channels.pace import Pace
from campaigns.channels.parcel import Channel
from campaigns.channels.push import Push, service_account
from campaigns.channels.sink import Sink
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

Clock = Callable[[], datetime]
Opened = Callable[[], Channel]  # a new connection


def require_channels(settings: Settings, channels: list[str]) -> None:
    """Raises InputError, naming the keys that are missing, unless everything is there that these are sent by."""
    missing = []
    if "email" in channels and settings.email is None:
        missing.append("[email] host and sender (or LARISMA_EMAIL__HOST and LARISMA_EMAIL__SENDER)")
    if "push" in channels and (
        settings.push is None or not (settings.push.service_account or settings.push.service_account_file)
    ):
        missing.append("[push] service_account_file (or LARISMA_PUSH__SERVICE_ACCOUNT)")
    if missing:
        raise InputError("larisma.toml: nothing to send by; it needs " + " and ".join(missing))
    if settings.email and not is_address(settings.email.sender):
        raise InputError("larisma.toml: email.sender: expected one address, such as promo@toko.example")


def connections(workspace: Workspace, settings: Settings, channel: str, clock: Clock) -> tuple[Opened, int]:
    """(what opens a connection, how many there are to be). Raises InputError for a key of FCM that cannot be read."""
    if channel == "email" and settings.email is not None:
        own = settings.email
        server = Server(
            own.host,
            own.port,
            own.security,
            own.user,
            own.password.get_secret_value(),
            own.sender,
            own.hello,
            own.timeout,
        )
        return (lambda: Email(server)), own.connections
    if channel == "push" and settings.push is not None:
        service = settings.push
        project, token = service_account(_key(workspace, settings), service.timeout)
        push = lambda: Push(project, token, clock, base_url=service.url, timeout=service.timeout)  # noqa: E731
        return push, service.connections
    raise InputError(f"larisma.toml: [{channel}] is missing")


def rehearsed(folder: Path) -> tuple[Opened, int]:
    return (lambda: Sink(folder)), 1


def pace_of(settings: Settings, channel: str) -> Pace:
    if channel == "email" and settings.email is not None:
        return Pace(settings.email.per_minute, settings.email.per_minute_of)
    return Pace(settings.push.per_minute if settings.push else None)


def envelope_of(settings: Settings, campaign_id: str) -> Envelope:
    """Who mails come from. A rehearsal without [email] says so by the reserved domain .invalid."""
    own = settings.email
    sender = own.sender if own else "promo@rehearsal.invalid"
    list_id = (own.list_id if own else "") or f"{campaign_id}.promo.{domain_of(sender)}"
    return Envelope(sender, (own.sender_name if own else "") or settings.shop, list_id, own.reply_to if own else "")


def _key(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    push = settings.push
    if push is None:
        raise InputError("larisma.toml: [push] is missing")
    try:
        if push.service_account is not None:
            text = push.service_account.get_secret_value()
        else:
            text = (workspace.root / (push.service_account_file or "")).read_text(encoding="utf-8")
        key = json.loads(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"push.service_account: cannot be read as JSON ({type(error).__name__})") from None
    if not isinstance(key, dict) or "project_id" not in key:
        raise InputError("push.service_account: not the key of a service account; project_id is missing")
    return key
