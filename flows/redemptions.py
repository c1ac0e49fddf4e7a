"""Past campaigns as trials of how offers are ranked: each as its start knew the world, and who then redeemed what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from flows.workspace import Workspace, read_table
from recsys import metrics
from recsys.interactions import InteractionMatrix, build_matrix
from recsys.ranking import rank
from recsys.redemption import fit_weights, offer_features, similarity
from recsys.tables import INSTANT

REDEEMED, VOUCHER = "redeemed", "voucher"  # kinds of feedback and of events
SLICE = "redemptions"
MEASURES = {
    "ndcg@10": metrics.ndcg,
    "recall@10": metrics.recall,
    "hit_rate@10": metrics.hit_rate,
    "mrr@10": metrics.mrr,
}
K = 10
LEAD = f"ndcg@{K}"
HALF_LIFE = 364.0  # days; a liking for a brand lasts longer than a larder
DECAY = 91.0  # days, of the decayed counts that are compared with
SIZE_POWER = 0.2  # of the scope, by which counts over size divides
HISTORY = timedelta(days=28)  # of purchases before a campaign that it takes to say anything
NEVER = np.iinfo(np.int64).max

COUNTS, OURS = "counts", "redemption"


@dataclass(frozen=True, eq=False)
class Facts:
    """The tables that trials are made from, all that is known of each."""

    purchases: pa.Table
    items: pa.Table
    past_offers: pa.Table
    feedback: pa.Table
    events: pa.Table


@dataclass(frozen=True, eq=False)
class Trial:
    """One campaign's offers for the customers who redeemed any of them, all as of its start but what they redeemed.

    baselines: name → scores [customers × offers]. features: [customers × offers × FEATURES].
    redeemed_at: int64 microseconds [customers × offers], NEVER where not.
    """

    campaign_id: str
    starts_at: datetime
    baselines: Mapping[str, NDArray[np.float64]]
    features: NDArray[np.float64]
    redeemed_at: NDArray[np.int64]


def read_facts(workspace: Workspace, as_of: datetime) -> Facts:
    return Facts(
        purchases=read_table(workspace, "purchases", as_of=as_of),
        items=read_table(workspace, "items", columns=["item_id", "category"]),
        past_offers=read_table(workspace, "past_offers", as_of=as_of),
        feedback=read_table(workspace, "feedback", as_of=as_of, where=pc.field("event") == REDEEMED),
        events=read_table(workspace, "events", as_of=as_of, where=pc.field("kind") == VOUCHER),
    )


def make_trials(facts: Facts) -> list[Trial]:
    """A trial for each campaign with two offers or more that somebody redeemed, in order of start and id."""
    if not (facts.past_offers.num_rows and facts.feedback.num_rows and facts.purchases.num_rows):
        return []
    first = pc.min(facts.purchases["occurred_at"]).as_py()
    taken = facts.feedback.filter(
        pc.and_(facts.feedback["offer_id"].is_valid(), facts.feedback["customer_id"].is_valid())
    )
    starts = facts.past_offers.group_by("campaign_id").aggregate([("starts_at", "min"), ("offer_id", "count_distinct")])
    made = []
    for row in starts.sort_by([("starts_at_min", "ascending"), ("campaign_id", "ascending")]).to_pylist():
        own = taken.filter(pc.equal(taken["campaign_id"], row["campaign_id"]))
        if own.num_rows and row["offer_id_count_distinct"] > 1 and row["starts_at_min"] >= first + HISTORY:
            made.append(_trial(facts, row["campaign_id"], row["starts_at_min"], own, taken))
    return made


def _trial(facts: Facts, campaign_id: str, start: datetime, own: pa.Table, taken: pa.Table) -> Trial:
    matrix = build_matrix(facts.purchases, start, half_life_days=HALF_LIFE, cap=np.inf)
    of_campaign = facts.past_offers.filter(pc.equal(facts.past_offers["campaign_id"], campaign_id))
    offers = of_campaign["offer_id"].unique().sort()
    scopes = _scopes(of_campaign, offers, matrix.items)
    people = own["customer_id"].unique().sort()
    rows = matrix.customer_rows(people)
    theirs = facts.purchases.filter(pc.is_in(facts.purchases["customer_id"], value_set=people))
    counts, decayed = (_in_scopes(theirs, start, half_life, people, of_campaign, offers) for half_life in (None, DECAY))
    size = np.bincount(pc.index_in(of_campaign["offer_id"], value_set=offers).to_numpy(), minlength=len(offers))
    return Trial(
        campaign_id,
        start,
        {
            COUNTS: counts,
            "decayed counts": decayed,
            f"counts / size^{SIZE_POWER}": counts / size**SIZE_POWER,
        },
        offer_features(
            matrix.matrix,
            rows,
            scopes,
            kinds=_kinds(facts.items, matrix.items),
            vouchers=_vouchers(facts, start, matrix),
            redeemed=_redeemed_before(facts, of_campaign, offers, people, start, taken),
        ),
        _redeemed_at(own, people, offers),
    )


def _in_scopes(
    purchases: pa.Table, start: datetime, half_life: float | None, people: pa.Array, lines: pa.Table, offers: pa.Array
) -> NDArray[np.float64]:
    """The people's orders of the items of each scope before the start: [people × offers]."""
    matrix = build_matrix(purchases, start, half_life_days=half_life, cap=np.inf)
    found = np.zeros((len(people), len(offers)))
    rows = matrix.customer_rows(people)
    found[rows >= 0] = (matrix.matrix[rows[rows >= 0]] @ _scopes(lines, offers, matrix.items)).toarray()
    return found


