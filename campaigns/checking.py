"""All that is wrong with a campaign file at once: its shape, its words, and what its scopes name that is not there.

A file whose shape is wrong is still read as far as it goes, so that one fault does not hide the next.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from campaigns.content import CONTENT_KEYS, CREATIVES
from campaigns.faults import Place
from campaigns.offer import Scope
from campaigns.policy import Policy, check_claims
from campaigns.rendering import check_content, known_fields
from campaigns.sandbox import template_faults
from campaigns.scope import check_scopes, scope_names, unknown_names
from campaigns.spec import Reading, read_campaign

_PART = re.compile(r"([^.\[\]]+)|\[([^\]]+)\]")


def check_file(
    path: Path, items: pa.Table | None = None, policy: Policy | None = None, text: str | bytes | None = None
) -> tuple[Reading, list[str]]:
    """The file as it was read, and a line for every fault of it: file, line, path, what is wrong, what to do.

    items: those that scopes may name; None leaves scopes unchecked. policy: the country's rules, which words may not
    break. Raises CampaignError if it cannot be read at all.
    """
    reading = read_campaign(path, text)
    if reading.campaign:
        found = check_content(reading.campaign)
        found += check_scopes(reading.campaign, items) if items is not None else []
        claims = check_claims(reading.campaign, policy) if policy else []
        told = [located(reading, fault) for fault in found] + [reading.at(place, words) for place, words in claims]
        return reading, sorted(told, key=_line)
    if reading.marked is None:
        return reading, list(reading.faults)
    raw = reading.marked.value
    further = [reading.at(place, words) for place, words in _texts_at_fault(raw)]
    if items is not None:
        further += [reading.at(place, words) for place, words in _scopes_at_fault(raw, items)]
    told = [*reading.faults, *(line for line in further if not _said(line, reading.faults))]
    return reading, sorted(told, key=_line)


def located(reading: Reading, fault: str) -> str:
    """A fault that names its place, `offers[kopi].scope.categories[0]: …`, with the file and its line before it."""
    where, colon, words = fault.removeprefix(f"{reading.name}: ").partition(": ")
    place = _place(where, reading.marked.value if reading.marked else {})
    return reading.at(place, words) if colon and place else f"{reading.name}:1: {where}{colon}{words}"


def _place(where: str, value: Any) -> Place:
    """The keys and list indexes of a dotted path; entries of a list are named by their id or number."""
    place: list[str | int] = []
    for name, entry in _PART.findall(where):
        part: str | int = name or entry
        if isinstance(value, list):
            ids = [item.get("id") if isinstance(item, Mapping) else None for item in value]
            part = ids.index(part) if part in ids else int(part) if str(part).isdigit() else part
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        place.append(part)
    return tuple(place)


def _texts_at_fault(raw: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    offers = raw.get("offers")
    known, known_to_offer = known_fields(not isinstance(offers, list) or bool(offers))
    for language, words in _mapping(raw.get("content")).items():
        phases = _mapping(_mapping(words).get("phases")).items()
        groups: list[tuple[Place, Any]] = [((), words), *((("phases", name), own) for name, own in phases)]
        for group, own in groups:
            fields = known if not group or _offering(offers, group[1]) else known_fields(False)[0]
            yield from _template_faults(("content", language, *group), own, CONTENT_KEYS, fields)
    for number, offer in enumerate(offers if isinstance(offers, list) else []):
        for language, words in _mapping(_mapping(offer).get("text")).items():
            place = ("offers", number, "text", language)
            yield from _template_faults(place, words, ("title", "body"), known_to_offer)
            for creative in CREATIVES:
                own = _mapping(words).get(creative)
                yield from _template_faults((*place, creative), own, ("title", "body"), known_to_offer)


def _offering(offers: Any, phase: Any) -> bool:
    """Whether any offer belongs to a phase."""
    own = [_mapping(offer).get("phases") for offer in offers] if isinstance(offers, list) else [None]
    return any(not isinstance(phases, list) or not phases or phase in phases for phases in own)


def _template_faults(
    place: Place, words: Any, keys: tuple[str, ...], known: Mapping[str, Any]
) -> Iterator[tuple[Place, str]]:
    for key in keys:
        text = _mapping(words).get(key)
        if isinstance(text, str):
            yield from (((*place, key), fault) for fault in template_faults(text, known))


def _scopes_at_fault(raw: Mapping[str, Any], items: pa.Table) -> Iterator[tuple[Place, str]]:
    offers, known = raw.get("offers"), scope_names(items)
    for number, offer in enumerate(offers if isinstance(offers, list) else []):
        try:
            scope = Scope.model_validate(_mapping(offer).get("scope"))
        except ValidationError:  # its shape is reported already
            continue
        for key, entry, words in unknown_names(scope, known):
            yield ("offers", number, "scope", key, entry), words


def _said(line: str, faults: tuple[str, ...]) -> bool:
    """Whether something is reported of that very place already."""
    place = line.split(": ", 2)[:2]
    return any(fault.split(": ", 2)[:2] == place for fault in faults)


def _line(fault: str) -> tuple[int, str]:
    number = fault.split(":")[1]
    return int(number) if number.isdigit() else 0, fault


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
