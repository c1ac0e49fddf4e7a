"""A model of poisoned input is refused by the name of the check, on the way that every training goes."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import flows.train
from flows.champion import load_champion
from flows.guards import RefusedModel
from flows.settings import Settings, Train
from flows.train import FITS, train_models
from flows.workspace import Workspace, folder_digest, publish_catalog, write_parquet
from recsys.synthetic import taste_groups

AS_OF = datetime(2017, 10, 1, tzinfo=UTC)
NEXT = AS_OF + timedelta(days=1)
SETTINGS = Settings(train=Train(min_item_buyers=2, factors=8))
WORLD = taste_groups(7, customers=120, items=60, days=364).purchases  # 2017, until 31 December


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = with_purchases(Workspace(tmp_path_factory.mktemp("guards")), WORLD)
    workspace.settings_file.write_text("")
    train_models(workspace, SETTINGS, AS_OF)
    return workspace


@pytest.fixture
def workspace(trained):
    """What serves was trained on clean purchases, and still serves when the test is over."""
    before = folder_digest(trained.models), os.readlink(trained.champion)
    yield trained
    assert (folder_digest(trained.models), os.readlink(trained.champion)) == before
    with_purchases(trained, WORLD)


def with_purchases(workspace, table):
    write_parquet(workspace.tables / "purchases" / "part.parquet", table)
    publish_catalog(workspace, {"purchases": {"files": [{"path": "purchases/part.parquet"}]}})
    return workspace


def refused(workspace, check, settings=SETTINGS):
    with pytest.raises(RefusedModel) as error:
        train_models(workspace, settings, NEXT)
    assert error.value.check == check
    assert str(error.value).startswith(f"new model refused, {check}: ")
    return str(error.value)


def column(table, name, values):
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), values)


def shuffled(table, name, seed=3):
    """The same lines, each with the id of another line."""
    return column(table, name, table[name].take(np.random.default_rng(seed).permutation(len(table))))


def renamed(table, name, seed=3):
    """Every id stands for another, all through the table."""
    ids = table[name].unique()
    others = ids.take(np.random.default_rng(seed).permutation(len(ids)))
    return column(
        table, name, pa.chunked_array([others.take(pc.index_in(table[name], value_set=ids).combine_chunks())])
    )


def poisoned_matrix(monkeypatch, poison):
    build = flows.train.build_matrix
    monkeypatch.setattr(flows.train, "build_matrix", lambda *args, **more: poison(build(*args, **more)))


@pytest.mark.parametrize("cell", [-1e9, 1e9, np.nan, np.inf, -np.inf, -1e-3])
def test_one_cell_that_no_orders_make_is_refused(workspace, monkeypatch, cell):
    def poison(matrix):
        matrix.matrix.data[7] = cell
        return matrix

    poisoned_matrix(monkeypatch, poison)
    assert f"the first is {cell:g}" in refused(workspace, "a weight that orders cannot have")


@pytest.mark.parametrize(("value", "check"), [(np.nan, "not finite"), (-1e9, "beyond any score")])
@pytest.mark.parametrize("name", sorted(FITS))
def test_one_poisoned_number_in_any_model_is_refused(workspace, monkeypatch, name, value, check):
    fit = FITS[name]

    def sick(material):
        model = fit(material)
        part = next(array for _, array in sorted(model.arrays().items()) if array.dtype.kind == "f" and array.size > 1)
        part[(0,) * part.ndim] = value
        return model

    monkeypatch.setitem(FITS, name, sick)
    with pytest.raises(RefusedModel, match=check):
        train_models(workspace, SETTINGS, NEXT)


@pytest.mark.parametrize(
    ("name", "check"),
    [("item_id", "half of the catalogue is gone"), ("customer_id", "half of the customers are gone")],
)
def test_half_of_the_ids_gone_is_refused(workspace, name, check):
    ids = sorted(set(WORLD[name].to_pylist()))
    left = WORLD.filter(pc.is_in(WORLD[name], pa.array(ids[::2])))
    refused(with_purchases(workspace, left), check, SETTINGS.model_copy(update={"train": lenient()}))


def test_half_of_the_catalogue_replaced_by_other_items_is_refused(workspace):
    ids = sorted(set(WORLD["item_id"].to_pylist()))
    gone = pc.is_in(WORLD["item_id"], pa.array(ids[::2]))
    other = pc.if_else(gone, pc.binary_join_element_wise("new", WORLD["item_id"], "-"), WORLD["item_id"])
    refused(with_purchases(workspace, column(WORLD, "item_id", other)), "half of the catalogue is gone")


@pytest.mark.parametrize("name", ["item_id", "customer_id"])
@pytest.mark.parametrize("mix", [shuffled, renamed])
def test_shuffled_ids_are_refused(workspace, name, mix):
    said = refused(with_purchases(workspace, mix(WORLD, name)), "purchases stand under other ids")
    assert load_champion(workspace).id in said


@pytest.mark.parametrize("axis", ["customers", "items"])
def test_ids_shuffled_against_their_rows_are_refused(workspace, monkeypatch, axis):
    def poison(matrix):
        ids = getattr(matrix, axis)
        return replace(matrix, **{axis: ids.take(np.random.default_rng(0).permutation(len(ids)))})

    poisoned_matrix(monkeypatch, poison)
    refused(workspace, "ids out of order")


def test_ids_shuffled_since_yesterday_s_model_alone_are_refused(workspace):
    recent = pc.greater_equal(WORLD["occurred_at"], pa.scalar(AS_OF - timedelta(days=40), WORLD["occurred_at"].type))
    late = renamed(shuffled(WORLD.filter(recent), "customer_id"), "item_id")
    mixed = pa.concat_tables([WORLD.filter(pc.invert(recent)), late])
    with pytest.raises(RefusedModel, match=r"history no longer tells|under other ids|worse than what serves"):
        train_models(with_purchases(workspace, mixed), SETTINGS, NEXT)


def test_a_matrix_poisoned_at_an_evaluation_is_refused_as_well(workspace, monkeypatch):
    def poison(matrix):
        matrix.matrix.data[0] = np.nan
        return matrix

    poisoned_matrix(monkeypatch, poison)
    with pytest.raises(RefusedModel, match=r"1 of .* cells, the first is nan"):
        flows.train.evaluate_models(workspace, SETTINGS, NEXT)


@pytest.mark.parametrize("days", [1, 7, 60])
def test_clean_purchases_of_the_days_after_pass(trained, tmp_path, days):
    fresh = with_purchases(Workspace(tmp_path), WORLD)
    fresh.settings_file.write_text("")
    train_models(fresh, SETTINGS, AS_OF)
    assert train_models(fresh, SETTINGS, AS_OF + timedelta(days=days))["compared_with"]


def test_returns_of_a_tenth_of_all_purchases_overnight_pass(tmp_path):
    fresh = with_purchases(Workspace(tmp_path), WORLD)
    fresh.settings_file.write_text("")
    train_models(fresh, SETTINGS, AS_OF)
    known = WORLD.filter(pc.less(WORLD["occurred_at"], pa.scalar(AS_OF, WORLD["occurred_at"].type)))
    some = known.take(np.arange(0, len(known), 10))
    back = column(some, "kind", pa.array(["return"] * len(some)))
    back = column(back, "line_id", pc.binary_join_element_wise("back", some["line_id"], "-"))
    back = column(back, "occurred_at", pa.array([AS_OF] * len(some), WORLD["occurred_at"].type))
    with_purchases(fresh, pa.concat_tables([WORLD, back]))
    assert train_models(fresh, SETTINGS, NEXT)["compared_with"]


def lenient():
    return SETTINGS.train.model_copy(update={"tolerance": 1.0})
