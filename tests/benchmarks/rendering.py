"""Mails a second, from a customer's row and decisions to HTML and text, against plain jinja2 with the context ready.

    python tests/benchmarks/rendering.py [--mails 100000] [--repeats 5] [--profile]

Ours makes each mail as a run does: the context out of rows, the campaign's own texts in the sandbox, every value looked
at, HTML and text rendered, the size checked. Theirs is jinja2 alone, outside of the sandbox, filling the same two
templates from contexts that are ready, texts included. Both count processor time of one thread, and take turns over
blocks of mails. The campaign is the Harbolnas preset, three offers with up to three items each, Indonesian and English.
"""

import argparse
import cProfile
import json
import pstats
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from campaigns.content import Content, fill
from campaigns.firing import in_phase
from campaigns.message import Sender, message_context
from campaigns.rendering import compile_content, mail_sources, render_email
from campaigns.spec import load_campaign

BLOCK = 1_000
AT = datetime(2026, 12, 11, 17, tzinfo=UTC)
ENDS = AT + timedelta(days=14)
SENDER = Sender("Toko Larisma", "https://toko.example", "Jalan Melati 1, Bandung")
ZONES = ("Asia/Jakarta", "Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura")
TEXTS = ("subject", "preheader", "heading", "intro")

Row = dict[str, Any]


def items() -> dict[str, Row]:
    return {
        f"i{k}": {
            "title": f"Kopi Bubuk Pilihan Nomor {k}",
            "brand": "Sari Murni" if k % 3 else None,
            "price": 10_000 + 100 * k,
            "url": f"https://toko.example/p/{k}",
            "image_url": f"https://toko.example/p/{k}.jpg" if k % 2 else None,
        }
        for k in range(5_000)
    }


def customer(k: int) -> Row:
    return {
        "customer_id": f"c{k:09}",
        "name": f"Siti Nurhaliza {k}",
        "salutation": ("Ibu", "Bapak", None)[k % 3],
        "language": "en" if k % 8 == 0 else "id",
        "timezone": ZONES[k % 4],
        "city": "Bandung",
        "tier": "gold",
        "points": k,
    }


def decisions(k: int, offers: list[str]) -> list[Row]:
    return [
        {
            "offer_id": offers[(k + place) % len(offers)],
            "channel": "email",
            "placement": "grid" if place else "hero",
            "position": place or 1,
            "item_ids": [f"i{(7 * k + 11 * place + n) % 5_000}" for n in range(4)],
            "reason": ("repeat:24:22", "popular", "popular:tier=gold&city=Bandung", f"because:i{k % 5_000}")[k % 4],
            "because": [f"i{k % 5_000}"] if k % 4 in (0, 3) else [],
        }
        for place in range(3)
    ]


def context(content: Content, k: int, offers: list[str], goods: dict[str, Row]) -> Row:
    return message_context(
        content, customer(k), decisions(k, offers), goods, sender=SENDER, sent_at=AT, until=ENDS,
        unsubscribe_url=f"https://toko.example/berhenti/{k:032x}",
    )  # fmt: skip


def plain_templates(language: str) -> tuple[jinja2.Template, jinja2.Template]:
    """The mail's two templates in jinja2 as it comes."""
    html, text, shared = mail_sources(language)
    made = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    page = jinja2.Environment(autoescape=True, **made)
    plain = jinja2.Environment(autoescape=False, **made)  # noqa: S701 - the text part
    return page.from_string(html, globals=shared), plain.from_string(text, globals=shared)


def measure(mails: int) -> dict[str, float]:
    """Seconds of processor time for so many mails, of each way."""
    preset = load_campaign(Path(str(files("campaigns") / "presets" / "harbolnas.yaml")))
    content = compile_content(in_phase(preset, "tengah-malam"))
    goods, templates = items(), {language: plain_templates(language) for language in ("id", "en")}
    offers = list(content.languages["id"].offers)
    seconds = {"ours": 0.0, "theirs": 0.0, "context": 0.0}

    def spent(way: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        seconds[way] += time.process_time() - start
        return result

    for start in range(0, mails, BLOCK):
        block = range(start, min(mails, start + BLOCK))
        rows = [(customer(k), decisions(k, offers)) for k in block]
        ready = [with_texts(content, context(content, k, offers, goods)) for k in block]

        def ours(block: range = block, rows: list[tuple[Row, list[Row]]] = rows) -> int:
            size = 0
            for k, (person, chosen) in zip(block, rows, strict=True):
                made = message_context(
                    content, person, chosen, goods, sender=SENDER, sent_at=AT, until=ENDS,
                    unsubscribe_url=f"https://toko.example/berhenti/{k:032x}",
                )  # fmt: skip
                email = render_email(content, made)
                size += len(email.html) + len(email.text)
            return size

        def theirs(ready: list[Row] = ready) -> int:
            size = 0
            for made in ready:
                html, text = templates[made["language"]]
                size += len(html.render(made)) + len(text.render(made))
            return size

        assert spent("ours", ours) == spent("theirs", theirs), "both ways make the same mails"
    return seconds


def with_texts(content: Content, made: Row) -> Row:
    fields = content.languages[made["language"]].fields
    return {**made, **{key: fill(fields[key], made) for key in TEXTS}}


def passes(mails: int, repeats: int) -> Iterator[tuple[float, float]]:
    for _ in range(repeats):
        seconds = measure(mails)
        yield mails / seconds["ours"], mails / seconds["theirs"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="where the time goes, of one pass")
    given = parser.parse_args()
    if given.profile:
        with cProfile.Profile() as profile:
            measure(given.mails)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    else:
        rates = list(passes(given.mails, given.repeats))
        ours, theirs = (statistics.median(rate) for rate in zip(*rates, strict=True))
        print(json.dumps({
            "mails": given.mails, "repeats": given.repeats, "ours_per_s": round(ours), "jinja2_per_s": round(theirs),
            "ratio": round(statistics.median(a / b for a, b in rates), 3), "target": 0.7,
        }))  # fmt: skip
