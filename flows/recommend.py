"""The best items for one customer, for a list of them, or for everybody a model knows."""

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.policy import Place, kept_from
from campaigns.words import date_words
from flows.catalogue import read_items
from flows.champion import Champion, load_champion
from flows.settings import Settings
from flows.workspace import Workspace, publishing, read_table, write_json, write_parquet, write_parquet_blocks
from recsys.scoring import recommend
from recsys.tables import RECOMMENDATIONS, InputError

REASONS = {
    "id": {
        "repeat": "sudah Anda beli {orders} kali, terakhir {last}",
        "because": "karena Anda membeli {title}",
        "popular": "banyak dibeli pelanggan lain",
    },
    "en": {
        "repeat": "you bought this {orders} times, last on {last}",
        "because": "because you bought {title}",
        "popular": "many other customers buy this",
    },
}
BLOCK = 10_000  # customers at a time


def recommend_items(
    workspace: Workspace, settings: Settings, customer: str, n: int, *, discover: bool, language: str
) -> list[dict[str, Any]]:
    """position, item_id, title, score and reason in words, best first. Raises InputError for an unknown customer."""
    champion, items = load_champion(workspace), read_items(workspace)
    require_known(workspace, champion, pa.array([customer]))
    found = ranked(champion, items, pa.array([customer]), n, discover=discover).to_pylist()
    named = {name for row in found for name in (row["item_id"], row["reason"].partition(":")[2])}
    told = items.filter(pc.is_in(items["item_id"], value_set=pa.array(sorted(named), pa.string())))
    goods = {row["item_id"]: row for row in told.select(["item_id", "title", "never_in"]).to_pylist()}
    history = purchase_history(workspace, champion, customer)

    def words(row: dict[str, Any]) -> str:
        kind, _, past = row["reason"].partition(":")
        if kind == "because" and (not goods[past]["title"] or "reasons" in goods[past]["never_in"]):
            kind = "popular"
        orders, last = history.get(row["item_id"], (0, champion.as_of))
        spoken = date_words(last, settings.timezone, language)
        title = goods[past]["title"] if kind == "because" else ""
        return REASONS[language][kind].format(orders=orders, last=spoken, title=title)

    return [
        {
            "position": row["position"],
            "item_id": row["item_id"],
            "title": goods[row["item_id"]]["title"],
            "score": row["score"],
            "reason": words(row),
        }
        for row in found
    ]


def score_customers(workspace: Workspace, customers: Path, out: Path, n: int) -> dict[str, int]:
    """Writes RECOMMENDATIONS for a list of customers to a CSV or Parquet; returns rows, customers, without_history.

    Raises InputError for a file that cannot be read or has no customer_id, and for unknown customers.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out {out}: expected a name that ends in .csv or .parquet")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}")
    ids = customer_ids(customers)
    champion = load_champion(workspace)
    require_known(workspace, champion, ids)
    found = ranked(champion, read_items(workspace), ids, n)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    if out.suffix == ".parquet":
        write_parquet(aside, found)
    else:
        duckdb.from_arrow(found).write_csv(str(aside))
    aside.replace(out)
    unknown = int((champion.serving.matrix.customer_rows(ids) < 0).sum())
    return {"rows": found.num_rows, "customers": len(ids), "without_history": unknown}


def publish_recommendations(workspace: Workspace, champion: Champion, n: int) -> dict[str, Any]:
    """The n best items of every customer the model knows, as recommendations/MODEL/recommendations.parquet with its
    manifest, which is returned."""
    items, customers = read_items(workspace), champion.serving.matrix.customers

    def blocks() -> Iterator[pa.Table]:
        for start in range(0, len(customers), BLOCK):
            yield ranked(champion, items, customers.slice(start, BLOCK), n)

    with publishing(workspace.recommendations(champion.id)) as folder:
        rows = write_parquet_blocks(folder / "recommendations.parquet", RECOMMENDATIONS.schema, blocks())
        manifest = {
            "model": champion.id,
            "as_of": champion.manifest["as_of"],
            "items_each": n,
            "counts": {"recommendations": rows, "customers": len(customers)},
            "inputs": {"items": {"rows": items.num_rows}, **champion.manifest["inputs"]},
            "seed": champion.manifest["settings"]["seed"],
            "code": version("larisma"),
        }
        write_json(folder / "manifest.json", manifest)
    return manifest


def ranked(champion: Champion, items: pa.Table, customers: pa.Array, n: int, *, discover: bool = False) -> pa.Table:
    """RECOMMENDATIONS of items that may be offered and are in stock."""
    serving = champion.serving
    rows = serving.matrix.customer_rows(customers)
    keep = may_be_shown(items, serving.matrix.items)
    return recommend(serving.model, serving.matrix, rows, n, customer_ids=customers, keep=keep, exclude_bought=discover)


def may_be_shown(items: pa.Table, item_ids: pa.Array, *places: Place) -> NDArray[np.bool_]:
    """Which of the ids are items, in stock, and not kept from lists of items or from another of the places."""
    gone = pc.fill_null(pc.equal(items["stock"], 0), False).to_numpy()
    for place in ("lists", *places):
        gone = gone | kept_from(items, place)
    offered = items["item_id"].filter(pa.array(~gone))
    return pc.is_in(item_ids, value_set=offered.combine_chunks()).to_numpy(zero_copy_only=False)


def require_known(workspace: Workspace, champion: Champion, customers: pa.Array) -> None:
    """Raises InputError if somebody has neither bought anything nor is in the customers table."""
    new = customers.filter(pa.array(champion.serving.matrix.customer_rows(customers) < 0))
    if not len(new):
        return
    listed = read_table(workspace, "customers", columns=["customer_id"])["customer_id"].combine_chunks()
    unknown = new.filter(pc.invert(pc.is_in(new, value_set=listed)))
    if len(unknown):
        example = champion.serving.matrix.customers[0]
        count = "" if len(customers) == 1 else f"{len(unknown)} of {len(customers)} are unknown, the first is "
        raise InputError(
            f"customer: {count}{unknown[0].as_py()!r}: no purchases and no row in customers; an id looks like {example}"
        )


def purchase_history(workspace: Workspace, champion: Champion, customer: str) -> dict[str, tuple[int, Any]]:
    """Item id → in how many orders the customer bought it, and when last, as the model knew it."""
    columns, own = ("order_id", "item_id", "occurred_at", "kind"), pc.field("customer_id") == customer
    lines = read_table(workspace, "purchases", as_of=champion.as_of, columns=columns, where=own)
    bought = lines.filter(pc.equal(lines["kind"], "purchase"))
    grouped = bought.group_by("item_id").aggregate([("order_id", "count_distinct"), ("occurred_at", "max")])
    return {row["item_id"]: (row["order_id_count_distinct"], row["occurred_at_max"]) for row in grouped.to_pylist()}


def customer_ids(path: Path) -> pa.Array:
    """The distinct customer_id of a CSV or Parquet, sorted."""
    if not path.is_file():
        raise InputError(f"--customers {path}: no such file")
    reader = "read_parquet(?)" if path.suffix == ".parquet" else "read_csv(?, all_varchar = true, header = true)"
    query = f"select distinct customer_id::varchar as id from {reader} where customer_id is not null order by id"
    try:
        ids = duckdb.execute(query, [str(path)]).fetchall()
    except duckdb.Error as error:
        raise InputError(f"--customers {path}: expected a CSV or Parquet with a column customer_id") from error
    if not ids:
        raise InputError(f"--customers {path}: there is no customer in it")
    return pa.array([row[0] for row in ids], pa.string())