def _scopes(lines: pa.Table, offers: pa.Array, items: pa.Array) -> csr_matrix:
    """0/1 [items × offers] of past_offers' lines; items that are not listed are in no scope."""
    row, column = pc.index_in(lines["item_id"], value_set=items), pc.index_in(lines["offer_id"], value_set=offers)
    known = pc.and_(row.is_valid(), column.is_valid())
    cells = row.filter(known).to_numpy(), column.filter(known).to_numpy()
    scopes = csr_matrix((np.ones(len(cells[0]), np.float32), cells), shape=(len(items), len(offers)))
    scopes.data[:] = 1
    return scopes


def _kinds(items: pa.Table, item_ids: pa.Array) -> csr_matrix | None:
    """Which items have one category: 0/1 [items × categories]; None where no item states any."""
    category = items["category"].take(pc.index_in(item_ids, value_set=items["item_id"].combine_chunks()))
    codes = category.combine_chunks().dictionary_encode()
    if not len(codes.dictionary):
        return None
    row = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
    column = codes.indices.drop_null().to_numpy()
    return csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(len(item_ids), len(codes.dictionary)))


def _vouchers(facts: Facts, start: datetime, matrix: InteractionMatrix) -> NDArray[np.float64]:
    """Orders of each item in which a voucher was used, weighted by age as the matrix's are."""
    used = facts.events.filter(pc.less(facts.events["at"], pa.scalar(start, INSTANT)))
    item = matrix.item_rows(used["item_id"])
    age = (start.timestamp() * 1e6 - used["at"].cast(pa.int64()).to_numpy()) / 86_400e6
    known = item >= 0
    weights = np.exp2(-age[known] / HALF_LIFE)
    return np.bincount(item[known], weights, minlength=len(matrix.items)).astype(np.float64)


def _redeemed_before(
    facts: Facts, offered: pa.Table, offers: pa.Array, people: pa.Array, start: datetime, taken: pa.Table
) -> csr_matrix:
    """Redemptions before the start, as far as their offers overlap with each of these: [people × offers]."""
    before = taken.filter(
        pc.and_(pc.less(taken["at"], pa.scalar(start, INSTANT)), pc.is_in(taken["customer_id"], value_set=people))
    )
    earlier = facts.past_offers.filter(pc.is_in(facts.past_offers["campaign_id"], before["campaign_id"].unique()))
    named = earlier.set_column(earlier.schema.get_field_index("offer_id"), "offer_id", _names(earlier))
    past = named["offer_id"].unique().sort()
    items = facts.past_offers["item_id"].unique()
    alike = similarity(_scopes(offered, offers, items), _scopes(named, past, items))
    row, column = pc.index_in(before["customer_id"], value_set=people), pc.index_in(_names(before), value_set=past)
    known = column.is_valid()
    cells = row.filter(known).to_numpy(), column.filter(known).to_numpy()
    times = csr_matrix((np.ones(len(cells[0])), cells), shape=(len(people), len(past)))
    return csr_matrix(times @ alike.T)


