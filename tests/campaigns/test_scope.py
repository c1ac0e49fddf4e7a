from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.offer import Offer
from campaigns.policy import load_policy
from campaigns.scope import check_scopes, scope_matrix
from campaigns.spec import Campaign
from recsys.tables import InputError

BARRED = [kind for kind, rule in load_policy().restrictions.items() if "offers" in rule.never_in]
ITEMS = pa.table(
    {
        "item_id": ["i1", "i2", "i3", "i4", "i5", "i6"],
        "category": ["Food > Coffee", "Food > Coffee > Beans", "Food > Coffeemate", "Food>Tea", None, "Toys"],
        "brand": ["Sari", "Murni", "Sari", None, "Sari", None],
        "merchant_id": ["m1", "m1", "m2", "m2", None, None],
    }
)


def make_offer(offer_id: str = "kopi", **scope: Any) -> Offer:
    return Offer.model_validate(
        {
            "id": offer_id,
            "benefit": {"kind": "amount_off", "amount": 1000},
            "scope": scope,
            "uplift": 0.1,
            "text": {"id": {"title": "Kopi"}},
        }
    )


def make_campaign(*offers: Offer) -> Campaign:
    return Campaign.model_validate(
        {
            "id": "harbolnas",
            "name": "Harbolnas",
            "schedule": {"occasion": "harbolnas"},
            "window_days": 20,
            "channels": {"push": {"capacity": 10, "placements": {"push": 1}}},
            "budgets": {"retailer": 1000},
            "offers": offers,
            "content": {"id": {}},
        }
    )


def inside(scope: Any, items: pa.Table = ITEMS) -> set[str]:
    matrix = scope_matrix([make_offer(**scope)], items, items["item_id"])
    return set(np.array(items["item_id"].to_pylist())[matrix.toarray()[:, 0] == 1])


@pytest.mark.parametrize(
    ("scope", "members"),
    [
        ({"categories": ["Food > Coffee"]}, {"i1", "i2"}),
        ({"categories": ["Food"]}, {"i1", "i2", "i3", "i4"}),
        ({"categories": ["Food>Tea"]}, {"i4"}),
        ({"categories": ["Food > Coffee > Beans", "Toys"]}, {"i2", "i6"}),
        ({"items": ["i5", "i1"]}, {"i1", "i5"}),
        ({"brands": ["Sari"]}, {"i1", "i3", "i5"}),
        ({"merchants": ["m2"]}, {"i3", "i4"}),
        ({"merchants": ["m2"], "brands": ["Murni"], "items": ["i6"]}, {"i2", "i3", "i4", "i6"}),
        ({"everything": True}, {"i1", "i2", "i3", "i4", "i5", "i6"}),
        ({"categories": ["Drinks"]}, set()),
    ],
)
def test_a_scope_is_the_union_of_its_lists_and_a_path_covers_all_below_it(scope: Any, members: set[str]) -> None:
    assert inside(scope) == members


@pytest.mark.parametrize(
    "scope",
    [{"everything": True}, {"items": ["i1"]}, {"brands": ["Sari"]}, {"merchants": ["m1"]}, {"categories": ["Food"]}],
)
@pytest.mark.parametrize("restriction", BARRED)
def test_a_barred_item_is_in_no_scope(restriction: str, scope: Any) -> None:
    restricted = ITEMS.append_column("restriction", pa.array([restriction] + [None] * 5))
    assert "i1" not in inside(scope, restricted)


def test_an_item_that_is_merely_sensitive_may_be_offered() -> None:
    sensitive = ITEMS.append_column("restriction", pa.array(["intimate"] + [None] * 5))
    assert "i1" in inside({"everything": True}, sensitive)


def test_the_matrix_follows_the_order_of_the_ids_asked_for() -> None:
    offers = [make_offer("a", brands=["Sari"]), make_offer("b", items=["i2", "new"])]
    matrix = scope_matrix(offers, ITEMS, pa.array(["i3", "new", "i2"]))
    assert matrix.toarray().tolist() == [[1, 0], [0, 1], [0, 1]]
    assert matrix.dtype == np.float32


def test_no_offers_and_no_items_are_an_empty_matrix() -> None:
    assert scope_matrix([], ITEMS, ITEMS["item_id"]).shape == (6, 0)
    assert scope_matrix([make_offer(everything=True)], ITEMS.slice(0, 0), pa.array([], pa.string())).shape == (0, 1)


def test_an_item_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InputError, match="items: 6 rows repeat an item_id"):
        scope_matrix([make_offer(everything=True)], pa.concat_tables([ITEMS, ITEMS]), pa.array(["i1"]))


@pytest.mark.parametrize(
    ("scope", "line"),
    [
        ({"categories": ["Food > Cofee"]}, "categories[0]: no item has the category 'Food > Cofee'; did you mean"),
        ({"items": ["zzzzzz"]}, "items[0]: no item has the item 'zzzzzz'; the largest of 6 are 'i1', 'i2'"),
        ({"brands": ["sari"]}, "brands[0]: no item has the brand 'sari'; did you mean 'Sari'?"),
        ({"merchants": ["m1", "m99"]}, "merchants[1]: no item has the merchant 'm99'"),
    ],
)  # fmt: skip
def test_what_a_scope_names_and_no_item_has_is_a_fault_with_a_near_match(scope: Any, line: str) -> None:
    (fault,) = check_scopes(make_campaign(make_offer(**scope)), ITEMS)
    assert fault.startswith(f"offers[kopi].scope.{line}")


def test_scopes_that_are_all_there_have_no_fault() -> None:
    offer = make_offer(categories=["Food", "Food>Coffee"], items=["i6"], brands=["Sari"], merchants=["m1"])
    assert check_scopes(make_campaign(offer, make_offer("semua", everything=True)), ITEMS) == []


def test_a_scope_of_barred_items_alone_is_a_fault() -> None:
    items = pa.table({"item_id": ["i1"], "category": ["Baby"], "restriction": ["formula"]})
    (fault,) = check_scopes(make_campaign(make_offer(categories=["Baby"])), items)
    assert fault == "offers[kopi].scope: holds no item that may be offered; widen it or drop the offer"


@settings(deadline=None)
@given(st.permutations(range(6)), st.integers(1, 6))
def test_the_order_of_the_items_changes_nothing(order: list[int], chunk: int) -> None:
    shuffled = pa.concat_tables([ITEMS.take(order[start : start + chunk]) for start in range(0, 6, chunk)])
    offers = [make_offer(categories=["Food > Coffee"]), make_offer("b", brands=["Sari"])]
    found = scope_matrix(offers, shuffled, ITEMS["item_id"])
    assert (found != scope_matrix(offers, ITEMS, ITEMS["item_id"])).nnz == 0
