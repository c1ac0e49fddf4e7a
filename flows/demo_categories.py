"""What the demo's categories are called in Indonesian: those that its campaigns and the presets name."""

import pyarrow as pa

from campaigns.tables import CATEGORY_NAMES

INDONESIAN = {
    "Grocery > Bag Snacks > Potato Chips": "Keripik kentang",
    "Grocery > Bag Snacks > Pretzels": "Pretzel",
    "Grocery > Baking Mixes": "Adonan kue siap pakai",
    "Grocery > Baking Needs": "Perlengkapan kue",
    "Grocery > Bath Tissues": "Tisu toilet",
    "Grocery > Butter": "Mentega",
    "Grocery > Canned Juices": "Sari buah kaleng",
    "Grocery > Cat Food": "Makanan kucing",
    "Grocery > Cat Litter": "Pasir kucing",
    "Grocery > Coffee": "Kopi",
    "Grocery > Cold Cereal": "Sereal sarapan",
    "Grocery > Cookies/Cones": "Biskuit dan kukis",
    "Grocery > Dishwash Detergents": "Sabun cuci piring",
    "Grocery > Dog Foods": "Makanan anjing",
    "Grocery > Flour & Meals": "Tepung",
    "Grocery > Frozen Pizza": "Pizza beku",
    "Grocery > Ice Cream/Milk/Sherbets": "Es krim",
    "Grocery > Laundry Additives": "Pelembut pakaian",
    "Grocery > Laundry Detergents": "Deterjen",
    "Grocery > Margarines": "Margarin",
    "Grocery > Paper Towels": "Tisu dapur",
    "Grocery > Powder/Crystal Drink Mixes": "Minuman serbuk",
    "Grocery > Refrigerated Juices/Drinks": "Jus dan minuman dingin",
    "Grocery > Soft Drinks > Soft Drink 2 Liter Bottle Carbonated Incl": "Soda botol 2 liter",
    "Grocery > Sugars/Sweeteners": "Gula dan pemanis",
    "Grocery > Water - Carbonated/Flavoured Drink": "Air minum",
    "Grocery > Yogurt": "Yogurt",
    "Health & Home > Candy - Packaged": "Permen dan cokelat",
    "Health & Home > Diapers & Disposables": "Popok",
    "Health & Home > Greeting Cards/Wrap/Party Supplies": "Kartu ucapan dan kertas kado",
    "Meat > Chicken": "Ayam",
    "Produce > Salad Mix": "Salad siap saji",
}


def category_names() -> pa.Table:
    rows = [{"category": path, "language": "id", "name": name} for path, name in sorted(INDONESIAN.items())]
    return pa.Table.from_pylist(rows, schema=CATEGORY_NAMES.schema)
