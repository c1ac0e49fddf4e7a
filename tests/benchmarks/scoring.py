"""How fast the best items are found, and in how much memory: tests/benchmarks/speed.py top scopes blend memory"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
from implicit.cpu.topk import topk as implicit_topk
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from shop import purchases, scopes
from stopwatch import medians, row
from threadpoolctl import threadpool_limits

from recsys.blend import Blend
from recsys.interactions import build_matrix
from recsys.models import fit_als
from recsys.scoring import best_of_all
from recsys.topk import Catalogue, arranged, top, top_in_scopes

CUSTOMERS, ITEMS, FACTORS, SCOPES = 200_000, 10_000, 64, 200
SHORT, LONG = 6, 20
BLOCK = 10_000  # customers whose results are held, as where recommendations are published
PANDAS_CUSTOMERS = 100
BLEND_CUSTOMERS = 20_000

Floats = NDArray[np.float32]


def fitted(customers: int) -> tuple[Floats, Floats]:
    """Factors as ALS fits them on a shop with a fifth of the customers, five times over."""
    lines = purchases(10 * customers, customers // 5, ITEMS)
    model = fit_als(build_matrix(lines, datetime(2018, 1, 1, tzinfo=UTC)).matrix, factors=FACTORS, iterations=5)
    some = model.customer_factors
    return np.ascontiguousarray(some[np.arange(customers) % len(some)]), model.item_factors


def alike(customers: int) -> tuple[Floats, Floats]:
    """The worst case: directions at random and items' factors of about one length, so that nothing is stopped early."""
    random = np.random.default_rng(1)
    return random.standard_normal((customers, FACTORS), np.float32), random.standard_normal(
        (ITEMS, FACTORS), np.float32
    )


def shelf(V: Floats, bias: Floats, U: Floats) -> Catalogue:
    return arranged(V, bias, reach=float(np.linalg.norm(U[:1000], axis=1).mean()))


def sgemm(U: Floats, V: Floats) -> None:
    """All scores, in blocks that stay in the cache, one thread of BLAS for each core; none is kept."""

    def half(start: int) -> None:
        scores = np.empty((512, 512), np.float32)
        for low in range(start, min(start + 8192, len(U) - 511), 512):
            for first in range(0, len(V) - 511, 512):
                np.dot(U[low : low + 512], V[first : first + 512].T, out=scores)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor() as pool:
        list(pool.map(half, range(0, len(U), 8192)))


