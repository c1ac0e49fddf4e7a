"""What is said in words of a language: money, dates, a customer's address, an offer's benefit and terms.

The words themselves stand in templates/words/LANGUAGE.yaml, each file with the name of who reviewed it.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from ruamel.yaml import YAML

if TYPE_CHECKING:  # dates and amounts are wanted without all that reads campaign files
    from campaigns.offer import Offer

HOME = "id"  # what speakers of a language without words read
HOME_ZONE = "Asia/Jakarta"
ELLIPSIS = "…"
POLITE = {"jv-krama": "jv", "su-lemes": "su"}  # other spellings; jv-ngoko and su-loma are languages of their own

_ZONE_NAMES = {
    "Asia/Jakarta": "WIB",
    "Asia/Pontianak": "WIB",
    "Asia/Makassar": "WITA",
    "Asia/Ujung_Pandang": "WITA",
    "Asia/Jayapura": "WIT",
}
_NOT_PRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff\s]+")
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_ISOLATE, _END = "\u2068", "\u2069"
_JOINER = "\u200d"


@cache
def languages() -> tuple[str, ...]:
    """The languages that the system has words in."""
    folder = files("campaigns") / "templates" / "words"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


@lru_cache(maxsize=1024)
def register_of(stated: str | None) -> str:
    """The code of the language that a customer stated, as words and campaigns name it; nothing where there is none.

    Javanese and Sundanese are spoken politely (krama, lemes) unless the customer chose ngoko or loma by name. A country
    says nothing of the language.

    >>> [register_of(stated) for stated in ("jv", "jv-krama", "su_ID", "su-loma", "en-US", "tlh", None)]
    ['jv', 'jv', 'su', 'su-loma', 'en', '', '']
    """
    code = (stated or "").strip().lower().replace("_", "-")
    code = re.sub(r"^([a-z]{2,3}(?:-[a-z]{4,})*)-[a-z]{2}$", r"\1", code)
    code = POLITE.get(code, code)
    return code if code in languages() else ""


def reviewer(language: str) -> str | None:
    """Who has read the system's words in a language as a speaker of it; None where nobody has."""
    return load_words(language)["reviewer"]


@cache
def load_words(language: str) -> Mapping[str, Any]:
    """The system's own words. Raises KeyError for a language that has none."""
    if language not in languages():
        raise KeyError(language)
    text = (files("campaigns") / "templates" / "words" / f"{language}.yaml").read_text(encoding="utf-8")
    return YAML(typ="safe", pure=True).load(text)


# --- text ------------------------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Without control characters, line ends of any kind and lone surrogates; runs of white space become one space."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    return _NOT_PRINTED.sub(" ", text).strip()


