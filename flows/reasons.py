"""What is said of a recommendation: its reason in words, and the past purchases that made its score."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.policy import kept_from
from campaigns.reasons import Reason, read_reason, rhythm_words, segment_words, spoken
from campaigns.words import date_words
from flows.catalogue import read_items
from flows.champion import Champion, load_champion
from flows.settings import Settings
from flows.workspace import Workspace, read_table
from recsys.artifact import ArtifactError
from recsys.rhythm import rhythm
from recsys.tables import InputError

DRIVERS = 3  # past purchases that an explanation names
Times = tuple[int, float, float]  # orders of an item, mean days between them (NaN: no rhythm), days since the last


def reason_words(
    reason: Reason,
    titles: Mapping[str, str | None],
    times: Times,
    as_of: datetime,
    settings: Settings,
    language: str,
) -> str:
    """titles: of the items that a reason may name."""
    orders, every, since = times
    words = spoken(language)
    if reason.kind == "repeat" and orders:
        if every == every:  # not NaN
            return rhythm_words(Reason("repeat", every=max(1, round(every)), since=int(since)), language)
        last = date_words(as_of - timedelta(days=since), settings.timezone, language)
        return words["repeat" if orders > 1 else "once"].format(orders=orders, last=last)
    if reason.kind == "because" and titles.get(str(reason.item_id)):
        return words["because"].format(title=titles[str(reason.item_id)])
    return segment_words(reason.segment, language)


def past_drivers(champion: Champion, items: pa.Table, customer: str, item_id: str) -> list[tuple[str, float]]:
    """The past purchases that add most to the score of an item, as (item_id, contribution), most first."""
    serving = champion.serving
    row, column = (
        serving.matrix.customer_rows(pa.array([customer]))[0],
        serving.matrix.item_rows(pa.array([item_id]))[0],
    )
    if row < 0 or column < 0:
        return []
    names = [
        (serving.matrix.items[past].as_py(), share) for past, share in serving.model.explain(int(row), int(column))
    ]
    may = speak_of(items, pa.array([name for name, _ in names], pa.string()))
    return [driver for driver, spoken_of in zip(names, may, strict=True) if spoken_of][:DRIVERS]


def speak_of(items: pa.Table, item_ids: pa.Array) -> NDArray[np.bool_]:
    """Which of the ids are items with a title that a reason may name to whoever bought them."""
    named = items["title"].is_valid().to_numpy() & ~kept_from(items, "reasons")
    return pc.is_in(item_ids, value_set=items["item_id"].filter(pa.array(named)).combine_chunks()).to_numpy(
        zero_copy_only=False
    )


def purchase_rhythm(workspace: Workspace, as_of: datetime, customer: str, item_ids: Sequence[str]) -> list[Times]:
    """The times of each item, as they were known as of an instant."""
    lines = read_table(workspace, "purchases", as_of=as_of, where=pc.field("customer_id") == customer)
    pairs = pa.array([customer] * len(item_ids), pa.string()), pa.array(item_ids, pa.string())
    found = rhythm(lines, as_of, *pairs)
    return list(zip(found.orders.tolist(), found.every.tolist(), found.since.tolist(), strict=True))


def explained_items(
    workspace: Workspace,
    settings: Settings,
    manifest: Mapping[str, Any],
    decisions: Sequence[Mapping[str, Any]],
    language: str,
) -> list[dict[str, Any]]:
    """What one customer's decisions show: offer_id, items (titles, best first), reason of the first, and because.

    because: the past purchases that made the first item's score, with what each adds; none if another model serves now.
    """
    decisions = [row for row in decisions if row["item_ids"]]
    if not decisions:
        return []
    as_of, items = datetime.fromisoformat(manifest["as_of"]), read_items(workspace)
    try:
        champion = load_champion(workspace, as_of)
    except (InputError, ArtifactError):
        champion = None
    known = champion if champion and champion.id == manifest["model"]["id"] else None
    titles = dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))
    found = []
    for row in decisions:
        customer, first, reason = row["customer_id"], row["item_ids"][0], read_reason(row["reason"])
        (times,) = purchase_rhythm(workspace, as_of, customer, [first])
        drivers = past_drivers(known, items, customer, first) if known else []
        found.append(
            {
                "offer_id": row["offer_id"],
                "items": [titles.get(name) or name for name in row["item_ids"]],
                "reason": reason_words(reason, titles, times, as_of, settings, language),
                "because": [{"item_id": name, "title": titles[name], "contribution": share} for name, share in drivers],
            }
        )
    return found
