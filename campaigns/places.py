"""The provinces of Indonesia: which clock each keeps, and where on earth it is."""

from dataclasses import dataclass
from functools import lru_cache

WIB, WITA, WIT = "Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"


@dataclass(frozen=True)
class Province:
    """zone: IANA. latitude, longitude: of its capital, in degrees north and east."""

    name: str
    zone: str
    latitude: float
    longitude: float


PROVINCES = tuple(
    Province(name, zone, latitude, longitude)
    for zone, rows in {
        WIB: (
            ("Aceh", 5.55, 95.32), ("Sumatera Utara", 3.59, 98.67), ("Sumatera Barat", -0.95, 100.35),
            ("Riau", 0.53, 101.45), ("Kepulauan Riau", 0.92, 104.45), ("Jambi", -1.61, 103.61),
            ("Sumatera Selatan", -2.98, 104.76), ("Kepulauan Bangka Belitung", -2.13, 106.11),
            ("Bengkulu", -3.80, 102.27), ("Lampung", -5.45, 105.27), ("DKI Jakarta", -6.20, 106.83),
            ("Banten", -6.12, 106.15), ("Jawa Barat", -6.92, 107.61), ("Jawa Tengah", -6.97, 110.42),
            ("DI Yogyakarta", -7.80, 110.37), ("Jawa Timur", -7.26, 112.75), ("Kalimantan Barat", -0.03, 109.34),
            ("Kalimantan Tengah", -2.21, 113.92),
        ),
        WITA: (
            ("Kalimantan Selatan", -3.32, 114.59), ("Kalimantan Timur", -0.50, 117.15),
            ("Kalimantan Utara", 2.84, 117.37), ("Bali", -8.65, 115.22), ("Nusa Tenggara Barat", -8.58, 116.12),
            ("Nusa Tenggara Timur", -10.18, 123.61), ("Sulawesi Utara", 1.49, 124.84), ("Gorontalo", 0.54, 123.06),
            ("Sulawesi Tengah", -0.90, 119.87), ("Sulawesi Barat", -2.68, 118.89),
            ("Sulawesi Selatan", -5.15, 119.43), ("Sulawesi Tenggara", -3.97, 122.51),
        ),
        WIT: (
            ("Maluku", -3.70, 128.18), ("Maluku Utara", 0.74, 127.57), ("Papua", -2.53, 140.72),
            ("Papua Barat", -0.86, 134.08), ("Papua Barat Daya", -0.88, 131.25), ("Papua Selatan", -8.49, 140.40),
            ("Papua Tengah", -3.36, 135.50), ("Papua Pegunungan", -4.10, 138.94),
        ),
    }.items()
    for name, latitude, longitude in rows
)  # fmt: skip

_OTHER_NAMES = {
    "jakarta": "DKI Jakarta",
    "daerah khusus jakarta": "DKI Jakarta",
    "dkj": "DKI Jakarta",
    "yogyakarta": "DI Yogyakarta",
    "daerah istimewa yogyakarta": "DI Yogyakarta",
    "nanggroe aceh darussalam": "Aceh",
    "bangka belitung": "Kepulauan Bangka Belitung",
    "ntb": "Nusa Tenggara Barat",
    "ntt": "Nusa Tenggara Timur",
}
_BY_NAME = {province.name.casefold(): province for province in PROVINCES}
_CAPITALS = {WIB: "dki jakarta", WITA: "sulawesi selatan", WIT: "papua"}


@lru_cache(maxsize=4096)
def province_named(name: str | None) -> Province | None:
    """A province by its name, in any case and by some other names that it goes by; None if it is none."""
    plain = " ".join((name or "").casefold().replace(".", "").split()).removeprefix("provinsi ")
    return _BY_NAME.get(_OTHER_NAMES.get(plain, plain).casefold())


def place_of(province: str | None, zone: str = WIB) -> Province:
    """Where a customer is: their province, or where that is not known the middle of their time zone."""
    found = province_named(province)
    if found:
        return found
    middle = {"Asia/Pontianak": WIB, "Asia/Ujung_Pandang": WITA}.get(zone, zone)
    return _BY_NAME[_CAPITALS.get(middle, "dki jakarta")]
