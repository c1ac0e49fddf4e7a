"""A new workspace: larisma.toml with its columns guessed from the shop's own files, and a first campaign."""

import json
import re
import shutil
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import deque
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flows.intake.mapping import MONEY_COLUMNS
from flows.intake.sources import COMPRESSED
from flows.workspace import TABLES, Workspace, write_text
from recsys.tables import ITEMS, PURCHASES, InputError, Table

# What shops call their columns, in letters and digits only; the first that a file has is taken.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "line_id": ("lineid", "orderlineid", "transactionlineid", "orderitemid"),
    "order_id": (
        *("orderid", "invoice", "invoiceno", "invoiceid", "basketid", "nopesanan", "nota", "nonota", "idpesanan"),
        *("receiptid", "transactionid", "orderno", "ordernumber"),
    ),
    "customer_id": (
        *("customerid", "customer", "memberid", "userid", "idpelanggan", "pelanggan", "householdid", "householdkey"),
        *("customeruniqueid", "visitorid", "clientid"),
    ),
    "item_id": (
        *("itemid", "sku", "productid", "stockcode", "idproduk", "kodeproduk", "kodebarang", "articleid"),
        *("productcode", "item", "product", "barang", "produk"),
    ),
    "occurred_at": (
        *("occurredat", "date", "orderdate", "invoicedate", "timestamp", "tanggal", "waktu", "createdat", "datetime"),
        *("transactiondate", "transactiondt", "purchasedate", "orderpurchasetimestamp", "tdat", "tgl"),
    ),
    "quantity": ("quantity", "qty", "jumlah", "kuantitas"),
    "amount": ("amount", "total", "linetotal", "subtotal", "salesvalue", "nilai", "totalharga", "totalprice"),
    "title": ("title", "productname", "description", "namaproduk", "namabarang"),
    "category": ("category", "kategori", "productcategory"),
    "price": ("price", "unitprice", "harga", "hargasatuan"),
    "name": ("name", "nama", "customername", "namapelanggan"),
    "email": ("email", "emailaddress", "surel", "alamatemail"),
    "city": ("city", "kota"),
    "province": ("province", "provinsi"),
    "language": ("language", "bahasa"),
    "tier": ("tier", "level", "tingkat"),
    "joined_at": ("joinedat", "registeredat", "signupdate", "tanggaldaftar"),
}
FIRST_CAMPAIGN = "gajian"
SAMPLE = 100_000  # different values looked at, over the whole file, to see how dates and amounts are written
DAYS = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%m/%d/%Y")
TIMES = ("", " %H:%M", " %H:%M:%S", " %H.%M")
# How amounts are written where they are not plain numbers → SQL that makes them such.
AMOUNTS = (
    (
        r"(Rp\.?)?\s*([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]{1,2})?",
        "replace(regexp_replace({}, '[^0-9,]', '', 'g'), ',', '.')",
    ),
    (r"[0-9]+(\.[0-9]+)?", "{}"),
    (r"[$£€]?\s*([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]{1,2})?", "regexp_replace({}, '[^0-9.]', '', 'g')"),
)  # Rp1.234.567,00 and $1,234.50
SINCE_1970 = (("[0-9]{13}", "to_timestamp({} / 1000)"), ("[0-9]{10}", "to_timestamp({}::bigint)"))

HEAD = """\
# A workspace of larisma. Everything here can also be set by a variable, as LARISMA_SHOP=… or LARISMA_TRAIN__FACTORS=32.
shop = {shop}
shop_url = "https://{host}.example"
language = "id"
timezone = "Asia/Jakarta"
margin_rate = 0.2 # of items that state none; assumed, and every offer's value rests on it

[consent]
# Channels for which a customer without a row in `consents` has agreed: only if you hold that consent elsewhere.
assume = []
"""

SOURCE = """
[sources.{table}]
path = {path}
{encoding}
# Our column = an SQL expression over the file's columns. A column that is not named is taken by its own name.
[sources.{table}.columns]
"""


def init_workspace(root: Path, sources: Mapping[str, Path | None]) -> list[str]:
    """Makes the folder, its larisma.toml and a first campaign; returns what was written.

    sources: table → a CSV or Parquet file, or None. Raises InputError if there is a workspace already, or a file cannot
    be read.
    """
    workspace = Workspace(root)
    if workspace.settings_file.exists():
        raise InputError(
            f"{workspace.settings_file}: there is a workspace here already; edit it, or choose another folder"
        )
    shop = root.resolve().name or "toko"
    host = re.sub("[^a-z0-9]+", "-", shop.lower()).strip("-") or "toko"
    text = HEAD.format(shop=toml(shop), host=host)
    given: dict[str, Path | None] = {name: path for name, path in sources.items() if path is not None}
    if "customers" not in given and (lines := given.get("purchases")) and guess("email", column_names(lines)):
        given["customers"] = lines  # a small shop's one file: each line also says who bought
    for name, path in (given or {"purchases": None}).items():
        text += source_section(TABLES[name], path)
    write_text(workspace.settings_file, text)
    workspace.campaigns.mkdir(exist_ok=True)
    preset = files("campaigns") / "presets" / f"{FIRST_CAMPAIGN}.yaml"
    target = workspace.campaigns / f"{FIRST_CAMPAIGN}.yaml"
    with as_file(preset) as path:
        shutil.copyfile(path, target)
    return [str(workspace.settings_file), str(target)]