def _names(rows: pa.Table) -> pa.ChunkedArray:
    """A name for each offer of each campaign: one offer_id may come again in another campaign, with another scope."""
    return pc.binary_join_element_wise(rows["campaign_id"], rows["offer_id"], "\0")


def _redeemed_at(own: pa.Table, people: pa.Array, offers: pa.Array) -> NDArray[np.int64]:
    """When each first redeemed each offer."""
    column = pc.index_in(own["offer_id"], value_set=offers)
    lines = own.append_column("column", column).filter(column.is_valid())
    found = np.full((len(people), len(offers)), NEVER)
    cells = pc.index_in(lines["customer_id"], value_set=people).to_numpy(), lines["column"].to_numpy()
    np.minimum.at(found, cells, lines["at"].cast(pa.int64()).to_numpy())
    return found


# --- judging ---------------------------------------------------------------------------------------------------------


def scores_of(trial: Trial, trials: Sequence[Trial]) -> dict[str, NDArray[np.float64]]:
    """Every baseline's scores, and ours with weights learned from what was redeemed before the trial's start."""
    now = round(trial.starts_at.timestamp() * 1e6)
    known = [(other.features, other.redeemed_at < now) for other in trials if other.starts_at < trial.starts_at]
    weights = fit_weights([(features[did.any(axis=1)], did[did.any(axis=1)]) for features, did in known])
    return {**trial.baselines, OURS: trial.features @ weights}


def per_customer(trial: Trial, trials: Sequence[Trial]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """(ranking, measure) → the value of each customer who redeemed."""
    relevant = csr_matrix(trial.redeemed_at < NEVER)
    lists = {name: rank(scores, K) for name, scores in scores_of(trial, trials).items()}
    return {(name, m): kind(ranked, relevant, K) for name, ranked in lists.items() for m, kind in MEASURES.items()}


def summary(values: Sequence[Mapping[tuple[str, str], NDArray[np.float64]]], seed: int) -> dict[str, Any]:
    """{"rows", "differences"} as recsys.evaluation has them, over the customers of one campaign or of several."""
    together = {key: np.concatenate([value[key] for value in values]) for key in values[0]}
    apart = {key: together[OURS, key[1]] - value for key, value in together.items() if key[0] != OURS}
    rows, differences = (_rows(part, seed) for part in (together, apart))
    for row in differences:
        row["model"], row["against"] = OURS, row["model"]
    return {"rows": rows, "differences": differences}


def _rows(values: Mapping[tuple[str, str], NDArray[np.float64]], seed: int) -> list[dict[str, Any]]:
    table = np.column_stack(list(values.values()))
    low, high = metrics.interval(table, seed)
    figures = zip(values, table.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    return [
        {
            "model": name,
            "slice": SLICE,
            "metric": m,
            "mean": mean,
            "low": at_least,
            "high": at_most,
            "customers": len(table),
        }
        for (name, m), mean, at_least, at_most in figures
    ]


def judge_redemptions(facts: Facts, seed: int) -> dict[str, Any] | None:
    """How well each ranking puts first what was redeemed, over all past campaigns together; None if there is none.

    {"rows", "differences", "campaigns": [{"campaign_id", "starts_at", "offers", "customers", "ndcg@10": name → mean}]}
    """
    trials = make_trials(facts)
    if not trials:
        return None
    values = [per_customer(trial, trials) for trial in trials]
    campaigns = [
        {
            "campaign_id": trial.campaign_id,
            "starts_at": trial.starts_at.isoformat(),
            "offers": trial.redeemed_at.shape[1],
            "customers": len(trial.redeemed_at),
            LEAD: {name: float(value.mean()) for (name, m), value in found.items() if m == LEAD},
        }
        for trial, found in zip(trials, values, strict=True)
    ]
    return {**summary(values, seed), "campaigns": campaigns}


def with_redemptions(evaluation: dict[str, Any], judged: dict[str, Any] | None) -> dict[str, Any]:
    """An evaluation of recsys.evaluation with the rows of redemptions, as one more slice, and their campaigns."""
    if judged is None:
        return evaluation
    together = {key: [*evaluation[key], *judged[key]] for key in ("rows", "differences")}
    return {**evaluation, **together, "campaigns": judged["campaigns"]}
