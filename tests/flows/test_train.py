"""Training publishes the best model, or refuses by the name of a check and leaves what serves."""

import os
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import flows.train
from flows.champion import load_champion
from flows.recipes import BASELINES
from flows.settings import Settings, Train
from flows.train import FITS, RefusedModel, describe, evaluate_models, train_models
from flows.workspace import RunError, Workspace, folder_digest, publish_catalog, publishing, write_parquet
from recsys.artifact import ArtifactError
from recsys.baselines import fit_popularity
from recsys.evaluation import mean_of, purchases_between
from recsys.synthetic import taste_groups
from recsys.tables import InputError

AS_OF = datetime(2017, 10, 1, tzinfo=UTC)
SETTINGS = Settings(train=Train(min_item_buyers=2, factors=8))
WORLD = taste_groups(7, customers=120, items=60, days=364).purchases  # 2017, until 31 December


@pytest.fixture
def workspace(tmp_path):
    return with_purchases(tmp_path, WORLD)


def with_purchases(root, table):
    """A workspace whose purchases are these."""
    workspace = Workspace(root)
    workspace.settings_file.write_text("")
    write_parquet(workspace.tables / "purchases" / "part.parquet", table)
    publish_catalog(workspace, {"purchases": {"files": [{"path": "purchases/part.parquet"}]}})
    return workspace


def with_train(**changes):
    return SETTINGS.model_copy(update={"train": SETTINGS.train.model_copy(update=changes)})


def state(workspace):
    """Everything in models/, and where the champion's link leads."""
    return folder_digest(workspace.models), os.readlink(workspace.champion)


def test_the_best_by_the_stated_metric_serves(workspace):
    summary = train_models(workspace, with_train(metric="recall@10"), AS_OF)
    means = {name: mean_of(summary["evaluation"]["rows"], name, "recall@10") for name in FITS}
    assert means[summary["champion"]] == max(means.values())
    assert summary["metrics"]["recall@10"] == max(means.values())
    champion = load_champion(workspace)
    assert (champion.id, champion.name) == (summary["id"], summary["champion"])
    assert champion.serving.model.name == champion.at_cut.model.name == summary["champion"]


def test_the_artifact_holds_the_model_of_today_and_the_one_fitted_at_the_cut(workspace):
    train_models(workspace, SETTINGS, AS_OF)
    champion = load_champion(workspace)
    assert (champion.as_of, champion.cut) == (AS_OF, AS_OF - timedelta(days=28))
    before_cut = WORLD.filter(pc.less(WORLD["occurred_at"], pa.scalar(champion.cut, WORLD["occurred_at"].type)))
    assert champion.at_cut.matrix.customers.to_pylist() == sorted(set(before_cut["customer_id"].to_pylist()))
    assert champion.serving.matrix.matrix.nnz > champion.at_cut.matrix.matrix.nnz


def test_what_happened_after_as_of_changes_nothing(workspace, tmp_path):
    known = WORLD.filter(pc.less(WORLD["occurred_at"], pa.scalar(AS_OF, WORLD["occurred_at"].type)))
    (tmp_path / "other").mkdir()
    other = with_purchases(tmp_path / "other", known)
    assert train_models(workspace, SETTINGS, AS_OF) == train_models(other, SETTINGS, AS_OF)
    assert state(workspace) == state(other)


def test_the_same_inputs_give_the_same_bytes_and_training_again_changes_nothing(workspace, tmp_path):
    first = train_models(workspace, SETTINGS, AS_OF)
    before = state(workspace)
    assert train_models(workspace, SETTINGS, AS_OF)["id"] == first["id"]
    assert state(workspace) == before


def test_how_rows_lie_in_files_changes_nothing(workspace, tmp_path):
    (tmp_path / "other").mkdir()
    shuffled = WORLD.take(np.random.default_rng(0).permutation(len(WORLD)))
    assert train_models(workspace, SETTINGS, AS_OF) == train_models(
        with_purchases(tmp_path / "other", shuffled), SETTINGS, AS_OF
    )