def source_section(table: Table, path: Path | None) -> str:
    """The lines of larisma.toml for a table's source; what could not be guessed is left as a comment to fill in."""
    if path is None:
        columns, shown = [], f"{table.name}.csv"
    else:
        columns, shown = column_names(path), path.resolve().as_posix()
    lines = []
    for field in table.schema:
        found = guess(field.name, columns)
        needed = not field.nullable and field.name != "line_id"
        if found:
            expression = read_as(path, found, field)
            if expression != field.name:
                lines.append(f"{field.name} = {toml(expression)}")
        elif field.name == "kind":
            lines.append(
                "kind = \"'purchase'\"  # or, say: case when invoice like 'C%' then 'return' else 'purchase' end"
            )
        elif table.name == "purchases" and (other := instead(field.name, path, columns)):
            lines.append(f"{field.name} = {toml(other[0])}  # {other[1]}")
        elif needed:
            lines.append(f"# {field.name} = '…'  # needed; the file has {', '.join(columns) or 'not been given'}")
    coded = (
        f'encoding = "{encoding(path)}"\n' if path and path.suffix != ".parquet" and encoding(path) != "utf-8" else ""
    )
    section = SOURCE.format(table=table.name, path=toml(shown), encoding=coded) + "\n".join(lines) + "\n"
    if table.name == "purchases":
        derived = {column: guess(column, columns) for column in ("title", "category", "price")}
        fields = {column: ITEMS.schema.field(column) for column in derived}
        made = [
            f"{column} = {toml(read_as(path, found, fields[column]))}" for column, found in derived.items() if found
        ]
        section += "\n# Items are derived from the lines, as long as there is no [sources.items].\n"
        section += "[sources.purchases.item_columns]\n" + "\n".join(made) + "\n"
    return section


def instead(name: str, path: Path | None, columns: list[str]) -> tuple[str, str] | None:
    """(SQL, the reason) for a column of purchases that the file has not, made from what it has."""
    found = {
        column: read_as(path, mine, (ITEMS if column == "price" else PURCHASES).schema.field(column))
        for column in ("customer_id", "occurred_at", "quantity", "price")
        if (mine := guess(column, columns))
    }
    if name == "quantity" and columns:
        return "1", "the file has none: each line is one piece"
    if name == "amount" and "price" in found:
        return " * ".join(found[part] for part in ("price", "quantity") if part in found), "price of a piece, guessed"
    if name == "order_id" and {"customer_id", "occurred_at"} <= found.keys():
        return (
            f"{found['customer_id']} || ' ' || {found['occurred_at']}",
            "a customer's lines of one date are one order",
        )
    return None


def column_names(path: Path) -> list[str]:
    """A CSV's or Parquet's columns. Raises InputError naming the file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    return [row[0].removeprefix("\ufeff") for row in ask(path, f"describe from {reader(path)}")]


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query on a file. Raises InputError naming the file."""
    try:
        return duckdb.execute(query, [str(path)]).fetchall()
    except duckdb.Error as error:
        raise InputError(f"{path}: not readable as {path.suffix[1:] or 'CSV'}: {str(error).splitlines()[0]}") from error


def guess(column: str, names: list[str]) -> str | None:
    """The name among a file's columns that probably stands for ours."""
    plain = {"".join(letter for letter in name.lower() if letter.isalnum()): name for name in names}
    for candidate in (column.replace("_", ""), *SYNONYMS.get(column, ())):
        if candidate in plain:
            return plain[candidate]
    return None


def read_as(path: Path | None, name: str, field: pa.Field) -> str:
    """SQL that reads a file's column as ours: dates and amounts as they are written in Indonesia, if they all are."""
    sql = quoted(name)
    if path is None or not (pa.types.is_timestamp(field.type) or field.name in MONEY_COLUMNS):
        return sql
    values = f"(select distinct {sql}::varchar as value from {reader(path)} where {sql} is not null limit {SAMPLE})"

    def all_are(condition: str) -> bool:
        query = f"select count(*) > 0 and coalesce(bool_and({condition}), false) from {values}"
        return ask(path, query)[0][0]

    def written(*ways: tuple[str, str]) -> str | None:
        return next((way.format(sql) for like, way in ways if all_are(f"regexp_full_match(value, '{like}')")), None)

    if field.name in MONEY_COLUMNS:
        plain = all_are("regexp_full_match(value, '[0-9]+')")
        return sql if plain else written(*AMOUNTS) or sql
    if all_are("try_cast(value as timestamp) is not null"):
        return sql
    if since := written(*SINCE_1970):
        return since
    formats = (f"{day}{time}" for day in DAYS for time in TIMES)
    found = next((one for one in formats if all_are(f"try_strptime(value, '{one}') is not null")), None)
    return f"strptime({sql}, '{found}')" if found else sql


def reader(path: Path) -> str:
    """SQL that reads a file named by a parameter, CSV as text."""
    if path.suffix == ".parquet":
        return "read_parquet(?)"
    known = {"utf-8": "utf-8", "utf-16": "utf-16"}.get(encoding(path), "latin-1")
    return f"read_csv(?, all_varchar = true, header = true, encoding = '{known}')"


@cache
def encoding(path: Path) -> str:
    """Of a CSV that is not compressed, as larisma.toml calls it: utf-8 unless its bytes cannot be that."""
    try:
        with path.open("rb") as file:
            if file.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE):
                return "utf-16"
        if path.suffix in COMPRESSED:
            return "utf-8"
        with path.open(encoding="utf-8") as lines:
            deque(lines, maxlen=0)
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


def toml(text: str) -> str:
    """A text as TOML; one with quotation marks, as of SQL, without escapes where that can be."""
    literal = '"' in text and "'" not in text and text.isprintable()
    return f"'{text}'" if literal else json.dumps(text, ensure_ascii=False)


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
