"""Which items an offer applies to, and what a scope names that is not there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from campaigns.faults import near
from campaigns.policy import kept_from
from campaigns.spec import Campaign, Offer, Scope
from recsys.tables import ITEMS, InputError, conform

_COLUMNS = {"items": "item_id", "brands": "brand", "merchants": "merchant_id"}
TOP = 5  # names that are told where none is near
_SINGULAR = {"categories": "category", "items": "item", "brands": "brand", "merchants": "merchant"}


def scope_matrix(offers: Sequence[Offer], items: pa.Table, item_ids: pa.Array | pa.ChunkedArray) -> csr_matrix:
    """Which item is in which offer's scope: float32 [item_ids × offers] of 0 and 1.

    items: the table of items, in any order; an item_id that is not in it has no category, brand or merchant.
    Items that the country's rules keep from offers are in no scope. Raises InputError for an item that is there twice.
    """
    catalogue = _aligned(items, item_ids)
    where = pc.index_in(item_ids, value_set=items["item_id"].combine_chunks())
    barred = np.append(kept_from(items, "offers"), False)[pc.fill_null(where, -1)]
    members = [np.flatnonzero(_in_scope(offer.scope, catalogue) & ~barred) for offer in offers]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *members])
    columns = np.repeat(np.arange(len(offers)), [len(member) for member in members])
    return csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(catalogue.num_rows, len(offers)))


def check_scopes(campaign: Campaign, items: pa.Table) -> list[str]:
    """A line for each category, item, brand or merchant that no item has, and for each offer without an item."""
    faults = []
    sizes = np.asarray(scope_matrix(campaign.offers, items, items["item_id"]).sum(axis=0)).ravel()
    named = scope_names(items)
    for offer, size in zip(campaign.offers, sizes, strict=True):
        unknown = [
            f"offers[{offer.id}].scope.{key}[{n}]: {words}" for key, n, words in unknown_names(offer.scope, named)
        ]
        faults += unknown
        if not size and not unknown and offer.scope.green and not _some(items, "green"):
            faults.append(f"offers[{offer.id}].scope.green: no item is marked green; map items.green")
        elif not size and not unknown:
            faults.append(f"offers[{offer.id}].scope: holds no item that may be offered; widen it or drop the offer")
        if offer.per_unit and not _some(items, "stock"):
            faults.append(f"offers[{offer.id}].per_unit: no item has a stock; map items.stock")
    return faults


def scope_names(items: pa.Table) -> dict[str, dict[str, int]]:
    """Key of a scope → what may stand there, each with how many items it holds, the largest first."""
    paths: Counter[str] = Counter()
    if "category" in items.column_names:
        for entry in pc.value_counts(items["category"].drop_null()).to_pylist():
            parts = category_path(entry["values"]).split(" > ")
            for depth in range(1, len(parts) + 1):
                paths[" > ".join(parts[:depth])] += entry["counts"]
    return {"categories": dict(sorted(paths.items(), key=_largest))} | {
        key: _values(items, column) for key, column in _COLUMNS.items()
    }


def unknown_names(scope: Scope, known: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, int, str]]:
    """(key, number in its list, fault) of each name in a scope that is not known, with near ones or the largest."""
    for key, names in known.items():
        for number, name in enumerate(getattr(scope, key)):
            wanted = category_path(name) if key == "categories" else name
            if wanted in names:
                continue
            guess = near(wanted, names, 3)
            if not guess and names:
                guess = f"; the largest of {len(names)} are {', '.join(map(repr, islice(names, TOP)))}"
            yield key, number, f"no item has the {_SINGULAR[key]} {name!r}{guess or '; the items have none'}"


def _largest(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]


def category_path(text: str) -> str:
    """A category path in its one spelling: parts joined by " > "."""
    return " > ".join(part.strip() for part in text.split(">"))


def _in_scope(scope: Scope, catalogue: pa.Table) -> NDArray[np.bool_]:
    if scope.everything:
        return np.ones(catalogue.num_rows, dtype=np.bool_)
    found = np.zeros(catalogue.num_rows, dtype=np.bool_)
    for key, column in _COLUMNS.items():
        found |= _among(catalogue[column], getattr(scope, key))
    if scope.green:
        found |= pc.fill_null(catalogue["green"], False).to_numpy(zero_copy_only=False)
    below = tuple(category_path(name) + " >" for name in scope.categories)  # "Food >": "Food" is not "Foodstuff"
    paths = [path for path in pc.unique(catalogue["category"]).to_pylist() if path is not None]
    covered = [path for path in paths if (category_path(path) + " >").startswith(below)]
    return found | _among(catalogue["category"], covered)


def _among(values: pa.Array | pa.ChunkedArray, wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Where a value is one of those wanted; null is none of them."""
    return pc.is_in(values, value_set=pa.array(wanted, values.type), skip_nulls=True).to_numpy(zero_copy_only=False)


def _aligned(items: pa.Table, item_ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The items' rows in the order of item_ids; those that are missing have their id alone."""
    table = conform(items, ITEMS)
    twice = table.num_rows - pc.count_distinct(table["item_id"]).as_py()
    if twice:
        raise InputError(f"items: {twice} rows repeat an item_id; keep one row for each item")
    rows = pc.index_in(item_ids, value_set=table["item_id"].combine_chunks())
    return table.take(rows).set_column(0, "item_id", item_ids)


def _some(items: pa.Table, column: str) -> bool:
    """Whether any item has a value there, or is marked."""
    if column not in items.column_names:
        return False
    values = items[column].drop_null()
    return bool(pc.any(values).as_py()) if pa.types.is_boolean(values.type) else len(values) > 0


def _values(items: pa.Table, column: str) -> dict[str, int]:
    if column not in items.column_names:
        return {}
    counted = pc.value_counts(items[column].drop_null()).to_pylist()
    return dict(sorted(((entry["values"], entry["counts"]) for entry in counted), key=_largest))
