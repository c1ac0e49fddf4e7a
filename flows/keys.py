"""The workspace's secrets: what unsubscribe links are signed with, and what addresses are hashed with.

They come from LARISMA_OPTOUT__KEYS and LARISMA_OPTOUT__ADDRESS_KEY (or [optout] in larisma.toml), and where these are
not given from keys.json in the workspace, which is made once and can be read by its owner alone. None is ever printed.
"""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from pydantic import SecretStr

from campaigns.optout import KEY_ID, SHORTEST_SECRET
from flows.settings import Settings
from flows.workspace import Workspace, read_json
from recsys.tables import InputError

Random = Callable[[int], bytes]


@dataclass(frozen=True, repr=False)
class Keys:
    """signing: (key id, secret), newest first. addresses: for campaigns.ledger.address_hash; it must stay as it is, or
    no suppressed address is recognised any more."""

    signing: tuple[tuple[str, bytes], ...]
    addresses: bytes


def workspace_keys(place: Workspace, settings: Settings, random: Random = secrets.token_bytes) -> Keys:
    """The keys in force; made if there are none yet. Raises InputError if they cannot be used."""
    given, addresses = settings.optout.keys, settings.optout.address_key
    signing = _read_signing("optout.keys", given) if given else None
    own = _hex("optout.address_key", addresses.get_secret_value()) if addresses else None
    if signing and own:
        return Keys(signing, own)
    stored = _stored(place, random)
    return Keys(signing or stored.signing, own or stored.addresses)


def rotate(place: Workspace, settings: Settings, random: Random = secrets.token_bytes) -> str:
    """Makes a new key that signs from now on, while all others go on verifying; returns its id."""
    _ours(settings)
    keys = _stored(place, random)
    new = _new_key(random)
    _write(place, Keys((new, *keys.signing), keys.addresses))
    return new[0]


def drop(place: Workspace, settings: Settings, key_id: str) -> None:
    """Forgets a key that came into wrong hands; links signed with it do not work any more. Never the one that signs."""
    _ours(settings)
    keys = _stored(place, secrets.token_bytes)
    ids = [known for known, _ in keys.signing]
    if key_id not in ids:
        raise InputError(f"key {key_id!r}: no such key; known are {', '.join(ids)}")
    if key_id == ids[0]:
        raise InputError(f"key {key_id}: links are signed with it; make a new one first")
    _write(place, Keys(tuple(key for key in keys.signing if key[0] != key_id), keys.addresses))


def keys_file(place: Workspace) -> Path:
    return place.root / "keys.json"


def _ours(settings: Settings) -> None:
    if settings.optout.keys:
        raise InputError("optout.keys: the keys are given in the settings; put the new one first there: new:…,old:…")


def _stored(place: Workspace, random: Random) -> Keys:
    path = keys_file(place)
    if not path.exists():
        _make(path, _text(Keys((_new_key(random),), random(SHORTEST_SECRET))))
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path}: others can read it; chmod 600 {path}, and make a new key if anybody did")
    try:
        content: Any = read_json(path)
        signing = tuple((_key_id(one["id"]), _hex(str(path), one["secret"])) for one in content["signing"])
        addresses = _hex(str(path), content["addresses"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a file of keys ({type(error).__name__}); take it from a backup") from error
    if not signing:
        raise InputError(f"{path}: it holds no key to sign with; take it from a backup")
    return Keys(signing, addresses)


def _make(path: Path, text: str) -> None:
    """Of several that make it at once, the first one's file stays."""
    aside = _written_aside(path, text)
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def _write(place: Workspace, keys: Keys) -> None:
    path = keys_file(place)
    _written_aside(path, _text(keys)).replace(path)


def _written_aside(path: Path, text: str) -> Path:
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:  # mode 0600
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(file.name)


def _text(keys: Keys) -> str:
    signing = [{"id": key_id, "secret": secret.hex()} for key_id, secret in keys.signing]
    return json.dumps({"signing": signing, "addresses": keys.addresses.hex()}, indent=2) + "\n"


def _new_key(random: Random) -> tuple[str, bytes]:
    return random(4).hex(), random(SHORTEST_SECRET)


def _read_signing(key: str, given: SecretStr) -> tuple[tuple[str, bytes], ...]:
    """From `id:hexadecimal,id:hexadecimal`, newest first."""
    found = []
    for part in given.get_secret_value().split(","):
        key_id, _, secret = part.strip().partition(":")
        found.append((_key_id(key_id), _hex(key, secret)))
    if len({key_id for key_id, _ in found}) < len(found):
        raise InputError(f"{key}: two keys have the same id")
    return tuple(found)


def _key_id(text: str) -> str:
    if not isinstance(text, str) or not KEY_ID.fullmatch(text):
        raise InputError("optout.keys: expected id:secret,id:secret, each id of at most 16 small letters and digits")
    return text


def _hex(where: str, text: str) -> bytes:
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) < SHORTEST_SECRET:
        raise InputError(
            f"{where}: expected a secret of at least {2 * SHORTEST_SECRET} hexadecimal digits; "
            "make one with: openssl rand -hex 32"
        )
    return secret
