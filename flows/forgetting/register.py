"""Who was forgotten: pseudonyms and keyed hashes, by which they are recognised if they come in again; no more."""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal

from campaigns.ledger import address_hash
from flows.keys import Keys, workspace_keys
from flows.settings import Settings
from flows.workspace import Workspace, read_json, write_json

State = Literal["begun", "done"]
PREFIX = "forgotten-"


def register_file(place: Workspace) -> Any:
    return place.root / "forgotten.json"


def forgotten_people(place: Workspace) -> list[dict[str, Any]]:
    """pseudonym, hashes, at and state of each."""
    path = register_file(place)
    return list(read_json(path)["people"]) if path.exists() else []


def pseudonym_of(customer_id: str, keys: Keys) -> str:
    """The same for the same customer and key; without the key nobody can tell whose it is."""
    said = hmac.new(keys.addresses, b"pseudonym\0" + customer_id.encode("utf-8", "replace"), hashlib.sha256)
    return PREFIX + said.hexdigest()[:24]


def enter(place: Workspace, pseudonym: str, hashes: Iterable[str], at: datetime, state: State) -> None:
    """Adds a person, or what is newly known of them. What was once entered stays, and so does its date."""
    people = {one["pseudonym"]: one for one in forgotten_people(place)}
    known = people.get(pseudonym, {"pseudonym": pseudonym, "hashes": [], "at": at.isoformat()})
    people[pseudonym] = {**known, "hashes": sorted({*known["hashes"], *hashes}), "state": state}
    write_json(register_file(place), {"people": [people[name] for name in sorted(people)]})


def forgotten_test(place: Workspace, settings: Settings) -> Callable[[str | None], bool] | None:
    """Whether an id, an address or a token is of somebody who was forgotten; None if nobody was."""
    hashes = {one for person in forgotten_people(place) for one in person["hashes"]}
    if not hashes:
        return None
    key = workspace_keys(place, settings).addresses
    return lambda value: bool(value) and address_hash(str(value), key) in hashes