def test_the_next_night_is_compared_with_what_serves_on_the_same_window(workspace):
    first = train_models(workspace, SETTINGS, AS_OF)
    second = train_models(workspace, SETTINGS, AS_OF + timedelta(days=1))
    assert (first["compared_with"], first["note"]) == (None, "no model served before")
    assert (second["compared_with"], second["note"]) == (first["id"], None)
    assert load_champion(workspace).id == second["id"]
    assert mean_of(second["evaluation"]["rows"], "serving", "ndcg@10") > 0


def test_a_model_worse_than_what_serves_is_refused(workspace, monkeypatch):
    train_models(workspace, SETTINGS, AS_OF)
    before = state(workspace)
    for name in FITS:
        monkeypatch.setitem(FITS, name, lambda material: fit_popularity(material.matrix.matrix))
    with pytest.raises(RefusedModel, match=r"worse than what serves: ndcg@10 .* of 20171001t000000z-") as refused:
        train_models(workspace, SETTINGS, AS_OF + timedelta(days=1))
    assert refused.value.check == "worse than what serves"
    assert state(workspace) == before


def test_a_model_a_little_worse_is_within_the_tolerance(workspace, monkeypatch):
    train_models(workspace, SETTINGS, AS_OF)
    for name in FITS:
        monkeypatch.setitem(FITS, name, lambda material: fit_popularity(material.matrix.matrix))
    summary = train_models(workspace, with_train(tolerance=1.0), AS_OF + timedelta(days=1))
    assert load_champion(workspace).id == summary["id"]


@pytest.mark.parametrize("at", ["the cut", "as of"])
def test_a_model_with_nan_is_refused(workspace, monkeypatch, at):
    champion = train_models(workspace, SETTINGS, AS_OF)["champion"]
    before, fit, fitted = state(workspace), FITS[champion], []

    def sick(material):
        model = fit(material)
        fitted.append(model)
        if len(fitted) == ["the cut", "as of"].index(at) + 1:
            model.popularity[0] = np.nan
        return model

    monkeypatch.setitem(FITS, champion, sick)
    with pytest.raises(RefusedModel, match=f"not finite: popularity of {champion} hold NaN"):
        train_models(workspace, SETTINGS, AS_OF + timedelta(days=1))
    assert state(workspace) == before


def test_a_model_that_cannot_be_fitted_is_refused(workspace, monkeypatch):
    def diverges(material):
        raise flows.train.ModelError("factors that are not finite")

    monkeypatch.setitem(FITS, "als", diverges)
    with pytest.raises(RefusedModel, match="als cannot be fitted: factors that are not finite"):
        train_models(workspace, SETTINGS, AS_OF)
    assert not workspace.champion.exists()


@pytest.mark.parametrize(
    ("column", "check"),
    [("item_id", "half of the catalogue is gone"), ("customer_id", "half of the customers are gone")],
)
def test_a_matrix_that_lost_half_of_itself_is_refused(workspace, column, check):
    train_models(workspace, SETTINGS, AS_OF)
    before = state(workspace)
    ids = sorted(set(WORLD[column].to_pylist()))
    left = WORLD.filter(pc.is_in(WORLD[column], pa.array(ids[: int(len(ids) * 0.45)])))
    shrunken = with_purchases(workspace.root, left)
    with pytest.raises(RefusedModel, match=check):
        train_models(shrunken, with_train(tolerance=1.0), AS_OF + timedelta(days=1))
    assert state(workspace) == before


def test_a_refusal_is_a_run_that_failed_not_wrong_input():
    assert issubclass(RefusedModel, RunError)
    assert not issubclass(RefusedModel, InputError)


def test_training_for_an_earlier_instant_leaves_the_later_model_serving(workspace):
    late = train_models(workspace, SETTINGS, AS_OF)
    early = train_models(workspace, SETTINGS, AS_OF - timedelta(days=60))
    assert load_champion(workspace).id == late["id"]
    assert load_champion(workspace, AS_OF - timedelta(days=30)).id == early["id"]
    assert early["compared_with"] is None


def test_no_model_serves_an_instant_whose_future_it_saw(workspace):
    train_models(workspace, SETTINGS, AS_OF)
    with pytest.raises(InputError, match=r"saw purchases from after 2017-09-30.*larisma train --as-of"):
        load_champion(workspace, AS_OF - timedelta(days=1))


