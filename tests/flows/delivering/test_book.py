"""Rows looked up by customer."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from flows.delivering.book import Book

ROWS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9)), max_size=40).map(sorted)


@given(ROWS, st.sets(st.sampled_from("abcdefghxyz")), st.integers(1, 5))
def test_the_rows_of_each_customer_are_found_whatever_the_chunks(rows, asked, size):
    schema = pa.schema([("customer_id", pa.string()), ("n", pa.int64())])
    whole = pa.Table.from_pylist([{"customer_id": name, "n": n} for name, n in rows], schema=schema)
    table = pa.Table.from_batches(whole.to_batches(max_chunksize=size), schema=schema)
    found = [(row["customer_id"], row["n"]) for row in Book(table).rows(sorted(asked))]
    assert found == [row for row in rows if row[0] in asked]
