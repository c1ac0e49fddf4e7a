import doctest
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys import evaluation, ranking
from recsys.baselines import fit_frequency, fit_popularity
from recsys.evaluation import bought_matrix, evaluate, hold_out, mean_of, purchases_between, rank_slices, translated
from recsys.interactions import build_matrix
from recsys.models import fit_als
from recsys.ranking import rank
from recsys.synthetic import taste_groups
from recsys.tables import PURCHASES, InputError, conform

CUT = datetime(2017, 10, 1, tzinfo=UTC)
UNTIL = CUT + timedelta(days=28)


def purchases(*lines):
    """Lines of (customer, item, days from the cut, kind)."""
    columns = {
        "line_id": [f"{n:03d}" for n in range(len(lines))],
        "order_id": [f"{n:03d}" for n in range(len(lines))],
        "customer_id": [line[0] for line in lines],
        "item_id": [line[1] for line in lines],
        "occurred_at": [CUT + timedelta(days=line[2]) for line in lines],
        "kind": [line[3] if len(line) > 3 else "purchase" for line in lines],
        "quantity": [1] * len(lines),
        "amount": [1000] * len(lines),
    }
    return conform(pa.table(columns), PURCHASES)


LINES = purchases(
    *[("ani", "kopi", -20), ("ani", "teh", -10), ("ani", "kopi", 3), ("ani", "susu", 4), ("ani", "roti", 28)],
    *[("budi", "susu", -9), ("budi", "roti", -8), ("budi", "roti", 5), ("budi", "roti", 6, "return")],
    *[("citra", "roti", -3), ("citra", "teh", 2), ("citra", "madu", 2), ("dewi", "kopi", 2)],
)


@pytest.fixture
def held_out():
    return hold_out(build_matrix(LINES, CUT), LINES, CUT, UNTIL)


@pytest.fixture(scope="module")
def world():
    table = taste_groups(7, customers=120, items=60).purchases
    matrix = build_matrix(table, CUT)
    models = [fit_popularity(matrix.matrix), fit_frequency(matrix.matrix), fit_als(matrix.matrix, factors=8)]
    return table, matrix, {model.name: model.scores for model in models}


def pairs(matrix, held_out, part):
    """(customer, item) of everything relevant in a slice."""
    rows, items = held_out.bought[part].nonzero()
    return {
        (matrix.customers[int(held_out.rows[r])].as_py(), matrix.items[int(i)].as_py())
        for r, i in zip(rows, items, strict=True)
    }


def test_docstring_examples_hold():
    assert doctest.testmod(evaluation).failed == doctest.testmod(ranking).failed == 0


def test_what_counts_was_bought_in_the_window_by_someone_known_and_kept(held_out):
    assert pairs(held_out.matrix, held_out, "all") == {("ani", "kopi"), ("ani", "susu"), ("citra", "teh")}


def test_repeats_and_discoveries_share_out_what_was_bought(held_out):
    assert pairs(held_out.matrix, held_out, "repeats") == {("ani", "kopi")}
    assert pairs(held_out.matrix, held_out, "discoveries") == {("ani", "susu"), ("citra", "teh")}


def test_customers_without_history_are_counted_and_not_judged(held_out):
    assert held_out.newcomers == 1
    assert len(held_out.rows) == 2


def test_a_return_after_the_window_changes_nothing():
    later = pa.concat_tables([LINES, purchases(("ani", "kopi", 30, "return"))])
    assert purchases_between(later, CUT, UNTIL).num_rows == purchases_between(LINES, CUT, UNTIL).num_rows


def test_a_window_in_which_nobody_known_bought_is_wrong_input():
    with pytest.raises(InputError, match="can be judged"):
        hold_out(build_matrix(LINES, CUT), LINES, CUT + timedelta(days=40), UNTIL + timedelta(days=40))


