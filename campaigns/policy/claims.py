"""What a creative may claim: percentages that its offer gives, words that no rule forbids, prices that were charged."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaigns.policy.restrictions import Place, Policy, named_restrictions
from campaigns.spec import Campaign, Offer
from recsys.tables import INSTANT

Price = tuple[datetime, datetime | None, int]  # from, to, rupiah
Path = tuple[str | int, ...]  # keys and list indexes of a campaign file
_PERCENT = re.compile(r"(\d{1,3}(?:[.,]\d{1,2})?)\s?(?:%|persen\b|percent\b|per cent\b)", re.IGNORECASE)


def check_claims(campaign: Campaign, policy: Policy) -> list[tuple[Path, str]]:
    """(path in the file, fault) for each text that names what may not be promoted, or claims a percentage that its
    offer does not give."""
    found: list[tuple[Path, str]] = []
    given = {percent for offer in campaign.offers for percent in _percents(offer)}
    for path, text in _content(campaign):
        place: Place = "push" if str(path[-1]).startswith("push") else "offers"
        found += [(path, fault) for fault in _faults(text, policy, place, given, "no offer of the campaign gives")]
    for index, offer in enumerate(campaign.offers):
        place = "push" if "push" in campaign.channels else "offers"
        for path, text in _words(offer, index):
            faults = _faults(text, policy, place, _percents(offer), "the offer does not give")
            found += [(path, fault) for fault in faults]
    return found


def reference_prices(history: pa.Table, at: datetime, days: int) -> dict[str, int]:
    """Item → the lowest price in rupiah charged in the days before the price of now began, of PRICE_HISTORY.

    Only of items that have a price now whose predecessors are known for all of those days: against anything less, a
    price may not be struck through.
    """
    known = history.filter(pc.less_equal(history["from"], pa.scalar(at, INSTANT)))
    known = known.sort_by([("item_id", "ascending"), ("from", "ascending")])
    columns = (known[name].to_pylist() for name in ("item_id", "from", "to", "price"))
    by_item: dict[str, list[Price]] = {}
    for item, begun, ended, price in zip(*columns, strict=True):
        by_item.setdefault(item, []).append((begun, ended, price))
    lowest = {item: _lowest_before(past, at, timedelta(days=days)) for item, past in by_item.items()}
    return {item: price for item, price in lowest.items() if price is not None}


def with_references(items: pa.Table, history: pa.Table, at: datetime, policy: Policy) -> pa.Table:
    """Items with `was`, rupiah: the price that may stand struck through beside a lower one; null where none may."""
    known = reference_prices(history, at, policy.struck_price.days)
    rows = zip(items["item_id"].to_pylist(), items["price"].to_pylist(), strict=True)
    was = [known[item] if item in known and price is not None and price < known[item] else None for item, price in rows]
    return items.append_column("was", pa.array(was, pa.int64()))


def _lowest_before(past: list[Price], at: datetime, span: timedelta) -> int | None:
    """past: an item's prices in order of their beginning, the last of them the one of now."""
    begun, ended, _ = past[-1]
    if ended is not None and ended <= at:
        return None
    reached, lowest = begun, None
    for since, until, price in reversed(past[:-1]):
        if until is not None and until < reached:  # a time without a price on record
            return None
        lowest = price if lowest is None else min(lowest, price)
        reached = since
        if reached <= begun - span:
            return lowest
    return None


def _faults(text: str, policy: Policy, place: Place, given: set[float], whose: str) -> Iterator[str]:
    for where in sorted({"offers", place}):
        for kind, word in named_restrictions(text, policy, where):
            source = policy.restrictions[kind].source
            yield f"names {word!r}, which is {kind} and may not stand in {where} ({source}); leave it out"
    for claim in _PERCENT.findall(text):
        if float(claim.replace(",", ".")) not in given:
            yield f"claims {claim}%, which {whose}; say {{{{ offer.benefit }}}}, or the percentage that it gives"


def _percents(offer: Offer) -> set[float]:
    percent = getattr(offer.benefit, "percent", None)
    return set() if percent is None else {float(percent)}


def _content(campaign: Campaign) -> Iterator[tuple[Path, str]]:
    for language, words in campaign.content.items():
        yield from _texts(words.model_dump(), ("content", language))


def _words(offer: Offer, index: int) -> Iterator[tuple[Path, str]]:
    for language, words in offer.text.items():
        yield from _texts(words.model_dump(), ("offers", index, "text", language))


def _texts(words: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    for key, text in words.items():
        if isinstance(text, Mapping):
            yield from _texts(text, (*path, key))
        elif isinstance(text, str) and text:
            yield (*path, key), text
