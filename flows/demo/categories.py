"""What the demo's categories are called by readers: those that its campaigns and the presets name."""

import pyarrow as pa

from campaigns.tables import CATEGORY_NAMES

NAMES = {  # category → in Indonesian, in English
    "Grocery > Bag Snacks > Potato Chips": ("Keripik kentang", "Potato chips"),
    "Grocery > Bag Snacks > Pretzels": ("Pretzel", "Pretzels"),
    "Grocery > Baking Mixes": ("Adonan kue siap pakai", "Baking mixes"),
    "Grocery > Baking Needs": ("Perlengkapan kue", "Baking needs"),
    "Grocery > Bath Tissues": ("Tisu toilet", "Toilet tissue"),
    "Grocery > Butter": ("Mentega", "Butter"),
    "Grocery > Canned Juices": ("Sari buah kaleng", "Canned juice"),
    "Grocery > Cat Food": ("Makanan kucing", "Cat food"),
    "Grocery > Cat Litter": ("Pasir kucing", "Cat litter"),
    "Grocery > Coffee": ("Kopi", "Coffee"),
    "Grocery > Cold Cereal": ("Sereal sarapan", "Breakfast cereal"),
    "Grocery > Cookies/Cones": ("Biskuit dan kukis", "Biscuits and cookies"),
    "Grocery > Dishwash Detergents": ("Sabun cuci piring", "Washing-up liquid"),
    "Grocery > Dog Foods": ("Makanan anjing", "Dog food"),
    "Grocery > Flour & Meals": ("Tepung", "Flour"),
    "Grocery > Frozen Pizza": ("Pizza beku", "Frozen pizza"),
    "Grocery > Ice Cream/Milk/Sherbets": ("Es krim", "Ice cream"),
    "Grocery > Laundry Additives": ("Pelembut pakaian", "Fabric softener"),
    "Grocery > Laundry Detergents": ("Deterjen", "Laundry detergent"),
    "Grocery > Margarines": ("Margarin", "Margarine"),
    "Grocery > Paper Towels": ("Tisu dapur", "Paper towels"),
    "Grocery > Powder/Crystal Drink Mixes": ("Minuman serbuk", "Drink mixes"),
    "Grocery > Refrigerated Juices/Drinks": ("Jus dan minuman dingin", "Juice and chilled drinks"),
    "Grocery > Soft Drinks > Soft Drink 2 Liter Bottle Carbonated Incl": (
        "Soda botol 2 liter",
        "Soda in 2-litre bottles",
    ),
    "Grocery > Sugars/Sweeteners": ("Gula dan pemanis", "Sugar and sweeteners"),
    "Grocery > Water - Carbonated/Flavoured Drink": ("Air minum", "Water"),
    "Grocery > Yogurt": ("Yogurt", "Yogurt"),
    "Health & Home > Candy - Packaged": ("Permen dan cokelat", "Sweets and chocolate"),
    "Health & Home > Diapers & Disposables": ("Popok", "Nappies"),
    "Health & Home > Greeting Cards/Wrap/Party Supplies": ("Kartu ucapan dan kertas kado", "Cards and gift wrap"),
    "Meat > Chicken": ("Ayam", "Chicken"),
    "Produce > Salad Mix": ("Salad siap saji", "Salad mixes"),
}
LANGUAGES = ("id", "en")
SPOKEN = {one: {path: names[place] for path, names in NAMES.items()} for place, one in enumerate(LANGUAGES)}


def category_names() -> pa.Table:
    rows = [
        {"category": path, "language": language, "name": name}
        for language, names in sorted(SPOKEN.items())
        for path, name in sorted(names.items())
    ]
    return pa.Table.from_pylist(rows, schema=CATEGORY_NAMES.schema)
