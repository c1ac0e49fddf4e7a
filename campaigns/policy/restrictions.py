"""Which items a country's rules restrict, and where a restricted item may not stand."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from campaigns.faults import faults
from campaigns.fields import Part, Words, expect
from campaigns.marked_yaml import read_yaml
from campaigns.tables import CampaignError

Place = Literal["offers", "lists", "push", "reasons", "ramadan"]
Kind = Literal["formula", "tobacco", "alcohol", "medicine", "intimate", "medical", "non_halal"]
SHIPPED = Path(__file__).with_name("id.yaml")
TOLD_BY = ("title", "category", "brand")  # an item's columns in which a restriction's words are looked for
PLACES: tuple[Place, ...] = get_args(Place)


def _pattern(text: str) -> str:
    try:
        pc.match_substring_regex(pa.array([""]), text)
    except pa.ArrowInvalid as error:
        raise PydanticCustomError("pattern", "not a regular expression that RE2 reads") from error
    return text


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]


class Restriction(Part):
    never_in: tuple[Place, ...]
    """Where such an item may not stand."""
    words: tuple[Pattern, ...] = ()
    """Regular expressions; an item whose title, category or brand has one of them is restricted."""
    harmless: Annotated[tuple[Pattern, ...], Field(alias="except")] = ()
    """Words that are overlooked, though they have one of the above in them."""
    source: Words
    """The law or custom behind it."""


class NeverInferred(Part):
    columns: tuple[Words, ...]
    source: Words


class StruckPrice(Part):
    days: Annotated[int, Field(strict=True, ge=1, le=366), expect("a number of days, 1 to 366")]
    source: Words


class Policy(Part):
    """A country's rules as its file states them."""

    country: Words
    version: Words
    restrictions: Mapping[Kind, Restriction]
    """Kind → rule, the strictest first."""
    never_inferred: NeverInferred
    """Columns of customers that may not exist."""
    struck_price: StruckPrice
    """How long a price must have stood before another is called lower."""


def load_policy(path: Path = SHIPPED) -> Policy:
    """Raises CampaignError with a line for each fault of the file."""
    try:
        written = read_yaml(path.read_bytes())
    except CampaignError as error:
        raise CampaignError(f"{path.name}:{error}") from error
    except OSError as error:
        raise CampaignError(f"{path}: cannot be read: {error.strerror}") from error
    repeated = [f"{path.name}:{line}: {_dotted(place)}: is there twice" for place, line in written.repeated]
    try:
        policy = Policy.model_validate(_without_dates(written.value))
    except ValidationError as error:
        wrong = faults(error, Policy.model_json_schema())
        lines = [f"{path.name}:{written.line(place)}: {_dotted(place)}: {words}" for place, words in wrong]
        raise CampaignError("\n".join(repeated + lines)) from error
    if repeated:
        raise CampaignError("\n".join(repeated))
    return policy


def judged(items: pa.Table, policy: Policy) -> pa.Table:
    """Items with `restriction`, the strictest of what the catalogue states and what the policy's words find, and with
    `never_in`, the places where any of them forbids an item to stand. Order and other columns stay."""
    told, stated = _text(items), pa.nulls(items.num_rows, pa.string())
    if "restriction" in items.column_names:
        stated = items["restriction"].cast(pa.string())
    restriction = stated.to_numpy(zero_copy_only=False).astype(object)  # one that has no rule any more stays as it is
    never = np.zeros((items.num_rows, len(PLACES)), np.bool_)
    for kind, rule in reversed(list(policy.restrictions.items())):  # the strictest, which is first, has the last word
        such = _has_words(told, rule) | pc.fill_null(pc.equal(stated, kind), False).to_numpy(zero_copy_only=False)
        restriction[such] = kind
        never |= such[:, None] & np.isin(PLACES, rule.never_in)
    return _with(_with(items, "restriction", pa.array(restriction, pa.string())), "never_in", _listed(never))


def keep_ramadan(items: pa.Table) -> pa.Table:
    """The judged items as a campaign of Ramadan or Lebaran may use them: it shows nothing that is unfit for it."""
    shown = np.isin(PLACES, ("offers", "lists"))
    never = np.column_stack([kept_from(items, place) for place in PLACES])
    return _with(items, "never_in", _listed(never | (never[:, [PLACES.index("ramadan")]] & shown)))


def kept_from(items: pa.Table, place: Place) -> NDArray[np.bool_]:
    """Which items may not stand in a place. Items that were not judged yet are, by the rules that come with Larisma."""
    if "never_in" not in items.column_names or items["never_in"].null_count:
        items = judged(items, shipped_policy())
    lists = items["never_in"].combine_chunks()
    found = np.zeros(items.num_rows, np.bool_)
    hits = pc.equal(pc.list_flatten(lists), place)
    found[pc.list_parent_indices(lists).filter(hits).to_numpy()] = True
    return found


def named_restrictions(text: str, policy: Policy, place: Place) -> list[tuple[Kind, str]]:
    """(kind, word) of each restriction that may not stand in a place and that a text names."""
    found = []
    for kind, rule in policy.restrictions.items():
        if place not in rule.never_in or not rule.words:
            continue
        rest = re.sub(_either(rule.harmless), " ", text.lower()) if rule.harmless else text.lower()
        hit = re.search(_either(rule.words), rest)
        if hit:
            found.append((kind, hit.group(0)))
    return found


@lru_cache(maxsize=1)
def shipped_policy() -> Policy:
    return load_policy()


def _listed(never: NDArray[np.bool_]) -> pa.Array:
    """[items × PLACES] as a list of places for each item."""
    ends = np.concatenate([[0], np.cumsum(never.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(np.array(PLACES)[np.nonzero(never)[1]], pa.string()))


def _text(items: pa.Table) -> pa.StringArray:
    """What tells of each item, in small letters."""
    told = pa.array([""] * items.num_rows, pa.string())
    for name in TOLD_BY:
        if name in items.column_names:
            column = pc.fill_null(items[name].cast(pa.string()), "").combine_chunks()
            told = pc.binary_join_element_wise(told, pc.utf8_lower(column), " | ")
    return told


def _has_words(told: pa.StringArray, rule: Restriction) -> NDArray[np.bool_]:
    if not rule.words:
        return np.zeros(len(told), np.bool_)
    hits = pc.match_substring_regex(told, _either(rule.words)).to_numpy(zero_copy_only=False).copy()
    doubtful = np.flatnonzero(hits)
    if rule.harmless and len(doubtful):
        rest = pc.replace_substring_regex(told.take(pa.array(doubtful)), _either(rule.harmless), " ")
        hits[doubtful] = pc.match_substring_regex(rest, _either(rule.words)).to_numpy(zero_copy_only=False)
    return hits


def _either(patterns: Sequence[str]) -> str:
    return rf"\b(?:{'|'.join(patterns)})\b"


def _with(items: pa.Table, name: str, column: pa.Array) -> pa.Table:
    if name in items.column_names:
        return items.set_column(items.column_names.index(name), name, column)
    return items.append_column(name, column)


def _without_dates(value: object) -> object:
    """A version that looks like a date is text here."""
    if isinstance(value, Mapping):
        return {key: _without_dates(inner) for key, inner in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else value


def _dotted(place: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in place)
