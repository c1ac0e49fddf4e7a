"""Where campaigns' templates run: nothing but printing fields, a few filters, conditions and plain loops.

Texts come from whoever may edit a campaign, so they are refused twice: by what they are made of (read before anything
runs, which also bounds time and memory: no calls, no assignments, no loop within a loop) and by the environment, in
which only keys of plain dicts are reachable, arithmetic is for small numbers, and time and length are counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from time import thread_time
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

LONGEST_TEXT = 2_000  # characters of a template
LARGEST = 10**15  # what a campaign's arithmetic may reach
MOST_SECONDS = 5.0  # of processor time for one text, into which Python may count a collection of its garbage
MOST_CHARACTERS = 250_000  # of one filled text: 1 MB of the widest of them
FILTERS = ("capitalize", "default", "first", "last", "length", "lower", "title", "trim", "upper")
TESTS = ("defined", "divisibleby", "eq", "even", "ge", "gt", "in", "le", "lt", "ne", "none", "odd", "undefined")

_PARTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.Keyword, nodes.If, nodes.CondExpr, nodes.For, nodes.Tuple, nodes.List,
    nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.Concat,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow, nodes.Neg, nodes.Pos,
)  # fmt: skip
_UNKNOWN = object()  # a value that a look at the template does not tell


class Sandbox(ImmutableSandboxedEnvironment):
    """Keys of dicts, entries of lists, small numbers. No calls, no attributes, no globals.

    limited: what is filled stays within MOST_SECONDS and MOST_CHARACTERS, as campaigns' texts must; our own mail need
    not.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, *, html: bool, limited: bool = True) -> None:
        super().__init__(autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        if limited:
            self.concat = within_limits  # type: ignore[method-assign]
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in FILTERS}
        self.tests = {name: self.tests[name] for name in TESTS}

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if type(obj) in (dict, list):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=str(argument))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise SecurityError("a template cannot call anything")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            return left + right  # says which field is not there
        for value in (left, right):
            if type(value) not in (int, float):
                raise SecurityError(f"{operator} is for numbers")
            if not -LARGEST <= value <= LARGEST:
                raise SecurityError(f"a number beyond {LARGEST} in {operator}")
        if operator == "**" and not (0 <= right <= 16 and -1000 <= left <= 1000):
            raise SecurityError("** is for exponents up to 16 of numbers up to 1000")
        return super().call_binop(context, operator, left, right)


def within_limits(parts: Iterable[str], seconds: float = MOST_SECONDS, characters: int = MOST_CHARACTERS) -> str:
    """The parts as one text. Raises SecurityError where it grows too long, or takes too much processor time to make."""
    began, length, found = thread_time(), 0, list[str]()
    for number, part in enumerate(parts):
        found.append(part)
        length += len(part)
        if length > characters:
            raise SecurityError(f"a text of more than {characters:,} characters")
        if number % 16 == 15:
            _within(seconds, began)
    _within(seconds, began)
    return "".join(found)


def _within(seconds: float, began: float) -> None:
    if thread_time() - began > seconds:
        raise SecurityError(f"a text that takes more than {seconds:g} s of processor time to fill")


def template_faults(text: str, sample: Mapping[str, Any]) -> list[str]:
    """What is wrong with a text, in words; `sample` is a context as texts meet it, from which the fields are known."""
    if len(text) > LONGEST_TEXT:
        return [f"expected at most {LONGEST_TEXT} characters, got {len(text)}"]
    sandbox = Sandbox(html=False)
    try:
        found = list(dict.fromkeys(_faults(sandbox.parse(text), sample)))
        if not found:
            sandbox.from_string(text)
        return found
    except TemplateError as error:
        return [f"not a valid template: {error.message}"]
    except (RecursionError, MemoryError, SyntaxError):  # from Python's compiler, of what jinja2 makes for it
        return ["not a valid template: nested too deeply"]


def _faults(node: nodes.Node, known: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(node, _PARTS):
        yield f"{type(node).__name__.lower()} has no place in a text; it may print fields, filter, compare and loop"
        return
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        yield f"unknown filter {node.name}; there are {', '.join(FILTERS)}"
    elif isinstance(node, nodes.Test) and node.name not in TESTS:
        yield f"unknown test {node.name}; there are {', '.join(TESTS)}"
    elif isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem):
        fault = _resolve(node, known)
        if isinstance(fault, _Fault):
            yield fault.words
            return
    elif isinstance(node, nodes.Output):
        for printed in node.nodes:
            if isinstance(_resolve(printed, known), dict | list):
                yield f"{_spelled(printed)} is not a text but holds several; name one of them"
    elif isinstance(node, nodes.For):
        yield from _loop_faults(node, known)
        return
    for child in node.iter_child_nodes():
        yield from _faults(child, known)


def _loop_faults(loop: nodes.For, known: Mapping[str, Any]) -> Iterator[str]:
    if loop.recursive or any(True for part in (*loop.body, *loop.else_) for _ in _loops(part)):
        yield "a loop within a loop has no place in a text"
        return
    yield from _faults(loop.iter, known)
    over = _resolve(loop.iter, known)
    if not isinstance(loop.iter, nodes.Name | nodes.Getattr) or not isinstance(over, list | _Fault):
        yield "a loop goes over a list of fields, as offers"
        return
    if not isinstance(loop.target, nodes.Name):
        yield "a loop has one variable"
        return
    inner = {**known, loop.target.name: over[0] if isinstance(over, list) and over else _UNKNOWN}
    for part in (*([loop.test] if loop.test else []), *loop.body, *loop.else_):
        yield from _faults(part, inner)


def _loops(node: nodes.Node) -> Iterator[nodes.For]:
    if isinstance(node, nodes.For):
        yield node
    yield from node.find_all(nodes.For)


class _Fault:
    def __init__(self, words: str) -> None:
        self.words = words


def _resolve(node: nodes.Node, known: Mapping[str, Any]) -> Any:
    """The sample's value of a field, a _Fault that says why there is none, or _UNKNOWN."""
    if isinstance(node, nodes.Name):
        return _field(node.name, known, "")
    if isinstance(node, nodes.Getattr | nodes.Getitem):
        name = node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg)
        whole = _resolve(node.node, known)
        if isinstance(whole, _Fault) or whole is _UNKNOWN:
            return whole
        if isinstance(whole, list) and isinstance(name, int):
            return whole[0] if whole else _UNKNOWN
        if not isinstance(whole, dict) or not isinstance(name, str):
            return _Fault(f"unknown field {_spelled(node)}; {_spelled(node.node)} has no fields of that kind")
        return _field(name, whole, _spelled(node.node) + ".")
    return _UNKNOWN


def _field(name: str, known: Mapping[str, Any], before: str) -> Any:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 1)
    hint = (
        f"did you mean {before}{near[0]}?" if near else f"there are {', '.join(before + key for key in sorted(known))}"
    )
    return _Fault(f"unknown field {before}{name}; {hint}")


def _constant(node: nodes.Node) -> Any:
    return node.value if isinstance(node, nodes.Const) else None


def _spelled(node: nodes.Node) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{_spelled(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        return f"{_spelled(node.node)}[{_constant(node.arg)!r}]"
    return "…"