def test_where_nothing_was_trained_the_message_says_how(workspace):
    with pytest.raises(InputError, match=r"no model serves yet.*larisma train"):
        load_champion(workspace)


@pytest.mark.parametrize("part", ["manifest.json", "serving/manifest.json", "at_cut/matrix.data.npy"])
def test_a_damaged_champion_is_named_and_training_mends_it(workspace, part):
    first = train_models(workspace, SETTINGS, AS_OF)
    path = workspace.champion.resolve() / part
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"1", b"2", 1) if part.endswith("json") else whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=part):
        load_champion(workspace)
    second = train_models(workspace, SETTINGS, AS_OF + timedelta(days=1))
    assert load_champion(workspace).id == second["id"] != first["id"]
    assert part in second["note"]
    assert str(workspace.root) not in second["note"]


def test_a_part_of_another_model_is_noticed(workspace):
    folders = []
    for days in (0, 1):
        train_models(workspace, SETTINGS, AS_OF + timedelta(days=days))
        folders.append(workspace.champion.resolve())
    for path in (folders[0] / "serving").iterdir():
        (folders[1] / "serving" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ArtifactError, match="serving: not the part that was saved"):
        load_champion(workspace)


@pytest.mark.parametrize(
    ("as_of", "message"),
    [
        (datetime(2016, 1, 1, tzinfo=UTC), "purchases: none before 2016-01-01"),
        (datetime(2017, 1, 10, tzinfo=UTC), "does not reach both sides of 2016-12-13"),
        (datetime(2018, 6, 1, tzinfo=UTC), "does not reach both sides of 2018-05-04.* such as --as-of 2017-12-"),
        (datetime(2017, 10, 1), "expected a time zone"),  # noqa: DTZ001
    ],
)
def test_an_instant_that_purchases_do_not_reach_is_wrong_input(workspace, as_of, message):
    with pytest.raises(InputError, match=message):
        train_models(workspace, SETTINGS, as_of)
    assert not workspace.models.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_item_buyers": 1000}, "0 items were bought by at least 1000 customers .* lower train.min_item_buyers"),
        ({"metric": "accuracy"}, "expected a name and a length such as ndcg@10, .* got 'accuracy'"),
    ],
)
def test_settings_that_leave_nothing_to_train_on_are_wrong_input(workspace, changes, message):
    with pytest.raises(InputError, match=message):
        train_models(workspace, with_train(**changes), AS_OF)


def test_of_data_from_years_ago_the_message_names_an_instant_that_works(workspace):
    with pytest.raises(InputError, match="--as-of") as error:
        train_models(workspace, SETTINGS, datetime(2026, 1, 1, tzinfo=UTC))
    named = datetime.fromisoformat(re.search(r"--as-of (\S+),", str(error.value))[1])
    assert train_models(workspace, SETTINGS, named)["id"]


def test_a_history_shorter_than_two_windows_is_told_to_shorten_the_window(workspace):
    with pytest.raises(InputError, match=r"shorten train.window_days, to \d+ at most"):
        train_models(workspace, with_train(window_days=300), datetime(2026, 1, 1, tzinfo=UTC))


def test_where_any_buyer_is_enough_the_remedy_is_a_shorter_window(tmp_path):
    few = taste_groups(7, customers=40, items=6, days=364, orders=40).purchases
    with pytest.raises(InputError, match=r"too few to train on .*; shorten train.window_days"):
        train_models(with_purchases(tmp_path, few), with_train(min_item_buyers=1), AS_OF)


def test_too_few_customers_are_wrong_input(tmp_path):
    few = taste_groups(7, customers=8, items=20, days=364, orders=40).purchases
    with pytest.raises(InputError, match=r"8 customers known before .* too few to judge by"):
        train_models(with_purchases(tmp_path, few), SETTINGS, AS_OF)


def test_an_evaluation_without_an_instant_holds_out_the_last_purchases(workspace):
    newest = pc.max(WORLD["occurred_at"]).as_py()
    evaluation = evaluate_models(workspace, SETTINGS, None)
    assert datetime.fromisoformat(evaluation["until"]) == newest.replace(microsecond=0) + timedelta(seconds=1)


