"""The best items for one customer, for a list of them, or for everybody a model knows."""

import os
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.policy import Place, kept_from
from campaigns.reasons import read_reason
from flows.catalogue import read_items
from flows.champion import Champion, load_champion
from flows.newcomers import PEOPLE, Newcomers, fit_newcomers, without_history
from flows.reasons import past_drivers, purchase_rhythm, reason_words, speak_of
from flows.settings import Settings
from flows.workspace import Workspace, publishing, read_table, write_json, write_parquet, write_parquet_blocks
from recsys.scoring import recommend
from recsys.tables import RECOMMENDATIONS, InputError

BLOCK = 10_000  # customers at a time


def recommend_items(
    workspace: Workspace, settings: Settings, customer: str, n: int, *, discover: bool, language: str
) -> list[dict[str, Any]]:
    """position, item_id, title, score, reason in words, and because, best first.

    because: the past purchases that add most to the score, [{"item_id", "title", "contribution"}], as far as one may
    speak of them. Raises InputError for an unknown customer.
    """
    champion, items = load_champion(workspace), read_items(workspace)
    require_known(workspace, champion, pa.array([customer]))
    newcomers = read_newcomers(workspace, champion)
    found = ranked(champion, items, pa.array([customer]), n, newcomers=newcomers, discover=discover).to_pylist()
    drivers = [past_drivers(champion, items, customer, row["item_id"]) for row in found]
    named = {row["item_id"] for row in found} | {name for own in drivers for name, _ in own}
    told = items.filter(pc.is_in(items["item_id"], value_set=pa.array(sorted(named), pa.string())))
    titles = dict(zip(told["item_id"].to_pylist(), told["title"].to_pylist(), strict=True))
    known = purchase_rhythm(workspace, champion.as_of, customer, [row["item_id"] for row in found])
    return [
        {
            "position": row["position"],
            "item_id": row["item_id"],
            "title": titles[row["item_id"]],
            "score": row["score"],
            "reason": reason_words(read_reason(row["reason"]), titles, times, champion.as_of, settings, language),
            "because": [{"item_id": name, "title": titles[name], "contribution": share} for name, share in own],
        }
        for row, own, times in zip(found, drivers, known, strict=True)
    ]


def read_newcomers(workspace: Workspace, champion: Champion, as_of: datetime | None = None) -> Newcomers:
    """What customers without a history are recommended; as_of: when customers had to be known (None: now)."""
    people = read_table(workspace, "customers", as_of=as_of, columns=PEOPLE)
    serving = champion.serving
    return fit_newcomers(serving.model, serving.matrix, people, champion.as_of.date())


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
    found = ranked(champion, read_items(workspace), ids, n, newcomers=read_newcomers(workspace, champion))
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    if out.suffix == ".parquet":
        write_parquet(aside, found)
    else:
        duckdb.from_arrow(found).write_csv(str(aside))
    aside.replace(out)
    unknown = int((champion.serving.matrix.customer_rows(ids) < 0).sum())
    return {"rows": found.num_rows, "customers": len(ids), "without_history": unknown}


def publish_recommendations(workspace: Workspace, champion: Champion, n: int) -> dict[str, Any]:
    """The n best items of every customer with a purchase or a row in customers before the model's as-of instant, as
    recommendations/MODEL/recommendations.parquet with its manifest, which is returned."""
    items, newcomers = read_items(workspace), read_newcomers(workspace, champion, champion.as_of)
    listed = newcomers.people["customer_id"].combine_chunks()
    customers = pa.concat_arrays([champion.serving.matrix.customers, listed.cast(pa.string())]).unique().sort()

    def blocks() -> Iterator[pa.Table]:
        for start in range(0, len(customers), BLOCK):
            yield ranked(champion, items, customers.slice(start, BLOCK), n, newcomers=newcomers)

    with publishing(workspace.recommendations(champion.id)) as folder:
        rows = write_parquet_blocks(folder / "recommendations.parquet", RECOMMENDATIONS.schema, blocks())
        manifest = {
            "model": champion.id,
            "as_of": champion.manifest["as_of"],
            "items_each": n,
            "counts": {"recommendations": rows, "customers": len(customers)},
            "inputs": {
                "items": {"rows": items.num_rows},
                "customers": {"rows": newcomers.people.num_rows},
                **champion.manifest["inputs"],
            },
            "seed": champion.manifest["settings"]["seed"],
            "code": version("larisma"),
        }
        write_json(folder / "manifest.json", manifest)
    return manifest


def ranked(
    champion: Champion,
    items: pa.Table,
    customers: pa.Array,
    n: int,
    *,
    newcomers: Newcomers | None = None,
    discover: bool = False,
) -> pa.Table:
    """RECOMMENDATIONS of items that may be offered and are in stock, in order of customer.

    newcomers: gives customers without a history what is popular with their kind (None: with all).
    """
    serving = champion.serving
    rows = serving.matrix.customer_rows(customers)
    keep = may_be_shown(items, serving.matrix.items)
    new = without_history(serving.matrix, rows) if newcomers else np.zeros(len(rows), bool)
    known = recommend(
        serving.model,
        serving.matrix,
        rows[~new],
        n,
        customer_ids=customers.filter(pa.array(~new)),
        keep=keep,
        exclude_bought=discover,
        speak_of=speak_of(items, serving.matrix.items),
    )
    if not newcomers:
        return known
    found = pa.concat_tables([known, newcomers.recommend(customers.filter(pa.array(new)), keep, n)])
    return found.sort_by([("customer_id", "ascending"), ("position", "ascending")])


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
