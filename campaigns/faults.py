"""Pydantic's errors as a marketer's words: path → what is wrong, which value, what to do."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

Place = tuple[str | int, ...]  # keys and list indexes, from the outermost

_SHAPES = {
    "string_type": "expected text",
    "string_too_short": "expected some text",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list",
    "model_type": "expected `key: value` lines",
    "model_attributes_type": "expected `key: value` lines",
    "mapping_type": "expected `key: value` lines",
    "dict_type": "expected `key: value` lines",
    "too_short": "expected one entry at least",
    "invalid_key": "expected a key that is text; put it in quotes",
}


def faults(error: ValidationError, schema: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """One (path, message) for each of pydantic's errors; schema is the model's JSON Schema."""
    found: list[tuple[Place, str]] = []
    for entry in error.errors(include_url=False):
        if entry["type"] == "too_short" and entry["input"]:  # it has entries, they are wrong and reported by themselves
            continue
        path, parent, place = _locate(schema, entry["loc"])
        message = _message(entry["type"], entry.get("ctx", {}), entry["msg"], entry["input"], path, parent, place)
        if entry["type"] in ("union_tag_not_found", "union_tag_invalid"):
            path = (*path, "kind")
        found.append((path, message))
    return found


def near(value: object, known: Iterable[str], most: int = 1) -> str:
    """A question after the known words that are nearest to value, or nothing: `; did you mean 'percent'?`"""
    matches = get_close_matches(str(value), list(known), n=most, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


def got(value: object) -> str:
    """A value from the file, in short."""
    if value is None:
        return "got nothing"
    if isinstance(value, str):
        return f"got {value!r}" if len(value) <= 60 else f"got {value[:60]!r}…"
    if isinstance(value, Mapping):
        return "got `key: value` lines" if value else "got an empty mapping"
    if isinstance(value, Sequence):
        return "got a list" if value else "got an empty list"
    return f"got {str(value).lower() if isinstance(value, bool) else value}"


def _message(
    kind: str, context: Mapping[str, Any], words: str, value: object, path: Place, parent: Any, place: Any
) -> str:
    if kind == "missing":
        description = place.get("description", "").split(". ")[0].removesuffix(".")
        return "is missing" + (f" ({description})" if description else "")
    if kind == "extra_forbidden":
        known = list(parent.get("properties", {}))
        guess = near(path[-1], known)
        if value is None and not guess:  # {title: Kopi, teh dan gula} has a key "teh dan gula" without a value
            return (
                f"stands alone, without a value; text with a comma goes in quotes, as "
                f'"… , {path[-1]}", or write a key with its value'
            )
        return f"unknown key{guess}" if guess else f"unknown key; expected one of {', '.join(known)}"
    if kind == "union_tag_not_found":
        return f"is missing; expected one of {', '.join(_tags(place))}"
    if kind == "union_tag_invalid":
        return _choice(_tags(place), context["tag"])
    if kind == "literal_error":
        return _choice([word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")], value)
    if kind == "expected":
        return f"{words}, {got(value)}"
    if kind in _SHAPES:
        return f"{_SHAPES[kind]}, {got(value)}"
    words = words.removeprefix("Value error, ").replace("Input should be", "expected")
    shown = isinstance(value, str | int | float) and place.get("format") != "password"
    return f"{words}, {got(value)}" if shown else words


def _choice(known: Sequence[str], value: object) -> str:
    return f"expected one of {', '.join(known)}, {got(value)}{near(value, known)}"


def _tags(place: Mapping[str, Any]) -> list[str]:
    return list(place.get("discriminator", {}).get("mapping", {}))


def _locate(schema: Mapping[str, Any], location: Sequence[str | int]) -> tuple[Place, Any, Any]:
    """The path in the file of a pydantic location, with the schemas of what holds it and of what stands there."""
    path: list[str | int] = []
    parent: Any = {}
    place: Any = schema
    for part in location:
        if part == "[key]":  # pydantic's mark for "the key itself"
            continue
        tags = place.get("discriminator", {}).get("mapping", {})
        if part in tags:  # pydantic names the chosen member of a union
            place = _resolved(schema, {"$ref": tags[part]})
            continue
        path.append(part)
        parent = place
        place = _resolved(schema, _below(place, part))
    return tuple(path), parent, place


def _below(place: Mapping[str, Any], part: str | int) -> Any:
    if isinstance(part, int):
        return place.get("items", {})
    if part in place.get("properties", {}):
        return place["properties"][part]
    patterns = place.get("patternProperties", {})
    more = next(iter(patterns.values()), None) or place.get("additionalProperties")
    return more if isinstance(more, dict) else {}


def _resolved(schema: Mapping[str, Any], place: Any) -> Any:
    """Follows references and steps over "or null"; a description beside a reference is kept."""
    while True:
        if "$ref" in place:
            name = place["$ref"].rsplit("/", 1)[-1]
            place = {**schema["$defs"][name], **{key: value for key, value in place.items() if key != "$ref"}}
        elif "anyOf" in place:
            kept = [member for member in place["anyOf"] if member.get("type") != "null"]
            if len(kept) != 1:
                return place
            place = {**{key: value for key, value in place.items() if key != "anyOf"}, **kept[0]}
        else:
            return place