@lru_cache(maxsize=65536)
def tame(text: str | None, limit: int = 200) -> str:
    """Text from data as it may stand amid ours: one line of at most `limit` characters that cannot turn what is around.

    Its own direction marks are dropped, and where it holds right-to-left letters it is isolated (U+2068 … U+2069).
    """
    if not text:
        return ""
    line = one_line(_DIRECTIONS.sub("", text))
    if not line.isascii() and _RIGHT_TO_LEFT.search(line):
        return _ISOLATE + shorten(line, limit - 2) + _END
    return shorten(line, limit)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words and ended by an ellipsis, never within a letter or emoji."""
    if len(text) <= limit:
        return text
    isolated = _ISOLATE in text
    end = limit - 1 - isolated
    head = text[:end]
    if not text[end].isspace():
        words, space, _ = head.rpartition(" ")
        head = words if space and 2 * len(words) >= end else _whole_letters(text, end)
    head = head.rstrip(" ,.;:–-(·")
    return head + (_END if head.count(_ISOLATE) > head.count(_END) else "") + ELLIPSIS


def _whole_letters(text: str, end: int) -> str:
    while end > 0 and (_attaches(text[end]) or text[end - 1] == _JOINER):
        end -= 1
    return text[:end]


def _attaches(letter: str) -> bool:
    return (
        letter in (_JOINER, _END)
        or "\U0001f3fb" <= letter <= "\U0001f3ff"
        or unicodedata.category(letter) in ("Mn", "Me")
    )


# --- money and time --------------------------------------------------------------------------------------------------


def rupiah(amount: int) -> str:
    """1234567 → Rp1.234.567, in every language: so it is written on every price tag."""
    return ("-Rp" if amount < 0 else "Rp") + f"{abs(amount):,}".replace(",", ".")


def number(value: float, language: str) -> str:
    """12.5 → 12,5 in Indonesian; no decimals where there are none."""
    return f"{value:.2f}".rstrip("0").rstrip(".").replace(".", load_words(language)["decimal"])


def count(whole: int, language: str) -> str:
    """1240 → 1.240 in Indonesian, 1,240 in English."""
    return f"{whole:,}".replace(",", "," if load_words(language)["decimal"] == "." else ".")


@lru_cache(maxsize=1024)
def zone_of(name: str | None) -> str:
    """The customer's time zone, or Jakarta's where it is not given or not known."""
    try:
        return ZoneInfo(name or HOME_ZONE).key
    except (KeyError, ValueError, OSError):
        return HOME_ZONE


@lru_cache(maxsize=4096)
def date_words(instant: datetime, zone: str, language: str) -> str:
    """12 Desember 2017, as it is at that instant in the zone."""
    return _written(instant, "d MMMM y", zone, language)


@lru_cache(maxsize=4096)
def until_words(instant: datetime, zone: str, language: str, *, short: bool = False) -> str:
    """The last minute before the instant, in the reader's zone: what ends at midnight says 23.59 of the day before."""
    last = instant - timedelta(minutes=1)
    words = load_words(language)
    return words["terms"]["until_short" if short else "until"].format(
        weekday=_written(last, "EEEE", zone, language),
        date=_written(last, "d MMM y" if short else "d MMMM y", zone, language),
        time=_written(last, words["clock"], zone, language),
        zone=_zone_name(last, zone),
    )


@lru_cache(maxsize=4096)
def clock_words(instant: datetime, zone: str, home: str, language: str) -> str:
    """An instant's time of day at home, and in the reader's zone where that is another: 00.00 WIB / 02.00 WIT."""
    clock = load_words(language)["clock"]
    zones = [home] if _zone_name(instant, home) == _zone_name(instant, zone) else [home, zone]
    return " / ".join(f"{_written(instant, clock, name, language)}\u00a0{_zone_name(instant, name)}" for name in zones)


def _zone_name(instant: datetime, zone: str) -> str:
    return _ZONE_NAMES.get(zone) or _offset(instant, zone)


def _written(instant: datetime, pattern: str, zone: str, language: str) -> str:
    return format_datetime(instant, pattern, tzinfo=ZoneInfo(zone), locale=load_words(language)["locale"])


