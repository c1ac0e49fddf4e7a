from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.interactions import build_matrix, net_purchases
from recsys.tables import PURCHASES, InputError

START = datetime(2017, 1, 1, tzinfo=UTC)
AS_OF = datetime(2018, 1, 1, tzinfo=UTC)


def line(line_id, day, kind="purchase", quantity=1, amount=None, customer="ani", item="kopi", order=None, names=None):
    return {
        "line_id": line_id,
        "order_id": order or f"order {line_id}",
        "customer_id": customer,
        "item_id": item,
        "occurred_at": START + timedelta(days=day),
        "kind": kind,
        "quantity": quantity,
        "amount": 1000 * quantity if amount is None else amount,
        "discount": None,
        "returned_line_id": names,
    }


def purchases(*lines):
    return pa.Table.from_pylist(list(lines), schema=PURCHASES.schema)


def left(*lines, as_of=AS_OF):
    return {row["line_id"]: row["quantity"] for row in net_purchases(purchases(*lines), as_of).to_pylist()}


def test_a_return_takes_the_latest_earlier_purchase():
    assert left(line("a", 1), line("b", 2), line("r", 3, "return"), line("c", 4)) == {"a": 1, "c": 1}


def test_a_cancellation_is_a_return():
    assert left(line("a", 1), line("r", 3, "cancellation")) == {}


def test_a_return_takes_the_line_it_names():
    assert left(line("a", 1), line("b", 2), line("r", 3, "return", names="a")) == {"b": 1}


@pytest.mark.parametrize(
    "other", [{"customer": "budi"}, {"item": "teh"}, {"day": 9}], ids=["another customer", "another item", "later"]
)
def test_a_return_that_names_a_line_it_cannot_mean_takes_the_latest_earlier_purchase(other):
    assert left(line("a", 1), line("b", **{"day": 2, **other}), line("r", 3, "return", names="b")) == {"b": 1}


def test_a_return_of_an_unknown_line_takes_the_latest_earlier_purchase():
    assert left(line("a", 1), line("r", 3, "return", names="lost")) == {}


def test_a_return_before_any_purchase_cancels_nothing():
    assert left(line("r", 1, "return"), line("a", 2)) == {"a": 1}


def test_a_return_at_the_instant_of_its_purchase_cancels_it():
    assert left(line("z", 1), line("r", 1, "return")) == {}


def test_what_is_returned_beyond_what_was_bought_cancels_nothing():
    assert left(line("a", 1, quantity=2), line("r", 2, "return", quantity=5), line("b", 3)) == {"b": 1}


def test_a_return_after_as_of_has_not_happened_yet():
    lines = line("a", 1), line("r", 3, "return")
    assert left(*lines, as_of=START + timedelta(days=3)) == {"a": 1}
    assert left(*lines, as_of=START + timedelta(days=3, microseconds=1)) == {}


def test_a_part_return_shrinks_quantity_and_amount_in_proportion():
    (row,) = net_purchases(purchases(line("a", 1, quantity=3, amount=1000), line("r", 2, "return")), AS_OF).to_pylist()
    assert (row["quantity"], row["amount"], row["discount"]) == (2, 667, None)


def test_a_large_return_takes_from_several_purchases():
    lines = [line("a", 1, quantity=3), line("b", 2, quantity=2), line("r", 3, "return", quantity=4)]
    assert left(*lines) == {"a": 1}


def test_net_purchases_keeps_the_schema_even_of_nothing():
    assert net_purchases(PURCHASES.schema.empty_table(), AS_OF).schema == PURCHASES.schema
    assert net_purchases(purchases(line("r", 1, "return")), AS_OF).schema == PURCHASES.schema


def test_quantities_beyond_counting_are_refused():
    with pytest.raises(InputError, match="check the quantities"):
        net_purchases(purchases(line("a", 1, quantity=2**62, amount=1), line("r", 2, "return")), AS_OF)


def test_as_of_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        net_purchases(purchases(line("a", 1)), datetime(2018, 1, 1))  # noqa: DTZ001


