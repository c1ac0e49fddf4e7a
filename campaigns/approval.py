"""What a campaign means, as plain values that can be approved: a hash for each of its parts, and one over all.

Comments, the order of keys, and defaults that are written out change nothing; whatever changes what is sent, to whom,
at whose cost or within which limits does.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from campaigns.scope import category_path
from campaigns.spec import Campaign

PARTS = ("audience", "offers", "limits", "funders", "content", "schedule")
# Key of a campaign file, and of an offer → the part that it belongs to; what is not named here is of the offers.
PART_OF = {
    "audience": "audience",
    "purpose": "audience",
    "control": "audience",
    "channels": "limits",
    "limits": "limits",
    "budget_confidence": "limits",
    "quota_confidence": "limits",
    "forecast_error": "limits",
    "budgets": "funders",
    "name": "content",
    "content": "content",
    "schedule": "schedule",
    "window_days": "schedule",
    "last_order": "schedule",
}
PART_OF_OFFERS = {
    "quota": "limits",
    "minimum": "limits",
    "per_unit": "limits",
    "funders": "funders",
    "text": "content",
    "valid": "schedule",
    "phases": "schedule",
}
# Lists whose order says nothing.
SETS = (
    *("categories", "items", "brands", "merchants", "offers", "phases", "delivery", "days"),
    *("purposes", "campaigns", "assume", "exempt"),
)
SHOWN = 80  # characters of a value in a difference
_PLAIN_KEY = re.compile(r"[\w-]+")

Plain = str | int | float | bool | list[Any]
Values = Mapping[str, Mapping[str, Plain]]  # part → path, as `offers[kopi].benefit.percent` → value


@dataclass(frozen=True)
class Fingerprint:
    """values: part → path → value, nothing that is null; so it can be written down and compared later."""

    campaign: str
    values: Values

    @cached_property
    def parts(self) -> dict[str, str]:
        """Part → SHA-256 of its values, in hexadecimal."""
        return {part: digest(self.values.get(part, {})) for part in PARTS}

    @cached_property
    def whole(self) -> str:
        """SHA-256 over the campaign's id and all parts, in hexadecimal."""
        return digest({"campaign": self.campaign, "parts": self.parts})


@dataclass(frozen=True)
class Difference:
    """was, now: None where there was, or is, nothing."""

    path: str
    was: Plain | None
    now: Plain | None

    def __str__(self) -> str:
        if self.was is None:
            return f"{self.path}: {shown(self.now)} is new"
        if self.now is None:
            return f"{self.path}: was {shown(self.was)}, is gone"
        return f"{self.path}: was {shown(self.was)}, is {shown(self.now)}"


def fingerprint(campaign: Campaign, around: Mapping[str, Mapping[str, Any]] | None = None) -> Fingerprint:
    """campaign: as its file states it, not as it is on the day of one firing.

    around: part → what binds or words the campaign besides its file (contact policy, a night's budgets, the program's
    own words and templates), as plain values. Raises KeyError for a part that is none of PARTS.
    """
    values: dict[str, dict[str, Plain]] = {part: {} for part in PARTS}
    stated = campaign.model_dump(mode="json", exclude={"id"})
    offers = stated.pop("offers")
    for key, value in stated.items():
        values[PART_OF.get(key, "offers")].update(flat(key, value))
    for offer in offers:
        path = f"offers[{offer['id']}]"
        for key, value in offer.items():
            values[PART_OF_OFFERS.get(key, "offers")].update(flat(f"{path}.{key}", value))
    for part, more in (around or {}).items():
        for key, value in more.items():
            values[part].update(flat(key, value))
    return Fingerprint(campaign.id, {part: dict(sorted(found.items())) for part, found in values.items()})


def differences(before: Values, after: Values, parts: Sequence[str] = PARTS) -> list[Difference]:
    """What changed between two fingerprints' values, in the order of the parts and of paths."""
    found = []
    for part in parts:
        was, now = before.get(part, {}), after.get(part, {})
        found += [
            Difference(path, was.get(path), now.get(path))
            for path in sorted({*was, *now})
            if _differ(was.get(path), now.get(path))
        ]
    return found


def _differ(was: Plain | None, now: Plain | None) -> bool:
    """Whether they are written differently: 1, 1.0 and true are."""
    return type(was) is not type(now) or was != now


def flat(path: str, value: Any) -> Iterator[tuple[str, Plain]]:
    """Each plain value below a path, by its own path; entries of a list that have an id are named by it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(f"{path}.{named(str(key))}", inner)
    elif isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) and "id" in one for one in value):
        for inner in value:
            yield from flat(f"{path}[{named(str(inner['id']))}]", inner)
    elif value is not None and value != [] and value != ():
        yield path, _plain(path, value)


def _plain(path: str, value: Any) -> Plain:
    if isinstance(value, list | tuple):
        key = path.rpartition(".")[2]
        entries = [category_path(one) for one in value] if key == "categories" else list(value)
        return sorted(set(entries)) if key in SETS else entries
    return value + 0.0 if isinstance(value, float) else value  # -0.0 is 0.0


def named(key: str) -> str:
    """A key as a path has it: in quotes where it might be taken for a path itself."""
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def digest(value: Any) -> str:
    """SHA-256 of a plain value's canonical JSON, in hexadecimal. Raises ValueError for numbers that are not finite."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def shown(value: Plain | None) -> str:
    """A value as a difference shows it, on one line."""
    text = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    if isinstance(value, str):
        text = json.dumps(text, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
