"""A small shop with everything in it, decided once: tests read it, and copy it where they change something."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.tables import CONSENTS, CUSTOMERS, SERVICE_CASES, SILENCES
from flows.decide import decide_campaign
from flows.ingest import ingest_tables
from flows.settings import Settings, load_settings
from flows.train import train_models
from flows.workspace import Workspace, open_workspace
from recsys.synthetic import taste_groups
from recsys.tables import ITEMS, conform

CUSTOMERS_KNOWN, ITEMS_KNOWN = 150, 40
TABLES = ("purchases", "items", "customers", "consents", "service_cases", "silences")
CATEGORIES = ("Dapur > Kopi", "Dapur > Teh", "Rumah > Sabun", "Bayi > Susu")  # item i is in category i % 4

TOML = (
    'shop = "Toko Uji"\nshop_url = "https://toko.example"\nshop_address = "Jalan Melati 1, Bandung"\n'
    "[train]\nmin_item_buyers = 2\nfactors = 8\n"
    '[approval]\nfunders = "assumed"\n'
) + "".join(f'[sources.{name}]\npath = "sources/{name}.parquet"\n' for name in TABLES)

PANEN = """\
id: panen
name: Pesta Panen
schedule: {occasion: always, weekday: friday, time: "09:00"}
window_days: 20
audience: "tier is not null"
control: {share: 0.15}
channels:
  email: {capacity: 45, message_cost: 50, placements: {hero: 1, grid: 1}}
  push: {capacity: 20, message_cost: 10, placements: {push: 1}, response: 0.6}
budgets: {retailer: 150000, sari-murni: 12000}
offers:
  - id: kopi
    benefit: {kind: percent_off, percent: 4, max_discount: 5000}
    scope: {categories: ["Dapur > Kopi"]}
    funders: {retailer: 0.5, sari-murni: 0.5}
    quota: {redeemed: 9}
    uplift: 0.5
    group: minuman
    text: &kopi
      id: {title: Kopi hemat, body: Untuk pagi Anda.}
      en: {title: Coffee for less, body: For your mornings.}
  - id: teh
    benefit: {kind: cashback, percent: 3, max_discount: 5000}
    scope: {categories: ["Dapur > Teh"]}
    quota: {sent: 20}
    uplift: 0.5
    group: minuman
    text:
      id: {title: Teh hemat}
      en: {title: Tea for less}
  - id: sabun
    benefit: {kind: points_multiplier, factor: 3}
    scope: {categories: [Rumah]}
    uplift: 0.4
    eligibility: "tier = 'gold'"
    text:
      id: {title: Poin sabun}
      en: {title: Points on soap}
  - id: semua
    benefit: {kind: free_shipping, amount: 2000}
    scope: {everything: true}
    min_spend: 30000
    uplift: 0.3
    text:
      id: {title: Gratis ongkir}
      en: {title: Free delivery}
content:
  id: &words
    subject: "{{ offer.title }}, {{ customer.called }}"
    heading: "{{ customer.greeting }}"
    intro: Pilihan pekan ini.
    push_title: "{{ offer.title }}"
    push_body: "{{ offer.benefit }}"
  en: *words