def _offset(instant: datetime, zone: str) -> str:
    minutes = round((instant.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "") if minutes else UTC.tzname(None)


# --- people ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def salutation_words(salutation: str | None, language: str) -> str:
    """Bapak, Ibu or whatever the customer chose, in the language's own word where it has one; Kak where nothing is
    known; nothing in English."""
    words, stated = load_words(language), tame(salutation, 20)
    if not words["salutation"]:
        return ""
    return words["salutations"].get(stated.casefold().rstrip("."), stated) or words["salutation"]


def called(name: str | None, salutation: str | None, language: str) -> str:
    """How a customer is called within a sentence: Ibu Siti, Kak; in English Siti, dear customer."""
    words = load_words(language)
    before, name = salutation_words(salutation, language), tame(name, 40)
    for one in (tame(salutation, 20), before) if before else ():
        if name.casefold().startswith(f"{one} ".casefold()):  # a name that brings its salutation with it
            name = name[len(one) + 1 :]
            break
    return words["called" if name else "called_nameless"].format(salutation=before, name=name)


# --- offers ----------------------------------------------------------------------------------------------------------


def offer_words(
    offer: "Offer", language: str, names: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> dict[str, Any]:
    """What is said of an offer to everyone alike. kicker and figure are its benefit in large type.

    names: language → category path → its name; without one in the language, the Indonesian one or the path's last part.
    The summary is benefit and terms in one line: Diskon 20%, maks. Rp30.000, min. belanja Rp50.000.
    """
    words = load_words(language)
    amounts = _amounts(offer, language)
    said = {name: phrase.format(**amounts) for name, phrase in words["benefits"][offer.benefit.kind].items()}
    ours, scope = words["terms"], _scope(offer, words["scopes"], {**names.get(HOME, {}), **names.get(language, {})})
    spend = ours["min_spend"].format(amount=rupiah(offer.min_spend)) if offer.min_spend else ours["none"]
    most = amounts.get("max_discount", "")
    terms = [spend, ours[f"max_{offer.benefit.kind}"].format(amount=most)] if most else [spend]
    short = [ours["max"].format(amount=most), spend] if most else [spend]
    payment = _payment(offer, ours)
    terms, short = [*terms, *payment, *_conditions(offer, ours)], [*short, *payment]
    return {
        "id": offer.id,
        "benefit": said["phrase"],
        "kicker": said["kicker"],
        "figure": said["figure"],
        "size": 56 if len(said["figure"]) < 8 else 42,  # px, as large type; a phone is 13 letters of 42 wide
        "min_spend": rupiah(offer.min_spend) if offer.min_spend else "",
        "max_discount": most,
        "terms": _capitalised(", ".join(terms)),
        "conditions": _capitalised(", ".join(short)),
        "summary": ", ".join([said["phrase"], *short]),
        "scope": scope,
        "applies_to": _capitalised(scope),
        "quota": _capitalised(ours["while_stock"]) if offer.quota or offer.per_unit else "",
    }


def _payment(offer: "Offer", ours: Mapping[str, str]) -> list[str]:
    if not offer.payment_methods:
        return []
    return [ours["payment"].format(methods=_listed([tame(one, 40) for one in offer.payment_methods], ours["or"]))]


def _conditions(offer: "Offer", ours: Mapping[str, str]) -> list[str]:
    """Delivery, how often, and what it goes together with, where the offer says something of it."""
    said = []
    ways = [ours[way] for way in ("digital", "pickup") if way in offer.delivery]
    if ways and len(ways) == len(offer.delivery):
        said.append(_listed(ways, ours["or"]))
    if offer.per_customer:
        said.append(ours["per_customer"].format(times=offer.per_customer))
    if offer.combinable is not None:
        said.append(ours["combinable" if offer.combinable else "not_combinable"])
    return said


def _amounts(offer: "Offer", language: str) -> dict[str, str]:
    said = {}
    for name, value in offer.benefit:
        if name in ("amount", "max_discount") and value is not None:
            said[name] = rupiah(value)
        elif name in ("percent", "factor", "months"):
            said[name] = number(value, language)
    return said


def _scope(offer: "Offer", words: Mapping[str, str], names: Mapping[str, str]) -> str:
    scope = offer.scope
    if scope.everything:
        return words["everything"]
    named = [tame(names.get(path) or path.split(" > ")[-1], 60) for path in scope.categories]
    named = list(dict.fromkeys([*named, *(tame(brand, 60) for brand in scope.brands)]))
    if scope.green and not (named or scope.items or scope.merchants):
        return words["green"]
    if not named or len(named) > 4 or scope.items or scope.merchants or scope.green:
        return words["selected"]
    return _listed(named, words["and"])


def _listed(names: Iterable[str], last: str) -> str:
    *most, end = names
    return f"{', '.join(most)}{last}{end}" if most else end


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