def top_rows(scale: float = 1.0) -> list[tuple[str, ...]]:
    found = []
    for factors, kind in ((fitted, "fitted by ALS"), (alike, "random, the worst case")):
        U, V = factors(int(CUSTOMERS * scale))
        bias = np.zeros(len(V), np.float32)
        index = faiss.IndexFlatIP(FACTORS)
        index.add(V)
        with threadpool_limits(1, "blas"):
            ways = {
                "ours": lambda U=U, V=V, bias=bias: top(shelf(V, bias, U), U, LONG),
                "implicit": lambda U=U, V=V: implicit_topk(V, U, LONG, num_threads=0),
                "faiss": lambda U=U, index=index: index.search(U, LONG),
                "sgemm": lambda U=U, V=V: sgemm(U, V),
            }
            ways["ours"]()
            took = medians(ways)
        check(V, U[:1000], top(arranged(V, bias), U[:1000], LONG))
        what = f"top {LONG} of {len(V):,} items × {FACTORS} factors, {kind}, {len(U):,} customers"
        rate = f"{len(U) / took['ours']:,.0f} customers/s"
        for other, target in (("implicit", 2.0), ("faiss", 1.2)):
            ratio, theirs = took[other] / took["ours"], f"{len(U) / took[other]:,.0f} customers/s"
            found.append(row(what, rate, other, theirs, ratio, f"≥ {target} ×", ratio >= target))
        work = 2e-9 * len(U) * len(V) * FACTORS
        all_tiles = (len(V) // 512 * 512) / len(V) * (len(U) // 512 * 512) / len(U)
        share = took["sgemm"] / all_tiles / took["ours"]
        ours, theirs = work / took["ours"], work * all_tiles / took["sgemm"]
        found.append(row(what, f"{ours:.0f} GFLOP/s", "sgemm", f"{theirs:.0f} GFLOP/s", share, "≥ 0.4 ×", share >= 0.4))
    return found


def scope_rows(scale: float = 1.0) -> list[tuple[str, ...]]:
    U, V = fitted(int(CUSTOMERS * scale / 10))
    bias, inside = np.zeros(len(V), np.float32), scopes(len(V), SCOPES)
    columns = [np.flatnonzero(inside[:, scope]) for scope in range(SCOPES)]
    sparse = csr_matrix(inside)

    def per_scope() -> list[Any]:
        return [implicit_topk(V[own], U, SHORT, num_threads=0) for own in columns]

    def grouped() -> pd.DataFrame:
        people = U[:PANDAS_CUSTOMERS]
        scores = (people @ V.T).ravel()
        item, scope = np.nonzero(inside)
        frame = pd.DataFrame({"customer": np.repeat(np.arange(len(people)), len(V)), "score": scores})
        frame["item"] = np.tile(np.arange(len(V)), len(people))
        frame = frame.merge(pd.DataFrame({"item": item, "scope": scope}), on="item")
        ordered = frame.sort_values("score", ascending=False, kind="stable")
        return ordered.groupby(["customer", "scope"], sort=False).head(SHORT)

    def in_blocks() -> None:
        for low in range(0, len(U), BLOCK):
            top_in_scopes(arranged(V, bias), U[low : low + BLOCK], sparse, SHORT)

    in_blocks()
    with threadpool_limits(1, "blas"):
        took = medians({"ours": in_blocks, "implicit": per_scope, "pandas": grouped})
    found = top_in_scopes(arranged(V, bias), U[:500], sparse, SHORT)
    for scope, own in enumerate(columns):
        check(V[own], U[:500], (np.searchsorted(own, found[0][:, scope]), found[1][:, scope]))
    each = {name: seconds / len(U) for name, seconds in took.items()}
    each["pandas"] = took["pandas"] / PANDAS_CUSTOMERS
    what = f"top {SHORT} in each of {SCOPES} scopes ({sparse.nnz:,} items in them), {len(U):,} customers"
    rates = {name: f"{1 / seconds:,.0f} customers/s" for name, seconds in each.items()}
    names = {"implicit": "implicit per scope", "pandas": f"pandas group-by ({PANDAS_CUSTOMERS} customers)"}
    return [
        row(what, rates["ours"], names[other], rates[other], ratio, f"≥ {target} ×", ratio >= target)
        for other, target in (("implicit", 3), ("pandas", 20))
        for ratio in [each[other] / each["ours"]]
    ]


def check(V: Floats, U: Floats, found: tuple[NDArray[np.int32], Floats]) -> None:
    """Raises AssertionError if other items score higher than those found, beyond rounding."""
    scores = U @ V.T
    items, said = found
    np.testing.assert_allclose(np.take_along_axis(scores, items, axis=1), said, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(said, -np.sort(-scores, axis=1)[:, : said.shape[1]], rtol=1e-4, atol=1e-4)


def blend_rows(scale: float = 1.0) -> list[tuple[str, ...]]:
    """A made-up blend: of 30 items each customer bought, 50 neighbours of each item, two levels of categories."""
    random, customers = np.random.default_rng(1), int(BLEND_CUSTOMERS * scale)
    bought = np.sort(random.integers(0, ITEMS // 30, (customers, 30)) + np.arange(30) * (ITEMS // 30), axis=1)
    near = np.sort(random.integers(0, ITEMS // 50, (ITEMS, 50)) + np.arange(50) * (ITEMS // 50), axis=1)
    model = Blend(
        name="blend",
        indptr=np.arange(0, bought.size + 1, 30),
        indices=bought.ravel().astype(np.int32),
        repeat=random.beta(0.5, 6.0, bought.size).astype(np.float32),
        confidence=random.uniform(1, 8, bought.size).astype(np.float32),
        customer_factors=random.normal(0, 0.1, (customers, FACTORS)).astype(np.float32),
        item_factors=random.normal(0, 0.1, (ITEMS, FACTORS)).astype(np.float32),
        similar_indptr=np.arange(0, near.size + 1, 50),
        similar_indices=near.ravel().astype(np.int32),
        similar_data=random.uniform(0, 0.04, near.size).astype(np.float32),
        groups=np.stack([random.integers(0, 300, ITEMS), random.integers(0, 40, ITEMS)]).astype(np.int32),
        item_odds=random.normal(-9, 1.5, ITEMS).astype(np.float32),
        customer_odds=random.normal(0, 1, customers).astype(np.float32),
        weights=np.array([0.7, 0.3, 0.1, 0.1], np.float32),
        popularity=random.uniform(0, 0.1, ITEMS).astype(np.float32),
    )
    rows = np.arange(customers)
    _, chances = model.top(rows[:1000], LONG)
    np.testing.assert_allclose(chances, best_of_all(model, rows[:1000], LONG)[1], rtol=1e-4)
    seconds = medians({"ours": lambda: model.top(rows, LONG), "all": lambda: best_of_all(model, rows, LONG)})
    ratio = seconds["all"] / seconds["ours"]
    what = f"top {LONG} of a blend, {ITEMS:,} items, {customers:,} customers"
    ours, theirs = (f"{seconds[way]:.2f} s" for way in ("ours", "all"))
    return [row(what, ours, "the best of all its scores", theirs, ratio, "–", True)]


def memory_rows(scale: float = 1.0) -> list[tuple[str, ...]]:
    """Beside the model, in processes of their own: scoring everybody, the results of a block at a time."""
    found = []
    for way in ("top", "scopes"):
        sizes = [int(CUSTOMERS * scale), int((10 if way == "top" else 1) * CUSTOMERS * scale)]
        if way == "scopes":
            sizes[0] //= 10
        command = [sys.executable, __file__, way]
        small, large = (int(subprocess.check_output([*command, str(size)])) for size in sizes)
        found.append(
            row(
                f"memory to score {sizes[1]:,} customers beside the model, {way}",
                f"{large / 1024:.0f} MB",
                f"{sizes[0]:,} customers",
                f"{small / 1024:.0f} MB",
                large / small,
                "1 ×",
                large < 1.1 * small,
            )
        )
    return found


def peak(way: str, customers: int) -> int:
    """KB that scoring takes at most beyond what was there before. Linux alone tells."""
    U, V = alike(customers)
    bias, sparse = np.zeros(ITEMS, np.float32), csr_matrix(scopes(ITEMS, SCOPES))
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of making the model
    before = held("VmRSS")
    for low in range(0, customers, BLOCK):
        if way == "top":
            top(arranged(V, bias), U[low : low + BLOCK], LONG)
        else:
            top_in_scopes(arranged(V, bias), U[low : low + BLOCK], sparse, SHORT)
    return held("VmHWM") - before


def held(what: str) -> int:
    """KB of this process: VmRSS, what it holds; VmHWM, the most it held."""
    return int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0])


if __name__ == "__main__":
    print(peak(sys.argv[1], int(sys.argv[2])))
