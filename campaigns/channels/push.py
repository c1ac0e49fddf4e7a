"""Push over FCM's HTTP v1 interface: what each status says about a message, and about the device it was meant for.

Errors and their actions follow FCM's list of error codes; what gets no answer may have arrived.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport import Request, Response
from google.oauth2.service_account import Credentials

from campaigns.channels.parcel import Answer, Leaving, Parcel
from campaigns.failpoints import failpoint
from campaigns.ledger.schema import BOUNCED, FAILED, PENDING, SENT, UNKNOWN

FCM = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
MOST_BYTES = 4_096
# Best first: a push has arrived if it did on one device, and is certain to have failed only if it did on all.
RANK = (SENT, UNKNOWN, PENDING, FAILED, BOUNCED)
QUIET = timedelta(minutes=1)  # after 429 without a Retry-After
LONGEST_PAUSE = timedelta(days=1)  # that a Retry-After is believed


class Push:
    """A connection to FCM, kept open. token: gives a bearer token, anew where it is asked to (renew=True)."""

    def __init__(
        self,
        project: str,
        token: Callable[[bool], str],
        clock: Callable[[], datetime],
        *,
        base_url: str = FCM,
        timeout: float = 30.0,
    ) -> None:
        self._path, self._token, self._clock = f"/v1/projects/{project}/messages:send", token, clock
        self._http = httpx.Client(base_url=base_url, timeout=timeout, trust_env=False)

    def send(self, parcel: Parcel, leaving: Leaving) -> Answer | None:
        if isinstance(parcel.content, bytes):
            raise TypeError(f"message {parcel.message_id}: a push's content is an FCM message")
        if not parcel.recipients:
            return Answer(BOUNCED, "no device")
        failpoint("push.before")
        if len(_json_bytes(parcel.content)) > MOST_BYTES:
            return Answer(FAILED, f"larger than {MOST_BYTES} bytes")
        if not leaving():
            return None
        parts: dict[str, Answer] = {}
        for token in dict.fromkeys(parcel.recipients):
            parts[token] = self._to_device(parcel.content, token)
            failpoint("push.device")
        best = min(parts.values(), key=lambda answer: RANK.index(answer.state))
        waits = [answer.retry_after for answer in parts.values() if answer.retry_after]
        gone = tuple(token for token, answer in parts.items() if answer.gone)
        broken = next((answer.broken for answer in parts.values() if answer.broken), None)
        return Answer(
            best.state, best.reason, best.detail, best.provider_id, max(waits, default=None), gone, broken, parts
        )

    def close(self) -> None:
        self._http.close()

    def _to_device(self, content: Mapping[str, Any], token: str) -> Answer:
        payload = _json_bytes({"message": {**content["message"], "token": token}})
        try:
            reply = self._post(payload, renew=False)
            if reply.status_code == httpx.codes.UNAUTHORIZED and _code(reply) != "THIRD_PARTY_AUTH_ERROR":
                reply = self._post(payload, renew=True)
        except GoogleAuthError as error:
            broken = None if error.retryable else f"no token for FCM: {type(error).__name__}"
            return Answer(PENDING, "no token for FCM", type(error).__name__, broken=broken)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Answer(PENDING, "no connection", type(error).__name__)
        except httpx.HTTPError as error:  # the request may have been read, in part or as a whole
            return Answer(UNKNOWN, "no answer", type(error).__name__)
        return self._understood(reply, token)

    def _post(self, payload: bytes, *, renew: bool) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token(renew)}", "Content-Type": "application/json"}
        failpoint("push.write")
        reply = self._http.post(self._path, content=payload, headers=headers)
        failpoint("push.answer")
        return reply

    def _understood(self, reply: httpx.Response, token: str) -> Answer:
        status, code = reply.status_code, _code(reply)
        detail = f"{status} {code}".strip()
        if reply.is_success:
            name = _json(reply).get("name")
            return Answer(SENT, detail=str(status), provider_id=name if isinstance(name, str) else None)
        if status == httpx.codes.NOT_FOUND and code in ("UNREGISTERED", "NOT_FOUND"):
            return Answer(BOUNCED, "the app is gone from this device", detail, gone=(token,))
        if status == httpx.codes.FORBIDDEN and code == "SENDER_ID_MISMATCH":
            return Answer(BOUNCED, "the device belongs to another sender", detail, gone=(token,))
        if status == httpx.codes.BAD_REQUEST and _blames_token(reply):
            return Answer(BOUNCED, "not a device's token", detail, gone=(token,))
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return Answer(
                PENDING, "not allowed to send", detail, broken=f"FCM does not let this account send: {detail}"
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return Answer(PENDING, "too many at once", detail, retry_after=self._asked(reply) or QUIET)
        if status in (httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT):  # what stands behind it may have read it
            return Answer(UNKNOWN, "no answer", detail)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return Answer(PENDING, "FCM is not well", detail, retry_after=self._asked(reply))
        return Answer(FAILED, "refused", detail)

    def _asked(self, reply: httpx.Response) -> timedelta | None:
        """What Retry-After says: seconds, or a date."""
        text = reply.headers.get("Retry-After", "")
        try:
            if text.isdecimal():
                asked = timedelta(seconds=min(int(text[:9]), LONGEST_PAUSE.total_seconds()))
            else:
                asked = parsedate_to_datetime(text) - self._clock()
        except (TypeError, ValueError, OverflowError):
            return None
        return min(max(asked, timedelta(0)), LONGEST_PAUSE)


def service_account(info: Mapping[str, Any], timeout: float = 30.0) -> tuple[str, Callable[[bool], str]]:
    """Project and token of a service account's key, as its JSON file holds it."""
    credentials = Credentials.from_service_account_info(info, scopes=[SCOPE])

    def token(renew: bool) -> str:
        if renew or not credentials.valid:
            try:
                credentials.refresh(_Transport(timeout))
            except (AttributeError, TypeError, ValueError) as error:  # what came is no answer of a token's server
                raise RefreshError(type(error).__name__, retryable=True) from error
        return credentials.token

    return str(info["project_id"]), token


class _Transport(Request):
    """google-auth over httpx."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **_: Any
    ) -> Response:
        try:
            reply = httpx.request(
                method, url, content=body, headers=headers, timeout=timeout or self._timeout, trust_env=False
            )
        except httpx.HTTPError as error:  # of the token's server: no message has left
            raise TransportError(type(error).__name__, retryable=True) from error
        return _Reply(reply)


class _Reply(Response):
    def __init__(self, reply: httpx.Response) -> None:
        self._reply = reply

    @property
    def status(self) -> int:
        return self._reply.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._reply.headers

    @property
    def data(self) -> bytes:
        return self._reply.content


def _json_bytes(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _json(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(reply: httpx.Response) -> dict[str, Any]:
    found = _json(reply).get("error")
    return found if isinstance(found, dict) else {}


def _details(reply: httpx.Response) -> list[dict[str, Any]]:
    found = _error(reply).get("details")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _code(reply: httpx.Response) -> str:
    """FCM's own error code, or the status in words."""
    own = next((one["errorCode"] for one in _details(reply) if isinstance(one.get("errorCode"), str)), None)
    status = _error(reply).get("status")
    return (own or (status if isinstance(status, str) else ""))[:40]


def _blames_token(reply: httpx.Response) -> bool:
    """400 says that the token is wrong, or that the message is: its details tell which."""
    found = [one.get("fieldViolations") for one in _details(reply)]
    violations = [violation for one in found if isinstance(one, list) for violation in one]
    return any(isinstance(one, dict) and one.get("field") == "message.token" for one in violations)
