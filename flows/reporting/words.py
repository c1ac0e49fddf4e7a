"""A report's numbers, rupiah, dates and sentences in the reader's language."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_decimal
from markupsafe import Markup
from ruamel.yaml import YAML

from recsys.tables import InputError

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Words:
    """A report's texts in one language, and its ways of writing numbers; instants are shown in `zone`."""

    language: str
    zone: ZoneInfo
    texts: Mapping[str, Any]

    def say(self, key: str, **values: object) -> Markup:
        """The text of a key with its {blanks} filled; what is filled in is escaped for HTML."""
        return Markup(self.texts[key]).format(**values)  # noqa: S704 (our own texts)

    def reason(self, label: str, names: Mapping[str, str] | None = None) -> str:
        """A reason in the reader's language; one that has no words there stays as it is.

        `quota of kopi-20` is looked up as `quota of …`, and what stands for … is shown by its name in `names`.
        """
        reasons = self.texts["reasons"]
        if label in reasons:
            return reasons[label]
        kind, _, named = label.partition(" of ")
        return reasons.get(f"{kind} of …", label).replace("…", (names or {}).get(named, named))

    def number(self, value: float, decimals: int = 0, *, fixed: bool = False) -> str:
        """1.234,5 in Indonesian, 1,234.5 in English; with at most, or if fixed always, so many decimals."""
        pattern = "#,##0." + ("0" if fixed else "#") * decimals if decimals else "#,##0"
        shown = format_decimal(abs(value), format=pattern, locale=self.language)
        sign = MINUS if value < 0 and any(digit in shown for digit in "123456789") else ""
        return sign + shown

    def rupiah(self, value: float, decimals: int = 0) -> str:
        """Rp1.234.567 in Indonesian, Rp1,234,567 in English."""
        shown = self.number(value, decimals)
        return f"{MINUS}Rp{shown[1:]}" if shown.startswith(MINUS) else f"Rp{shown}"

    def rounded_rupiah(self, value: float) -> str:
        """For sentences and axes: Rp41,2 juta; in full below one million."""
        for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
            if abs(value) >= 0.99995 * size:  # what rounds up to one of a name is called by it
                return f"{self.rupiah(value / size, 1)} {self.texts[name]}"
        return self.rupiah(value)

    def price(self, value: float) -> str:
        """A shadow price, with the decimals that matter at its size."""
        return self.rupiah(value, 0 if value >= 100 else 1 if value >= 10 else 2)

    def percent(self, share: float) -> str:
        """With one decimal; below 1% with two figures that count, down to a millionth."""
        value = abs(share) * 100
        decimals = 1 if value >= 1 or value == 0 else 2 if value >= 0.1 else 3 if value >= 0.01 else 4
        return self.number(share * 100, decimals) + "%"

    def rate(self, share: float) -> str:
        """For columns: always one decimal."""
        return self.number(share * 100, 1, fixed=True) + "%"

    def day(self, instant: datetime) -> str:
        return format_datetime(instant.astimezone(self.zone), "EEEE, d MMMM y", locale=self.language)

    def date(self, instant: datetime) -> str:
        return format_datetime(instant.astimezone(self.zone), "d MMMM y", locale=self.language)

    def clock(self, instant: datetime) -> str:
        """00.00 in Indonesian, 00:00 in English."""
        return instant.astimezone(self.zone).strftime("%H.%M" if self.language == "id" else "%H:%M")

    def time(self, instant: datetime) -> str:
        return f"{self.clock(instant)} {instant.astimezone(self.zone).tzname()}"

    def language_name(self, tag: str) -> str:
        """`Bahasa Indonesia` for id; a tag that is no known language stays as it is."""
        if tag in self.texts["languages"]:
            return self.texts["languages"][tag]
        try:
            return Locale.parse(tag.split("-")[0]).get_display_name(self.language) or tag
        except (UnknownLocaleError, ValueError):
            return tag


@cache
def load_words(language: str, timezone: str = "Asia/Jakarta") -> Words:
    """Raises InputError if there are no texts in that language."""
    file = files("flows.reporting") / "templates" / f"report.{language}.yaml"
    if not language.isalpha() or not file.is_file():
        raise InputError(f"report language {language!r}: expected id or en")
    return Words(language, ZoneInfo(timezone), YAML(typ="safe").load(file.read_text(encoding="utf-8")))
