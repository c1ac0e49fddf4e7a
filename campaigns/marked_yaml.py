"""YAML text → plain values, strictly, and the line that each value stands on."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from campaigns.faults import Place
from campaigns.tables import CampaignError

LARGEST = 256 * 1024  # a campaign has a few thousand


@dataclass(frozen=True)
class MarkedYaml:
    """A YAML mapping as plain values, with the nodes it came from.

    repeated: path and line of each key that an earlier line of the same mapping has already.
    """

    value: dict[Any, Any]
    root: Node
    repeated: tuple[tuple[Place, int], ...]

    def line(self, path: Sequence[Hashable]) -> int:
        """The line, from 1, of the key or list entry at path, or of the innermost part of path that is written down."""
        node, line = self.root, _line(self.root)
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line


def read_yaml(content: str | bytes) -> MarkedYaml:
    """Reads YAML 1.2 (so NO and 12:30 stay text), of which the outermost is a mapping.

    Raises CampaignError with "LINE: what is wrong" where it is not that.
    """
    if len(content) > LARGEST:
        raise CampaignError(f"1: {len(content)} bytes; expected a campaign of {LARGEST} at most")
    text = content if isinstance(content, str) else _decoded(content)
    try:
        root = _parser().compose(text)
        value = _parser().load(text)
    except MarkedYAMLError as error:
        raise CampaignError(f"{_mark_line(error)}: {_wording(error)}") from error
    except YAMLError as error:  # a character that YAML does not allow
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1
        raise CampaignError(f"{line}: a character that YAML does not allow; remove it") from error
    except RecursionError as error:
        raise CampaignError("1: nested too deeply") from error
    except (ValueError, OverflowError, TypeError) as error:  # such as a list used as a key
        raise CampaignError(f"1: not readable as YAML: {error}") from error
    if root is None or value is None:
        raise CampaignError("1: the file is empty; expected a campaign, such as one made by: larisma campaign new")
    if not isinstance(value, dict):
        raise CampaignError(
            f"{_line(root)}: expected `key: value` lines, got {'a list' if isinstance(value, list) else 'plain text'}"
        )
    return MarkedYaml(value, root, tuple(_repeated(root, (), set())))


class _Plain(SafeConstructor):
    """Dates stay text, so that one that does not exist is a fault of its own place."""


_Plain.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def _parser() -> YAML:
    parser = YAML(typ="safe", pure=True)
    parser.Constructor = _Plain
    parser.allow_duplicate_keys = True  # they are all reported, by _repeated, and not the first one alone
    return parser


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CampaignError(
            f"{line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error


def _line(node: Node) -> int:
    return node.start_mark.line + 1


def _mark_line(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _wording(error: MarkedYAMLError) -> str:
    problem = error.problem or error.context or "not valid YAML"
    if "'\\t'" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "single document" in (error.context or ""):
        return "a second document begins here (---); keep one campaign in each file"
    if "mapping values are not allowed" in problem:
        return 'not valid YAML: a colon too many; put text that has a colon in "quotes"'
    if "flow mapping" in (error.context or "") or "flow sequence" in (error.context or ""):
        return (
            "not valid YAML: a { or [ is not closed, or text within it has a comma, a colon, a bracket or {{ … }}; "
            'close it, or put the text in "quotes"'
        )
    if "scanning an alias" in (error.context or "") or "percent" in problem or "cannot start any token" in problem:
        return 'not valid YAML: text that begins with *, &, %, @ or ` goes in "quotes"'
    if "could not determine a constructor" in problem:
        return f"not valid YAML: {problem}; remove the tag that begins with !"
    return f"not valid YAML: {problem}"


def _child(node: Node, part: Hashable) -> tuple[int, Node] | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == str(part):
                return _line(key), value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return _line(node.value[part]), node.value[part]
    return None


def _repeated(node: Node, path: Place, seen: set[int]) -> Iterator[tuple[Place, int]]:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for index, entry in enumerate(node.value):
            yield from _repeated(entry, (*path, index), seen)
    elif isinstance(node, MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else ""
            if name in keys:
                yield (*path, name), _line(key)
            keys.add(name)
            yield from _repeated(value, (*path, name), seen)
