"""Why an item is recommended: the short code that tables hold, and the words for people.

repeat                          bought before
repeat:24:22                    bought about every 24 days, last 22 days ago
because:ITEM                    the past purchase that adds most to the score
popular                         many customers buy it
popular:tier=gold&city=Bandung  and customers of this kind more than others
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from campaigns.words import HOME, languages, load_words


@dataclass(frozen=True)
class Reason:
    """kind: repeat, because or popular; the rest as the code says it."""

    kind: str
    item_id: str | None = None
    every: int | None = None  # days
    since: int | None = None
    segment: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        if self.kind == "repeat" and self.every is not None:
            return f"repeat:{self.every}:{self.since}"
        if self.kind == "because":
            return f"because:{self.item_id}"
        return f"popular:{urlencode(self.segment)}" if self.segment else self.kind


def read_reason(code: str) -> Reason:
    """The reason of a code; one that is not known is as good as none: popular.

    >>> read_reason("repeat:24:22").every, read_reason("popular:tier=gold&city=Kota+Batu").segment["city"]
    (24, 'Kota Batu')
    """
    kind, _, rest = code.partition(":")
    if kind == "repeat":
        every, _, since = rest.partition(":")
        return Reason("repeat", every=int(every), since=int(since)) if rest else Reason("repeat")
    if kind == "because" and rest:
        return Reason("because", item_id=rest)
    return Reason("popular", segment=dict(parse_qsl(rest)))


def rhythm_words(reason: Reason, language: str, title: str | None = None) -> str:
    """Of a repeat with its rhythm: with how long ago it was bought last; or, naming the item, without.

    >>> rhythm_words(Reason("repeat", every=24, since=22), "en")
    'you buy this about every 24 days, last 22 days ago'
    """
    words = spoken(language)
    every, since = reason.every or 1, reason.since or 0
    days = words["days"][min(every - 1, 1)].format(days=every)
    if title is not None:
        return words["named"].format(title=title, every=days)
    return words["every"].format(every=days, since=words["ago"][min(since, 2)].format(days=since))


def segment_words(segment: Mapping[str, str], language: str) -> str:
    """
    >>> segment_words({"tier": "gold", "city": "Bandung", "age": "25-34"}, "en")
    'popular with gold members in Bandung aged 25–34'
    """
    words = spoken(language)
    if not segment:
        return words["popular"]
    who = words["tier"].format(tier=segment["tier"]) if "tier" in segment else words["anybody"]
    if "city" in segment:
        who = words["city"].format(who=who, city=segment["city"])
    if "age" in segment:
        low, _, high = segment["age"].partition("-")
        band = "under" if not low else "between" if high else "over"
        who = words["age"].format(who=who, age=words[band].format(low=low, high=high))
    return words["segment"].format(who=who)


def spoken(language: str) -> Mapping[str, Any]:
    """The words of a language; of one that has none, the Indonesian ones."""
    return load_words(language if language in languages() else HOME)["reasons"]
