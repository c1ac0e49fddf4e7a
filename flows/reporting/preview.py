"""A page of messages as readers would see them: mail in the light and in the dark, a push as on a locked phone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.calendar import occurrence_instant
from flows.reporting.report import TEMPLATES
from flows.reporting.words import load_words

WORDS: dict[str, dict[str, Any]] = {
    "id": {
        "title": "Pratinjau",
        "intro": "{count} pesan dari {name}, dikirim {date}. Dipilih agar sebeda mungkin, persis seperti yang dikirim.",
        "light": "Terang",
        "dark": "Gelap",
        "now": "sekarang",
        "files": "Berkas",
        "longest_name": "nama terpanjang",
        "no_name": "nama terpendek, atau tanpa nama",
        "dearest": "penawaran termahal",
        "cheapest": "penawaran termurah",
        "newest": "pelanggan terbaru",
        "most_offers": "penawaran terbanyak",
        "most_items": "barang terbanyak",
        "longest_mail": "pesan terpanjang",
        "traits": {
            "language": "bahasa", "channel": "kanal", "tier": "tier", "salutation": "sapaan", "zone": "zona",
            "offers": "jumlah penawaran", "offer": "penawaran",
        },
    },
    "en": {
        "title": "Preview",
        "intro": "{count} messages of {name}, sent on {date}. Picked to differ most; exactly as they would go.",
        "light": "Light",
        "dark": "Dark",
        "now": "now",
        "files": "Files",
        "longest_name": "longest name",
        "no_name": "shortest name, or none",
        "dearest": "dearest offers",
        "cheapest": "cheapest offers",
        "newest": "newest customer",
        "most_offers": "most offers",
        "most_items": "most items",
        "longest_mail": "longest message",
        "traits": {
            "language": "language", "channel": "channel", "tier": "tier", "salutation": "salutation", "zone": "zone",
            "offers": "number of offers", "offer": "offer",
        },
    },
}  # fmt: skip
_DARK = re.compile(r"@media\s*\(prefers-color-scheme:\s*dark\)")
_SCHEME = re.compile(r'content="light dark"')


@dataclass(frozen=True)
class Shown:
    """message: a row of MESSAGES as it goes. why: what it was picked for. files: names beside the page."""

    message: Mapping[str, Any]
    why: Sequence[str]
    files: Sequence[str]


def in_light(html: str, *, dark: bool) -> str:
    """A mail as it looks to who has chosen a dark screen, or a light one, whatever the looker's own is."""
    forced = _DARK.sub("@media all" if dark else "@media not all", html)
    return _SCHEME.sub(f'content="{"dark" if dark else "light"}"', forced)


def preview_page(
    manifest: Mapping[str, Any], shown: Sequence[Shown], *, shop: str, language: str, timezone: str
) -> str:
    """The same messages give the same bytes. It loads nothing but the images that mails themselves name."""
    words, texts = load_words(language, timezone), WORDS[language]

    def because(why: str) -> str:
        name, equals, value = why.partition("=")
        if not equals:
            return str(texts[name])
        said = words.language_name(value) if name == "language" else value or "–"
        return f"{texts['traits'][name]}: {said}"

    name = manifest["campaign"]["name"]
    date = words.date(occurrence_instant(manifest["occurrence"]))
    return TEMPLATES.get_template("preview.html.j2").render(
        w=texts,
        language=language,
        name=name,
        shop=shop,
        intro=texts["intro"].format(count=len(shown), name=name, date=date),
        messages=[
            {
                **one.message,
                "spoken": words.language_name(one.message["language"]),
                "why": [because(why) for why in one.why],
                "files": one.files,
                "light": in_light(one.message["body_html"] or "", dark=False),
                "dark": in_light(one.message["body_html"] or "", dark=True),
            }
            for one in shown
        ],
    )
