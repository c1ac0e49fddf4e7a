"""The months ahead as one HTML page: a grid for each month, overlaps, and what a moved feast would move."""

import calendar
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import jinja2
from babel.dates import format_date, get_day_names

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("flows.reporting"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
WORDS = {
    "id": {
        "title": "Kalender kampanye",
        "estimated": "perkiraan",
        "waiting": "menunggu pengumuman pemerintah",
        "local": "jam pelanggan",
        "overlaps": "Kampanye yang bertemu pada orang yang sama",
        "moved": "Yang bergeser",
        "none": "Tidak ada.",
        "pair": ("kampanye", "berapa kali", "pertama", "orang", "bagian dari yang lebih kecil"),
        "shift": ("kampanye", "fase", "dari", "menjadi"),
    },
    "en": {
        "title": "Calendar of campaigns",
        "estimated": "estimated",
        "waiting": "waits for the government's announcement",
        "local": "customers' own clock",
        "overlaps": "Campaigns that meet on the same people",
        "moved": "What would move",
        "none": "None.",
        "pair": ("campaigns", "times", "first", "people", "share of the smaller"),
        "shift": ("campaign", "phase", "from", "to"),
    },
}


def calendar_page(plan: Mapping[str, Any], shop: str, language: str = "id") -> str:
    """plan: as flows.planning.plan_ahead gives it. The same plan gives the same bytes."""
    by_day: dict[date, list[Mapping[str, Any]]] = {}
    for row in plan["firings"]:
        by_day.setdefault(datetime.fromisoformat(row["send_at"]).date(), []).append(row)
    first, last = (datetime.fromisoformat(plan[key]).date() for key in ("from", "until"))
    months = [(year, month) for year in range(first.year, last.year + 1) for month in range(1, 13)]
    names = get_day_names("abbreviated", locale=language)
    return TEMPLATES.get_template("calendar.html.j2").render(
        w=WORDS[language],
        language=language,
        shop=shop,
        plan=plan,
        weekdays=[names[day] for day in range(7)],
        months=[
            {
                "name": format_date(date(year, month, 1), "MMMM y", locale=language),
                "weeks": calendar.Calendar().monthdatescalendar(year, month),
                "month": month,
            }
            for year, month in months
            if (first.year, first.month) <= (year, month) <= (last.year, last.month)
        ],
        by_day=by_day,
    )
