"""What the presets look like in a browser: a sheet for each, on a phone and on a desktop, in the light and in the dark.

    make screenshots            # or: python docs/screenshots.py [PRESET …] [--out FOLDER] [--whole]

Needs Chromium. The messages are made as a run makes them, for a made-up customer; --whole shows them to their end.
"""

import argparse
import html
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib.resources import files
from itertools import islice
from pathlib import Path

from PIL import Image

from campaigns.calendar import Occurrence, occurrences
from campaigns.content import Content
from campaigns.firing import campaign_at, offer_ends
from campaigns.hijri import Announcement, Moon
from campaigns.message import Sender, message_context
from campaigns.rendering import compile_content, render_email, render_push
from campaigns.spec import Campaign, load_campaign
from flows.demo.categories import SPOKEN
from flows.reporting.preview import in_light

IMAGES = Path(__file__).parent / "images"
PRESETS = sorted(Path(str(files("campaigns") / "presets")).glob("*.yaml"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SEASON = datetime(2026, 10, 1, tzinfo=UTC)
FEASTS = Moon(
    tuple(
        Announcement(feast, day, "example", datetime(2026, 1, 1, tzinfo=UTC))
        for feast, day in (("ramadan", date(2027, 2, 8)), ("lebaran", date(2027, 3, 10)))
    )
)
SHOP = Sender("Toko Larisma", "https://toko.example", "Jalan Melati 1, Bandung 40115")
SITI = {"name": "Siti Rahma", "salutation": "Ibu", "city": "Bandung", "tier": "silver", "points": 1240}
PANTRY = (  # of offers on everything
    ("Kopi bubuk robusta 200 g", "Sari Murni", 24_500, 29_000),
    ("Beras pandan wangi 5 kg", "Padi Emas", 79_000, None),
    ("Biskuit mentega kaleng 450 g", "Dapur Ibu", 48_000, None),
    ("Deterjen cair lavender 1,8 l", None, 36_500, 41_000),
    ("Teh melati celup isi 25", "Padi Emas", 12_900, None),
)
GOODS = {  # category → items of offers on it
    "Grocery > Coffee": (PANTRY[0], ("Kopi arabika Gayo 100 g", "Sari Murni", 38_000, None)),
    "Grocery > Refrigerated Juices/Drinks": (("Jus jambu merah 1 l", "Sari Murni", 27_500, None),),
    "Grocery > Yogurt": (("Yogurt stroberi tanpa tambahan gula, isi empat", "Sarapan Pagi", 31_200, None),),
    "Grocery > Cat Food": (("Makanan kucing rasa tuna 1,2 kg", None, 62_000, 70_000),),
    "Grocery > Cookies/Cones": (PANTRY[2], ("Kastengel toples 300 g", "Dapur Ibu", 65_000, 72_000)),
    "Health & Home > Candy - Packaged": (("Permen asam jawa 135 g", None, 11_500, None),),
    "Grocery > Baking Mixes": (("Tepung bolu kukus siap pakai", "Dapur Ibu", 18_900, None),),
}
PHONE, DESKTOP = (390, 844), (1280, 900)
REGISTERS = ("gajian-jv", "gajian-su")  # shown beside the first message of each preset
TALL = 3_200  # of a phone's message shown whole
QUALITY = 50


@dataclass(frozen=True)
class Sight:
    """One message as it is looked at."""

    name: str
    page: str  # HTML of a mail, or nothing
    push: tuple[str, str] | None


def shelf(campaign: Campaign) -> dict[str, dict]:
    """Item id → item, of each offer: its id and a number."""
    found = {}
    for offer in campaign.offers:
        listed = (
            PANTRY
            if offer.scope.everything
            else [one for path in offer.scope.categories for one in GOODS.get(path, ())]
        )
        for number, (title, brand, price, was) in enumerate(listed):
            item = {"title": title, "brand": brand, "price": price, "was": was}
            found[f"{offer.id}/{number}"] = {"item_id": f"{offer.id}/{number}", **item}
    return found


def sight(campaign: Campaign, content: Content, occurrence: Occurrence, language: str, name: str) -> Sight:
    sent_at, goods = occurrence.send_at, shelf(campaign)
    offers = [offer.id for offer in campaign.offers]

    def said(channel: str, places: list[str]) -> dict:
        rows = []
        for number, (offer, place) in enumerate(zip(offers, places, strict=False)):
            own = [item for item in goods if item.startswith(f"{offer}/")][:3]
            bought = own[:1] if number == 0 else []
            reason = "repeat:24:22" if bought else "popular:tier=silver&city=Bandung"
            row = {"offer_id": offer, "channel": channel, "placement": place, "position": number, "item_ids": own}
            rows.append({**row, "reason": reason, "because": bought})
        return message_context(
            content, {**SITI, "language": language}, rows, goods, sender=SHOP, sent_at=sent_at,
            until=offer_ends(campaign, sent_at), unsubscribe_url="https://toko.example/berhenti/0", channel=channel,
        )  # fmt: skip

    places = [place for place, many in campaign.channels["email"].placements.items() for _ in range(many)]
    page = render_email(content, said("email", sorted(places, reverse=True))).html
    push = render_push(content, said("push", ["push"]))[:2] if "push" in campaign.channels else None
    return Sight(name, page, push)


def sights(path: Path) -> list[Sight]:
    """Of each phase in Indonesian, and of the first in each further language."""
    stated, found = load_campaign(path), list[Sight]()
    coming = list(islice(occurrences(stated.schedule, SEASON, 60, moon=FEASTS), 60))
    for phase in stated.phases or ("",):
        occurrence = next(one for one in coming if one.phase == phase)
        campaign = campaign_at(stated, occurrence)
        content = compile_content(campaign, SPOKEN)
        for language in ("id", *(one for one in campaign.languages if one != "id")):
            name = "-".join(filter(None, (path.stem, phase, language if language != "id" else "")))
            found.append(sight(campaign, content, occurrence, language, name))
    return found


def sheet(one: Sight, *, whole: bool = False) -> tuple[str, int, int]:
    """(HTML of the sheet, its width, its height): four screens side by side at a reduced size."""
    phone, desk = (1.0, 1.0) if whole else (0.62, 0.46)
    tall = TALL if whole else PHONE[1]
    width = int(2 * PHONE[0] * phone + DESKTOP[0] * desk + 64)
    height = int(max(tall * phone, 2 * DESKTOP[1] * desk + 16)) + 32
    mails = {dark: html.escape(in_light(one.page, dark=dark)) for dark in (False, True)}

    def screen(dark: bool, size: tuple[int, int], scale: float) -> str:
        wide, high = size
        return (
            f'<div class="screen" style="width:{wide * scale:.0f}px;height:{high * scale:.0f}px">'
            f'<iframe style="width:{wide}px;height:{high}px;transform:scale({scale})" '
            f'srcdoc="{mails[dark]}"></iframe></div>'
        )

    def pushed(dark: bool) -> str:
        if not one.push:
            return ""
        title, body = map(html.escape, one.push)
        return (
            f'<div class="push {"dark" if dark else "light"}"><small>{SHOP.name}</small><b>{title}</b><br>{body}</div>'
        )

    return (
        f"""<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 16px; background: #8d8880; display: flex; gap: 16px; font: 14px/19px sans-serif; }}
.screen {{ overflow: hidden; border-radius: 10px; background: #fff; }}
iframe {{ border: 0; transform-origin: 0 0; }}
.push {{ border-radius: 10px; padding: 9px 12px; margin-top: 12px; box-sizing: border-box; font-size: 12.5px;
  line-height: 17px; width: {PHONE[0] * phone:.0f}px; }}
.push small {{ display: block; opacity: .65; }}
.light {{ background: #fbfaf8; color: #201c18; }} .dark {{ background: #2b2825; color: #f3eee8; }}
.desks {{ display: flex; flex-direction: column; gap: 16px; }}
</style>
<div>{screen(False, (PHONE[0], tall), phone)}{pushed(False)}</div>
<div>{screen(True, (PHONE[0], tall), phone)}{pushed(True)}</div>
<div class="desks">{screen(False, DESKTOP, desk)}{screen(True, DESKTOP, desk)}</div>
""",
        width,
        height,
    )


def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"no browser: install one of {', '.join(BROWSERS)}")
    return found


def photograph(one: Sight, target: Path, *, whole: bool) -> None:
    page, width, height = sheet(one, whole=whole)
    with tempfile.TemporaryDirectory() as folder:
        source, picture = Path(folder) / "sheet.html", Path(folder) / "sheet.png"
        source.write_text(page, encoding="utf-8")
        subprocess.run(  # noqa: S603 - our own page, in a browser without a network to speak of
            [
                browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                "--disable-background-networking", f"--user-data-dir={folder}/profile",
                f"--window-size={width},{height}", f"--screenshot={picture}", source.as_uri(),
            ],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        with Image.open(picture) as image:
            image.convert("RGB").save(target, quality=QUALITY, method=6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", metavar="PRESET")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--all", action="store_true", help="of every phase and language")
    parser.add_argument("--format", choices=("webp", "png"), default="webp")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for path in PRESETS:
        if given.presets and path.stem not in given.presets:
            continue
        every = sights(path)
        shown = (
            every
            if given.all
            else [replace(every[0], name=path.stem), *(one for one in every if one.name in REGISTERS)]
        )
        for one in shown:
            target = given.out / f"message-{one.name}.{given.format}"
            photograph(one, target, whole=given.whole)
            print(target)