def on_a_stack(events):
    """The same rule, line by line."""
    remaining, stacks = {}, {}
    for kind, quantity, customer, item, name in events:
        stack = stacks.setdefault((customer, item), [])
        if kind == "purchase":
            remaining[name] = quantity
            stack.append(name)
        while kind != "purchase" and stack and quantity:
            taken = min(quantity, remaining[stack[-1]])
            quantity -= taken
            remaining[stack[-1]] -= taken
            if not remaining[stack[-1]]:
                stack.pop()
    return {name: count for name, count in remaining.items() if count}


kinds = st.sampled_from(["purchase", "return", "cancellation"])
lines = st.lists(st.tuples(kinds, st.integers(1, 5), st.sampled_from("ab"), st.sampled_from("xy")), max_size=30)


@settings(deadline=None)
@given(lines, st.randoms(use_true_random=False))
def test_netting_is_a_stack_for_each_customer_and_item_whatever_the_order_of_rows(events, random):
    named = [(*event, f"{day:02d}") for day, event in enumerate(events)]
    rows = [line(name, int(name), k, q, customer=c, item=i) for k, q, c, i, name in named]
    random.shuffle(rows)
    assert left(*rows) == on_a_stack(named)


def cells(matrix):
    coo = matrix.matrix.tocoo()
    customers, items = matrix.customers.to_pylist(), matrix.items.to_pylist()
    return {(customers[r], items[c]): float(v) for r, c, v in zip(coo.row, coo.col, coo.data, strict=True)}


def test_a_cell_counts_orders_not_lines_or_pieces():
    lines = [line("a", 1, quantity=6, order="1"), line("b", 1, order="1"), line("c", 5, order="2")]
    assert cells(build_matrix(purchases(*lines), AS_OF, half_life_days=None)) == {("ani", "kopi"): 2.0}


def test_an_order_halves_with_every_half_life():
    lines = [line("a", 0), line("b", 10)]
    matrix = build_matrix(purchases(*lines), START + timedelta(days=20), half_life_days=10)
    assert cells(matrix) == {("ani", "kopi"): pytest.approx(0.25 + 0.5)}


def test_a_cell_is_capped():
    lines = [line(str(k), k) for k in range(9)]
    assert cells(build_matrix(purchases(*lines), AS_OF, half_life_days=None, cap=4)) == {("ani", "kopi"): 4.0}


def test_rare_items_are_left_out_and_their_customers_kept():
    lines = [line("1", 1), line("2", 1, customer="budi"), line("3", 1, customer="cici", item="langka")]
    matrix = build_matrix(purchases(*lines), AS_OF, min_item_buyers=2)
    assert matrix.items.to_pylist() == ["kopi"]
    assert matrix.customers.to_pylist() == ["ani", "budi", "cici"]
    assert matrix.matrix[2].nnz == 0


def test_a_returned_item_is_in_no_cell():
    matrix = build_matrix(purchases(line("a", 1), line("r", 2, "return"), line("b", 1, item="teh")), AS_OF)
    assert list(cells(matrix)) == [("ani", "teh")]


def test_ids_are_sorted_and_lead_to_their_rows():
    matrix = build_matrix(purchases(line("1", 1, customer="b", item="y"), line("2", 1, customer="a", item="x")), AS_OF)
    assert matrix.customers.to_pylist() == ["a", "b"]
    assert matrix.customer_rows(pa.array(["b", "nobody", None, "a"])).tolist() == [1, -1, -1, 0]
    assert matrix.item_rows(pa.array(["x", "nothing"])).tolist() == [0, -1]


def test_nothing_bought_gives_an_empty_matrix():
    assert build_matrix(PURCHASES.schema.empty_table(), AS_OF).matrix.shape == (0, 0)


@settings(deadline=None)
@given(lines, st.randoms(use_true_random=False))
def test_the_matrix_is_the_same_bytes_whatever_the_order_of_rows(events, random):
    rows = [line(f"{k:02d}", k, kind, q, customer=c, item=i) for k, (kind, q, c, i) in enumerate(events)]
    one = build_matrix(purchases(*rows), AS_OF, half_life_days=50)
    random.shuffle(rows)
    other = build_matrix(purchases(*rows), AS_OF, half_life_days=50)
    assert one.customers == other.customers
    assert one.items == other.items
    for part in ("data", "indices", "indptr"):
        assert getattr(one.matrix, part).tobytes() == getattr(other.matrix, part).tobytes()
    assert one.matrix.dtype == np.float32
    assert one.matrix.has_sorted_indices
