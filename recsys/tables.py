"""The tables that the rooms pass to each other: Arrow schemas, keys, and the one error for wrong input."""

from dataclasses import dataclass

import pyarrow as pa

ID = pa.string()
MONEY = pa.int64()  # rupiah
INSTANT = pa.timestamp("us", tz="UTC")

PURCHASE_KINDS = ("purchase", "return", "cancellation")
RESTRICTIONS = ("formula", "tobacco", "alcohol", "medicine", "intimate", "medical", "non_halal")


class InputError(ValueError):
    """Something given from outside is wrong. The message says what, where, which value, and what to do."""


@dataclass(frozen=True)
class Table:
    """A table's contract.

    key: the columns that name one row; a newer row with the same key replaces the older.
    instant: the column that says when a row became known; a reader as of an instant sees only rows before it.
    required: columns without which a source is refused; all other columns may be absent and are then null.
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    instant: str | None = None

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.schema if not field.nullable)


def must(name: str, kind: pa.DataType) -> pa.Field:
    """A column that every row has."""
    return pa.field(name, kind, nullable=False)


PURCHASES = Table(
    "purchases",
    pa.schema(
        [
            must("line_id", ID),
            must("order_id", ID),
            must("customer_id", ID),
            must("item_id", ID),
            must("occurred_at", INSTANT),
            must("kind", pa.string()),  # one of PURCHASE_KINDS
            must("quantity", pa.int64()),  # > 0, also of a return
            must("amount", MONEY),  # of the line, after discount, without tax; >= 0, also of a return
            pa.field("discount", MONEY),
            pa.field("returned_line_id", ID),  # null: the latest earlier purchase of that customer and item
        ]
    ),
    key=("line_id",),
    instant="occurred_at",
)

ITEMS = Table(
    "items",
    pa.schema(
        [
            must("item_id", ID),
            pa.field("title", pa.string()),
            pa.field("category", pa.string()),  # a path joined by " > "
            pa.field("brand", pa.string()),
            pa.field("merchant_id", ID),
            pa.field("price", MONEY),
            pa.field("margin_rate", pa.float64()),  # 0–1
            pa.field("stock", pa.int64()),  # null: unlimited
            pa.field("restriction", pa.string()),  # null or one of RESTRICTIONS
            pa.field("image_url", pa.string()),
            pa.field("url", pa.string()),
            pa.field("green", pa.bool_()),
        ]
    ),
    key=("item_id",),
)

RECOMMENDATIONS = Table(
    "recommendations",
    pa.schema(
        [
            must("customer_id", ID),
            must("position", pa.int32()),  # from 1
            must("item_id", ID),
            must("score", pa.float32()),
            must("reason", pa.string()),
        ]
    ),
    key=("customer_id", "position"),
)


def conform(table: pa.Table, contract: Table) -> pa.Table:
    """The table with the contract's columns, order and types; columns it lacks come as null.

    Raises InputError if a required column is missing, holds nulls, or does not fit its type.
    """
    columns = []
    for field in contract.schema:
        if field.name not in table.column_names:
            if not field.nullable:
                raise InputError(f"{contract.name}: column {field.name} is missing; it has {table.column_names}")
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        if not field.nullable and column.null_count:
            raise InputError(f"{contract.name}.{field.name}: {column.null_count} rows have no value")
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowInvalid as error:
            raise InputError(f"{contract.name}.{field.name}: expected {field.type}: {error}") from error
    return pa.table(columns, schema=contract.schema)