"""


@dataclass(frozen=True)
class Shop:
    """as_of: purchases go on for a month after it. manifest: of the run of `panen`; None before it is decided."""

    workspace: Workspace
    settings: Settings
    as_of: datetime
    clock: datetime
    manifest: dict[str, Any] | None = None

    @property
    def run(self) -> Path:
        return self.workspace.run("panen", self.manifest["occurrence"])

    def rows(self, name: str, **only: Any) -> list[dict[str, Any]]:
        """A table of the run, those of its rows that have the given values."""
        found = pq.read_table(self.run / f"{name}.parquet").to_pylist()
        return [row for row in found if all(row[key] == value for key, value in only.items())]

    def source(self, name: str) -> Path:
        return self.workspace.root / "sources" / f"{name}.parquet"

    def append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Adds rows to a source; ingest takes them in."""
        known = pq.read_table(self.source(name))
        pq.write_table(pa.concat_tables([known, pa.Table.from_pylist(rows, schema=known.schema)]), self.source(name))

    def ingest(self) -> dict[str, Any]:
        return ingest_tables(self.workspace, self.settings, self.clock)

    def train(self) -> dict[str, Any]:
        return train_models(self.workspace, self.settings, self.as_of)

    def decide(self, campaign: str = "panen", **more: Any) -> "Shop":
        manifest = decide_campaign(self.workspace, self.settings, campaign, self.as_of, **more)
        return replace(self, manifest=manifest)

    def write_campaign(self, text: str, name: str = "panen") -> None:
        self.workspace.campaigns.mkdir(exist_ok=True)
        (self.workspace.campaigns / f"{name}.yaml").write_text(text, encoding="utf-8")

    def edit_campaign(self, old: str, new: str) -> None:
        path = self.workspace.campaigns / "panen.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Ingested, trained, and `panen` decided, with hindsight. To be read only."""
    root = tmp_path_factory.mktemp("shop")
    (root / "sources").mkdir()
    for name, table in sources().items():
        pq.write_table(table, root / "sources" / f"{name}.parquet")
    (root / "larisma.toml").write_text(TOML, encoding="utf-8")
    workspace = open_workspace(root)
    as_of = datetime(2017, 12, 5, tzinfo=UTC)
    made = Shop(workspace, load_settings(workspace), as_of, clock=as_of + timedelta(days=40))
    made.write_campaign(PANEN)
    made.ingest()
    made.train()
    return made.decide(hindsight=True)


@pytest.fixture
def copied(shop: Shop, tmp_path: Path) -> Shop:
    """The same shop, to be changed."""
    root = tmp_path / "shop"
    shutil.copytree(shop.workspace.root, root, symlinks=True)
    return replace(shop, workspace=Workspace(root))


def sources() -> dict[str, pa.Table]:
    """60 weeks of orders, of people with a taste for one category each; the last ten people never bought anything."""
    start = datetime(2016, 11, 8, tzinfo=UTC)  # to 2 January 2018
    world = taste_groups(5, customers=CUSTOMERS_KNOWN - 10, items=ITEMS_KNOWN, orders=20, start=start, days=420)
    random = np.random.default_rng(5)
    ids = [f"c{k:06d}" for k in range(CUSTOMERS_KNOWN)]
    items = [
        {
            "item_id": f"i{k:05d}",
            "title": f"Barang {k}",
            "category": CATEGORIES[k % 4],
            "brand": "Sari Murni" if k % 8 == 0 else None,
            "price": 10_000 + 1_000 * k,
            "margin_rate": None if k % 5 == 0 else 0.3,
            "stock": 0 if k in (4, 5) else None,
            "restriction": "formula" if k == 3 else "intimate" if k == 2 else None,
        }
        for k in range(ITEMS_KNOWN)
    ]
    people = [
        {
            "customer_id": name,
            "name": f"Pelanggan {k}" if k % 9 else None,
            "salutation": ("Ibu", "Bapak", None)[k % 3],
            "email": f"{name}@pelanggan.example" if k % 13 else None,
            "push_tokens": [f"token-{name}"] if k % 3 else None,
            "language": "en" if k % 6 == 0 else "id",
            "city": "Bandung" if k % 2 else "Makassar",
            "birth_date": date(1980, 1, 1),
            "joined_at": start if k % 50 else datetime(2017, 12, 20, tzinfo=UTC),  # some join later
            "tier": (None, "silver", "gold", "gold", "silver")[k % 5],
        }
        for k, name in enumerate(ids)
    ]
    consents = [
        {
            "customer_id": name,
            "channel": channel,
            "purpose": "promotion",
            "granted": bool(random.random() < 0.9),
            "changed_at": start + timedelta(days=int(random.integers(0, 300))),
            "source": "checkout",
        }
        for name in ids
        for channel in ("email", "push")
        if random.random() < 0.9
    ]
    cases = [
        {"customer_id": ids[7], "kind": "complaint", "opened_at": datetime(2017, 12, 1, tzinfo=UTC), "closed_at": None}
    ]
    silences = [
        {"customer_id": ids[8], "city": None, "reason": "bereavement", "until": datetime(2018, 3, 1, tzinfo=UTC)}
    ]
    rows = ((ITEMS, items), (CUSTOMERS, people), (CONSENTS, consents), (SERVICE_CASES, cases), (SILENCES, silences))
    made = {table.name: conform(pa.Table.from_pylist(listed, schema=table.schema), table) for table, listed in rows}
    return {"purchases": world.purchases, **made}
