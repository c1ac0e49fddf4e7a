"""The pages of unsubscribe links, in Indonesian and English: without scripts, and with nothing personal on them."""

import hashlib
from base64 import b64encode
from typing import Literal

from markupsafe import Markup

Page = Literal["ask", "done", "all", "unknown", "unclear", "later"]

STYLE = (
    "body{margin:0;background:#f6f3ee;color:#2b2620;font:17px/1.5 system-ui,sans-serif}"
    "main{max-width:34rem;margin:12vh auto;padding:2rem;background:#fff;border-radius:12px}"
    "h1{font-size:1.4rem;margin:0 0 .5rem}"
    "button{display:block;width:100%;margin:.75rem 0 0;padding:.8rem;font:inherit;border:1px solid #8a3b12;"
    "border-radius:8px;background:#8a3b12;color:#fff;cursor:pointer}"
    "button.second{background:#fff;color:#8a3b12}small{color:#6b635a}"
)
_STYLE_HASH = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

TEXTS: dict[str, dict[str, str]] = {
    "id": {
        "email": "email",
        "push": "notifikasi",
        "ask": "Berhenti menerima promo?",
        "ask_more": "{shop} mengirimi Anda promo lewat {medium}. Pilihan Anda berlaku seketika.",
        "stop": "Berhenti menerima promo lewat {medium}",
        "stop_all": "Berhenti menerima semua promo",
        "done": "Selesai",
        "done_more": "{shop} tidak akan lagi mengirimi Anda promo lewat {medium}.",
        "all": "Selesai",
        "all_more": "{shop} tidak akan lagi mengirimi Anda promo.",
        "unknown": "Tautan ini tidak berlaku",
        "unknown_more": "Tidak ada yang diubah. Bukalah tautan dari pesan terbaru, atau hubungi {shop}.",
        "unclear": "Tidak ada yang diubah",
        "unclear_more": "Bukalah tautan dari pesan Anda, lalu tekan tombolnya.",
        "later": "Sedang ada gangguan",
        "later_more": "Pilihan Anda belum tercatat. Mohon coba lagi beberapa menit lagi.",
    },
    "en": {
        "email": "e-mail",
        "push": "notification",
        "ask": "Stop receiving promotions?",
        "ask_more": "{shop} sends you promotions by {medium}. What you choose holds at once.",
        "stop": "Stop promotions by {medium}",
        "stop_all": "Stop all promotions",
        "done": "Done",
        "done_more": "{shop} will send you no more promotions by {medium}.",
        "all": "Done",
        "all_more": "{shop} will send you no more promotions.",
        "unknown": "This link does not work",
        "unknown_more": "Nothing was changed. Open the link of a newer message, or ask {shop}.",
        "unclear": "Nothing was changed",
        "unclear_more": "Open the link of your message and press the button.",
        "later": "Something is out of order",
        "later_more": "Your choice was not recorded. Please try again in a few minutes.",
    },
}
# Buttons post to the page's own address. The first one is what pressing Enter does.
_STOP = Markup('<button name="stop" value="channel">{words}</button>')
_STOP_ALL = Markup('<button name="stop" value="all" class="second">{words}</button>')
_FORM = Markup('<form method="post">{buttons}</form>')
_PAGE = Markup(
    '<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
    "<title>{title} · {shop}</title><style>{style}</style></head>\n"
    "<body><main><h1>{title}</h1><p>{more}</p>{form}<p><small>{shop}</small></p></main></body>\n</html>\n"
)


def page_language(language: str | None) -> str:
    """The language of a page for a customer's: English or, for all others, Indonesian."""
    return "en" if (language or "").lower().startswith("en") else "id"


def page(kind: Page, shop: str, language: str, channel: str = "email") -> str:
    """A whole page. ask: with a button for this channel and one for all; done: this channel is off, all may follow."""
    texts = TEXTS[language]
    words = {"shop": shop, "medium": texts.get(channel, channel)}
    buttons = [_STOP.format(words=texts["stop"].format(**words))] if kind == "ask" else []
    if kind in ("ask", "done"):
        buttons.append(_STOP_ALL.format(words=texts["stop_all"]))
    return str(
        _PAGE.format(
            language=language,
            title=texts[kind],
            more=texts[f"{kind}_more"].format(**words),
            shop=shop,
            style=Markup(STYLE),  # noqa: S704 (our own)
            form=_FORM.format(buttons=Markup("").join(buttons)) if buttons else "",
        )
    )