def test_of_too_many_customers_a_sample_by_seed_is_judged(world):
    table, matrix, _ = world
    samples = [hold_out(matrix, table, CUT, UNTIL, seed=s, most_customers=20).rows.tolist() for s in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
    assert all(len(sample) == 20 and sample == sorted(sample) for sample in samples)


def test_bought_matrix_leaves_out_strangers_and_counts_a_pair_once():
    twice = pa.concat_tables([LINES, LINES])
    counted = bought_matrix(twice, pa.array(["ani", "zus"]), pa.array(["kopi", "teh", "tidak"]))
    assert counted.toarray().tolist() == [[1, 1, 0], [0, 0, 0]]


def test_each_slice_has_its_own_candidates(world):
    table, matrix, scorers = world
    held_out = hold_out(matrix, table, CUT, UNTIL)
    lists = rank_slices(scorers["popularity"], held_out, 60)
    known = matrix.matrix[held_out.rows].toarray() > 0
    for row, bought in enumerate(known):
        assert set(lists["all"][row]) == set(range(60))
        assert set(lists["repeats"][row]) - {-1} == set(np.flatnonzero(bought))
        assert set(lists["discoveries"][row]) - {-1} == set(np.flatnonzero(~bought))


def test_blocks_of_customers_do_not_change_the_lists(world, monkeypatch):
    table, matrix, scorers = world
    held_out = hold_out(matrix, table, CUT, UNTIL)
    whole = rank_slices(scorers["als"], held_out, 5)
    monkeypatch.setattr(evaluation, "BLOCK_CELLS", 60 * 7)
    for part, lists in rank_slices(scorers["als"], held_out, 5).items():
        np.testing.assert_array_equal(lists, whole[part])


def test_a_model_that_knows_the_future_scores_one(held_out):
    future = dict(zip(held_out.rows.tolist(), held_out.bought["all"].toarray(), strict=True))
    result = evaluate({"oracle": lambda rows: np.array([future[int(row)] for row in rows])}, held_out, seed=1)
    for metric in ("ndcg@10", "recall@10", "hit_rate@10", "mrr@10"):
        assert mean_of(result["rows"], "oracle", metric) == 1


def test_planted_taste_beats_popularity_and_the_best_model_is_named(world):
    table, matrix, scorers = world
    result = evaluate(scorers, hold_out(matrix, table, CUT, UNTIL), seed=1, metric="recall@10")
    means = {name: mean_of(result["rows"], name, "recall@10") for name in scorers}
    assert means["als"] > 2 * means["popularity"]
    assert means[result["best"]] == max(means.values())
    differences = [
        row for row in result["differences"] if (row["against"], row["metric"]) == ("popularity", "recall@10")
    ]
    assert all(row["low"] > 0 for row in differences if row["slice"] == "all")


def test_a_paired_difference_is_narrower_than_the_intervals_of_its_two_models(world):
    table, matrix, scorers = world
    noisy = {"als": scorers["als"], "almost": lambda rows: scorers["als"](rows) + 1e-3 * scorers["popularity"](rows)}
    result = evaluate(noisy, hold_out(matrix, table, CUT, UNTIL), seed=1)
    row = next(row for row in result["rows"] if (row["metric"], row["slice"]) == ("ndcg@10", "all"))
    apart = next(row for row in result["differences"] if (row["metric"], row["slice"]) == ("ndcg@10", "all"))
    assert apart["high"] - apart["low"] < (row["high"] - row["low"]) / 2


def test_a_model_is_compared_with_the_baselines_whoever_wins(world):
    table, matrix, scorers = world
    noisy = {"popularity": scorers["popularity"], "als": scorers["als"], "other": lambda rows: -scorers["als"](rows)}
    result = evaluate(noisy, hold_out(matrix, table, CUT, UNTIL), seed=1, baselines=("popularity",))
    assert result["best"] == "als"
    found = [(row["model"], row["against"]) for row in result["differences"]]
    assert set(found) == {("als", "popularity"), ("als", "other"), ("other", "popularity")}
    ahead = next(row for row in result["differences"] if row["model"] == "other" and row["metric"] == "ndcg@10")
    means = {name: mean_of(result["rows"], name, "ndcg@10") for name in noisy}
    assert ahead["mean"] == pytest.approx(means["other"] - means["popularity"])


def test_only_contenders_can_win(world):
    table, matrix, scorers = world
    held_out = hold_out(matrix, table, CUT, UNTIL)
    assert evaluate(scorers, held_out, seed=1, contenders=["popularity"])["best"] == "popularity"


def test_of_equal_models_the_first_named_wins(world):
    table, matrix, scorers = world
    twins = {"b": scorers["als"], "a": scorers["als"]}
    assert evaluate(twins, hold_out(matrix, table, CUT, UNTIL), seed=1)["best"] == "b"


def test_every_row_is_complete_and_its_interval_holds_its_mean(world):
    table, matrix, scorers = world
    result = evaluate(scorers, hold_out(matrix, table, CUT, UNTIL), seed=1)
    assert len(result["rows"]) == 3 * 3 * len(evaluation.METRICS)
    for row in result["rows"]:
        assert set(row) == {"model", "slice", "metric", "mean", "low", "high", "customers"}
        assert row["low"] <= row["mean"] <= row["high"]
        assert 0 < row["customers"] <= result["customers"]


def test_the_same_seed_gives_the_same_evaluation(world):
    table, matrix, scorers = world
    held_out = hold_out(matrix, table, CUT, UNTIL)
    assert evaluate(scorers, held_out, seed=3) == evaluate(scorers, held_out, seed=3)


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@ten", "accuracy@10", "ndcg@10@10", ""])
def test_an_unknown_metric_is_wrong_input(held_out, metric):
    with pytest.raises(InputError, match="expected a name and a length"):
        evaluate({}, held_out, seed=1, metric=metric)


def test_a_translated_model_scores_what_it_knows_and_nothing_else():
    own = build_matrix(LINES, CUT - timedelta(days=5))  # before citra came, and with all but madu
    matrix = build_matrix(LINES, UNTIL)
    model = fit_frequency(own.matrix)
    scores = translated(model, own, matrix)(np.arange(len(matrix.customers)))
    names, items = matrix.customers.to_pylist(), matrix.items.to_pylist()
    ani, citra = names.index("ani"), names.index("citra")
    assert np.isneginf(scores[:, items.index("madu")]).all()
    assert scores[ani, items.index("kopi")] == model.scores(own.customer_rows(pa.array(["ani"])))[0, 0]
    np.testing.assert_array_equal(scores[citra, items.index("kopi")], model.scores(np.array([-1]))[0, 0])


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(1, 700)),
        elements=st.sampled_from([-np.inf, -1, 0, 0.5, 2]),
    ),
    st.integers(1, 12),
)
def test_rank_is_the_head_of_a_full_stable_sort(scores, k):
    full = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    full = np.where(np.isneginf(np.take_along_axis(scores, full, axis=1)), -1, full)
    expected = np.pad(full, ((0, 0), (0, k - full.shape[1])), constant_values=-1)
    np.testing.assert_array_equal(rank(scores, k), expected)
