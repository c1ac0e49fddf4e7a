"""Alerts for whoever is on duty: posted to a webhook, with counts and reasons, never with anything about a person."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from flows.settings import Settings

log = logging.getLogger("larisma")
SECONDS = 5.0

Alert = Callable[[str, Mapping[str, Any]], None]  # event: started, stopped, paused, cancelled, finished


def alert_by(settings: Settings) -> Alert:
    """Posts {"event", …} as JSON to [delivery] webhook; nothing where there is none. Never raises, never waits long."""
    webhook = settings.delivery.webhook

    def post(event: str, facts: Mapping[str, Any]) -> None:
        if webhook is None:
            return
        try:
            answer = httpx.post(webhook.get_secret_value(), json={"event": event, **facts}, timeout=SECONDS)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.warning("the webhook did not take the alert %s: %s", event, type(error).__name__)

    return post


def silent(event: str, facts: Mapping[str, Any]) -> None:
    """Rehearsals wake nobody."""