def test_every_model_is_compared_with_both_baselines(workspace):
    differences = evaluate_models(workspace, SETTINGS, AS_OF)["differences"]
    found = {(row["model"], row["against"]) for row in differences}
    assert found >= {(name, base) for name in FITS for base in BASELINES if name not in BASELINES}
    assert len(differences) == len({(r["model"], r["against"], r["slice"], r["metric"]) for r in differences})


def test_an_evaluation_changes_nothing_and_says_what_training_would(workspace):
    evaluation = evaluate_models(workspace, SETTINGS, AS_OF)
    assert not workspace.models.exists()
    assert evaluation.pop("propensity") is None  # there is no table of items here
    assert evaluation == train_models(workspace, SETTINGS, AS_OF)["evaluation"]


def test_the_model_at_the_cut_saw_nothing_of_the_window_it_calibrates_on(workspace):
    train_models(workspace, SETTINGS, AS_OF)
    champion = load_champion(workspace)
    after = purchases_between(WORLD, champion.cut, AS_OF)
    changed = pa.concat_tables([WORLD, after.set_column(0, WORLD.schema.field(0), renamed(after["line_id"]))])
    more = with_purchases(workspace.root, changed)
    train_models(more, SETTINGS, AS_OF)
    assert load_champion(more).at_cut.digest == champion.at_cut.digest
    assert load_champion(more).manifest["inputs"] != champion.manifest["inputs"]


def renamed(ids):
    return pc.binary_join_element_wise(ids, "again", "-")


def test_the_summary_is_said_in_markdown(workspace):
    summary = train_models(workspace, SETTINGS, AS_OF)
    text = describe(summary)
    assert f"**{summary['champion']}** serves as `{summary['id']}`" in text
    assert all(f"| {name} |" in text for name in FITS)


def only_factors(monkeypatch):
    """Nothing but alternating least squares can win."""
    for name in set(FITS) - {"als"}:
        monkeypatch.setitem(FITS, name, lambda material: fit_popularity(material.matrix.matrix))


def test_a_night_goes_on_from_the_factors_of_the_night_before_and_says_so(workspace, monkeypatch):
    only_factors(monkeypatch)
    first, next_night = train_models(workspace, SETTINGS, AS_OF), AS_OF + timedelta(days=1)
    digests = load_champion(workspace).manifest["digests"]
    second = train_models(workspace, SETTINGS, next_night)
    assert "model" not in first["inputs"]
    assert second["inputs"]["model"] == {"id": first["id"], "sha256": digests}
    before = state(workspace)
    assert train_models(workspace, SETTINGS, next_night)["id"] == second["id"]  # not from its own factors
    assert state(workspace) == before


@pytest.mark.parametrize(
    ("changes", "days"),
    [({"warm_days": 0}, 1), ({}, 4), ({"factors": 6}, 1)],
    ids=["switched off", "too old", "other width"],
)
def test_a_night_starts_from_scratch_where_it_may_not_go_on(workspace, monkeypatch, changes, days):
    only_factors(monkeypatch)
    train_models(workspace, SETTINGS, AS_OF)
    assert "model" not in train_models(workspace, with_train(**changes), AS_OF + timedelta(days=days))["inputs"]


def test_only_the_newest_models_and_the_one_that_serves_are_kept(workspace):
    latest = train_models(workspace, SETTINGS, AS_OF)["id"]
    earlier = [train_models(workspace, SETTINGS, AS_OF - timedelta(days=days))["id"] for days in (40, 20)]
    assert {path.name for path in workspace.models.iterdir()} >= {latest, *earlier}
    old = workspace.recommendations(earlier[0])
    with publishing(old) as folder:
        (folder / "manifest.json").write_text("{}")
    last = train_models(workspace, with_train(keep_models=2), AS_OF - timedelta(days=10))["id"]
    assert {path.name for path in workspace.models.iterdir() if path.name.startswith("2017")} == {latest, last}
    assert not old.exists()
    assert load_champion(workspace).id == latest
    assert len(list((workspace.models / ".versions").iterdir())) == 2
    assert not list((old.parent / ".versions").iterdir())
