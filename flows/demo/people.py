"""The demo's people, all made up from a seed: names, addresses, languages, consents, complaints.

Each is drawn from a stream of their own (seed and customer id), so one person does not depend on the others.
"""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from faker import Faker

from campaigns.tables import CHANNELS, CONSENTS, CUSTOMERS, SERVICE_CASES
from flows.workspace import write_parquet

CITIES = (  # city, province, time zone, weight
    ("Jakarta Selatan", "DKI Jakarta", "Asia/Jakarta", 14),
    ("Jakarta Barat", "DKI Jakarta", "Asia/Jakarta", 10),
    ("Bekasi", "Jawa Barat", "Asia/Jakarta", 10),
    ("Bandung", "Jawa Barat", "Asia/Jakarta", 10),
    ("Depok", "Jawa Barat", "Asia/Jakarta", 7),
    ("Tangerang", "Banten", "Asia/Jakarta", 9),
    ("Semarang", "Jawa Tengah", "Asia/Jakarta", 6),
    ("Surakarta", "Jawa Tengah", "Asia/Jakarta", 3),
    ("Yogyakarta", "DI Yogyakarta", "Asia/Jakarta", 5),
    ("Surabaya", "Jawa Timur", "Asia/Jakarta", 10),
    ("Malang", "Jawa Timur", "Asia/Jakarta", 4),
    ("Medan", "Sumatera Utara", "Asia/Jakarta", 6),
    ("Palembang", "Sumatera Selatan", "Asia/Jakarta", 4),
    ("Pekanbaru", "Riau", "Asia/Jakarta", 3),
    ("Pontianak", "Kalimantan Barat", "Asia/Pontianak", 2),
    ("Denpasar", "Bali", "Asia/Makassar", 5),
    ("Makassar", "Sulawesi Selatan", "Asia/Makassar", 5),
    ("Balikpapan", "Kalimantan Timur", "Asia/Makassar", 3),
    ("Banjarmasin", "Kalimantan Selatan", "Asia/Makassar", 2),
    ("Manado", "Sulawesi Utara", "Asia/Makassar", 2),
    ("Mataram", "Nusa Tenggara Barat", "Asia/Makassar", 2),
    ("Ambon", "Maluku", "Asia/Jayapura", 1),
    ("Jayapura", "Papua", "Asia/Jayapura", 1),
)
WEIGHTS = tuple(city[3] for city in CITIES)

NO_CONSENT = {"email": 0.08, "push": 0.10}
NO_PUSH_TOKEN = 0.35
ENGLISH = 0.12
OPEN_COMPLAINT = 0.012  # opened in the autumn, or in late May; the rest of those with a case have it closed
CLOSED_CASE = 0.03

# Spend of January to March, real, decides tier and points: known by every as-of of the demo.
HOUSEHOLDS_SQL = """
    select household_id::varchar as customer_id,
        min({local_time}) as first_bought_at,
        round(coalesce(sum(sales_value) filter (transaction_timestamp < timestamp '2017-04-01'), 0) * {rate})::bigint
            as spend
    from transactions group by household_id order by household_id::varchar"""

GOLD, SILVER = 12_000_000, 5_000_000  # rupiah in a quarter
RUPIAH_PER_POINT = 10_000


def write_people(
    database: duckdb.DuckDBPyConnection, folder: Path, *, rupiah_per_dollar: int, local_time: str, seed: int
) -> None:
    """Writes customers, consents and service_cases for every household of the view `transactions`."""
    households = database.sql(HOUSEHOLDS_SQL.format(local_time=local_time, rate=rupiah_per_dollar)).fetchall()
    names = Faker("id_ID")
    customers: list[dict[str, Any]] = []
    consents: list[dict[str, Any]] = []
    cases: list[dict[str, Any]] = []
    for customer_id, first_bought_at, spend in households:
        chance = random.Random(f"{seed}/{customer_id}")  # noqa: S311 - a story, not a secret
        names.seed_instance(chance.getrandbits(32))
        person = invent_person(customer_id, first_bought_at.replace(tzinfo=UTC), spend, chance, names)
        customers.append(person)
        consents += invent_consents(person, chance)
        cases += invent_cases(customer_id, chance)
    for contract, rows in ((CUSTOMERS, customers), (CONSENTS, consents), (SERVICE_CASES, cases)):
        write_parquet(folder / f"{contract.name}.parquet", pa.Table.from_pylist(rows, schema=contract.schema))


def invent_person(
    customer_id: str, first_bought_at: datetime, spend: int, chance: random.Random, names: Faker
) -> dict[str, Any]:
    woman = chance.random() < 0.62  # who mostly shops for a household
    first = names.first_name_female() if woman else names.first_name_male()
    last = names.last_name()
    born = date(1957, 1, 1) + timedelta(days=chance.randrange(41 * 365))
    city, province, timezone, _ = chance.choices(CITIES, WEIGHTS)[0]
    tokens = 0 if chance.random() < NO_PUSH_TOKEN else chance.choice((1, 1, 1, 2))
    return {
        "customer_id": customer_id,
        "name": f"{first} {last}",
        "salutation": "Kak" if born.year >= 1988 else "Ibu" if woman else "Bapak",
        "email": f"{_address(first)}.{_address(last)}.{customer_id}@pelanggan.example",
        "push_tokens": [f"{chance.getrandbits(256):064x}" for _ in range(tokens)],
        "language": "en" if chance.random() < ENGLISH else "id",
        "timezone": timezone,
        "city": city,
        "province": province,
        "birth_date": born,
        "joined_at": _noon(first_bought_at - timedelta(days=chance.randrange(20, 700))),
        "tier": "gold" if spend >= GOLD else "silver" if spend >= SILVER else "bronze",
        "points": spend // RUPIAH_PER_POINT,
    }


def invent_consents(person: dict[str, Any], chance: random.Random) -> list[dict[str, Any]]:
    """One row for each channel at joining; most of those who say no say it later, in a row of its own."""
    rows = []
    for channel in CHANNELS:
        row = {
            "customer_id": person["customer_id"],
            "channel": channel,
            "purpose": "promotion",
            "source": "pendaftaran",
        }
        refuses = chance.random() < NO_CONSENT[channel]
        refused_at = _noon(datetime(2017, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(300)))
        later = refuses and refused_at > person["joined_at"]
        rows.append({**row, "granted": later or not refuses, "changed_at": person["joined_at"]})
        if later:
            rows.append({**row, "granted": False, "changed_at": refused_at, "source": "berhenti langganan"})
    return rows


def invent_cases(customer_id: str, chance: random.Random) -> list[dict[str, Any]]:
    draw = chance.random()
    if draw >= OPEN_COMPLAINT + CLOSED_CASE:
        return []
    still_open = draw < OPEN_COMPLAINT
    start = chance.choice((datetime(2017, 5, 20, tzinfo=UTC), datetime(2017, 11, 10, tzinfo=UTC)))
    opened_at = _noon(start + timedelta(days=chance.randrange(14)))
    return [
        {
            "customer_id": customer_id,
            "kind": "complaint" if still_open else chance.choice(("complaint", "late_delivery", "return")),
            "opened_at": opened_at,
            "closed_at": None if still_open else opened_at + timedelta(days=chance.randrange(1, 6)),
        }
    ]


def _noon(instant: datetime) -> datetime:
    return instant.replace(hour=5, minute=0, second=0, microsecond=0)  # noon in WIB


def _address(name: str) -> str:
    return "".join(letter for letter in name.lower() if "a" <= letter <= "z") or "pelanggan"
