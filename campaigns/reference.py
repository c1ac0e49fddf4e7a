"""The campaign file's keys as a page of documentation, from the same descriptions that editors show."""

from collections.abc import Iterator, Mapping
from typing import Any

from campaigns.spec import json_schema

HEAD = """\
# Every key of a campaign file

Made from the code; a test keeps it true. [Campaigns](campaigns.md) tells how to use them, and `larisma campaign schema`
writes the same for editors, as a JSON Schema.
"""
_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "array": "list",
}


def reference_page() -> str:
    """Markdown: a section for the file and for each part of it, in the order in which they are met."""
    schema = json_schema()
    sections = [HEAD, "## The file\n", *_table(schema)]
    for name in _parts(schema):
        part = schema["$defs"][name]
        sections += [f"\n## {name}\n", *_said(part), *_table(part)]
    return "\n".join(sections).rstrip() + "\n"


def undescribed(schema: Mapping[str, Any]) -> list[str]:
    """Keys that no description says anything of: "Offer.scope"."""
    parts = {"Campaign": schema, **schema.get("$defs", {})}
    return [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, place in part.get("properties", {}).items()
        if not place.get("description") and key != "kind"
    ]


def _parts(schema: Mapping[str, Any]) -> Iterator[str]:
    """Names of the parts, each once, as they are met from the outermost."""
    seen: dict[str, None] = {}
    waiting = list(_named(schema))
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen[name] = None
            waiting = [*_named(schema["$defs"][name]), *waiting]
    yield from seen


def _named(place: Any) -> Iterator[str]:
    if isinstance(place, Mapping):
        for key, value in place.items():
            if key == "$ref":
                yield value.rsplit("/", 1)[-1]
            elif key not in ("$defs", "discriminator"):
                yield from _named(value)
    elif isinstance(place, list):
        for entry in place:
            yield from _named(entry)


def _said(part: Mapping[str, Any]) -> list[str]:
    said = _one_line(part.get("description", ""))
    return [f"{said}\n"] if said else []


def _table(part: Mapping[str, Any]) -> list[str]:
    rows = ["| key | is | default |", "|---|---|---|"]
    needed = part.get("required", ())
    for key, place in part.get("properties", {}).items():
        default = "needed" if key in needed else f"`{_shown(place.get('default'))}`"
        said = _one_line(place.get("description", ""))
        rows.append(f"| `{key}` | {' · '.join(bit for bit in (_kind(place), said) if bit)} | {default} |")
    return rows


def _kind(place: Mapping[str, Any]) -> str:
    if "$ref" in place:
        name = place["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in place:
        return f"`{place['const']}`"
    if "enum" in place:
        return ", ".join(f"`{value}`" for value in place["enum"])
    for several in ("anyOf", "oneOf"):
        if several in place:
            return " or ".join(_kind(one) for one in place[several] if one.get("type") != "null")
    if place.get("type") == "array":
        return f"list of {_kind(place.get('items', {}))}"
    if place.get("type") == "object":
        inner = next(iter(place.get("patternProperties", {}).values()), place.get("additionalProperties"))
        return f"name → {_kind(inner)}" if isinstance(inner, Mapping) else "`key: value` lines"
    return _KINDS.get(place.get("type", ""), "")


def _shown(default: Any) -> str:
    match default:
        case None:
            return "null"
        case bool():
            return str(default).lower()
        case [] | {}:
            return "[]" if isinstance(default, list) else "{}"
        case dict():
            return "{" + ", ".join(f"{key}: {_shown(value)}" for key, value in default.items()) + "}"
    return str(default)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
