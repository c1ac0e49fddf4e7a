from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.codes import assign_codes, free_codes
from campaigns.offer import Code, Offer
from campaigns.tables import CODES
from recsys.tables import InputError

UNTIL = datetime(2026, 12, 20, tzinfo=UTC)
NOTHING = pa.array([], pa.string())


def offer(name: str, **code: str) -> Offer:
    return Offer.model_validate(
        {
            "id": name,
            "benefit": {"kind": "amount_off", "amount": 5000},
            "scope": {"everything": True},
            "uplift": 0.2,
            "code": code or None,
            "text": {"id": {"title": name}},
        }
    )


def codes(*rows: tuple[str, str, datetime | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"code": code, "pool": pool, "valid_until": until} for code, pool, until in rows], schema=CODES.schema
    )


def decisions(*rows: tuple[str, str] | tuple[str, str, str]) -> pa.Table:
    """(customer, offer, arm)"""
    return pa.Table.from_pylist(
        [{"customer_id": row[0], "offer_id": row[1], "arm": row[2] if len(row) > 2 else "treatment"} for row in rows],
        schema=pa.schema([("customer_id", pa.string()), ("offer_id", pa.string()), ("arm", pa.string())]),
    )


def test_everybody_gets_a_shared_code() -> None:
    given = assign_codes(decisions(("c1", "kopi"), ("c2", "kopi"), ("c3", "teh")), [offer("kopi", shared="NGOPI")], {})
    assert given.to_pylist() == ["NGOPI", "NGOPI", None]


def test_a_single_use_code_goes_to_one_customer_alone_and_to_no_control() -> None:
    rows = decisions(("c1", "kopi", "control"), ("c2", "kopi"), ("c3", "kopi"))
    given = assign_codes(rows, [offer("kopi", pool="p")], {"p": pa.array(["A1", "A2", "A3"])})
    assert given.to_pylist() == [None, "A1", "A2"]


def test_a_customer_with_two_offers_of_a_pool_gets_one_code_for_both() -> None:
    rows = decisions(("c1", "kopi"), ("c1", "teh"), ("c2", "teh"))
    given = assign_codes(rows, [offer("kopi", pool="p"), offer("teh", pool="p")], {"p": pa.array(["A1", "A2"])})
    assert given.to_pylist() == ["A1", "A1", "A2"]


def test_too_few_codes_are_refused_with_the_pool_and_both_numbers() -> None:
    with pytest.raises(InputError, match=r"pool p has 1 codes left, and 2 customers"):
        assign_codes(decisions(("c1", "kopi"), ("c2", "kopi")), [offer("kopi", pool="p")], {"p": pa.array(["A1"])})


def test_a_code_is_free_if_nobody_has_it_and_it_lasts_as_long_as_the_offer() -> None:
    table = codes(
        ("B2", "p", None),
        ("B1", "p", UNTIL),
        ("B3", "p", UNTIL - timedelta(seconds=1)),
        ("B4", "p", None),
        ("C1", "q", None),
    )
    free = free_codes(table, pa.array(["B4"]), UNTIL)
    assert {pool: names.to_pylist() for pool, names in free.items()} == {"p": ["B1", "B2"], "q": ["C1"]}
    assert free_codes(codes(), NOTHING, UNTIL) == {}


@pytest.mark.parametrize("code", ["=cmd", "-1", "A B", "", "X" * 65, "kode\n"])
def test_a_code_that_cannot_be_typed_or_would_be_a_formula_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        Code.model_validate({"shared": code})


@pytest.mark.parametrize("both", [{}, {"shared": "A", "pool": "p"}])
def test_a_code_is_shared_or_of_a_pool(both: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Code.model_validate(both)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["kopi", "teh"]), st.sampled_from(["treatment", "control"])))
)
def test_no_code_is_given_to_two_customers(rows: list[tuple[int, str, str]]) -> None:
    table = decisions(*((f"c{customer}", name, arm) for customer, name, arm in sorted(set(rows))))
    free = {
        "p": pa.array([f"P{number:02}" for number in range(20)]),
        "q": pa.array([f"Q{number:02}" for number in range(20)]),
    }
    given = assign_codes(table, [offer("kopi", pool="p"), offer("teh", pool="q")], free).to_pylist()
    holders: dict[str, set[str]] = {}
    for row, code in zip(table.to_pylist(), given, strict=True):
        assert (code is not None) == (row["arm"] == "treatment")
        if code is not None:
            assert code.startswith("P" if row["offer_id"] == "kopi" else "Q")
            holders.setdefault(code, set()).add(row["customer_id"])
    assert all(len(people) == 1 for people in holders.values())
