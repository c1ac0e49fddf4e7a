"""The bars of a report: where the customers went, and how much of each limit is used, with what that says in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flows.reporting.words import Words

Manifest = Mapping[str, Any]

LEAST_PRICE = 0.005  # of a rupiah; below it a price would read Rp0
TOLERANCE = 1e-6  # relative; sums of floats may pass a limit by so much without breaking it


@dataclass(frozen=True)
class Step:
    """One bar of the funnel: `start` and `width` are shares of all customers."""

    label: str
    people: int
    start: float
    width: float
    kind: str  # total | left_out | control | addressed


@dataclass(frozen=True)
class Bar:
    """One limit: how much of it is used, and what it says in words."""

    name: str
    used: str
    share: float  # of the limit, 0–1
    state: str  # binding | slack | full | over | unlimited
    sentence: Markup


def share(part: float, whole: float) -> float:
    """part / whole; 0 where there is no whole."""
    return part / whole if whole else 0.0


def funnel_steps(words: Words, funnel: Sequence[tuple[str, int]]) -> list[Step]:
    """All customers, then those left out for each reason (reasons with nobody are dropped), then the addressed.

    Raises ValueError if the total is not the sum of the rest, or a count is negative.
    """
    (total_label, total), *left_out, (addressed_label, addressed) = funnel
    if total != addressed + sum(people for _, people in left_out) or min(people for _, people in funnel) < 0:
        raise ValueError(f"the funnel does not add up: {total} customers are not the sum of {funnel[1:]}")
    steps = [Step(words.reason(total_label), total, 0.0, share(total, total), "total")]
    left = total
    for label, people in left_out:
        left -= people
        if people:
            kind = "control" if label.startswith("control") else "left_out"
            steps.append(Step(words.reason(label), people, share(left, total), share(people, total), kind))
    return [*steps, Step(words.reason(addressed_label), addressed, 0.0, share(addressed, total), "addressed")]


def budget_bar(words: Words, budget: Manifest) -> Bar:
    return limit_bar(words, "budget", budget["funder"], budget["used"], budget, words.rupiah, unit=1000)


def quota_bar(words: Words, offer: Manifest) -> Bar:
    quota = offer["quota"]
    return limit_bar(words, quota["kind"], offer["title"], quota["used"], quota, words.number, unit=1)


def channel_bar(words: Words, name: str, channel: Manifest) -> Bar:
    limit = {"limit": channel.get("capacity"), "price": channel.get("price")}
    return limit_bar(words, name, words.texts["channels"][name], channel["sent"], limit, words.number, 1)


def row_bar(words: Words, row: Manifest) -> Bar:
    """A limit on a group, or a guaranteed minimum."""
    show, unit = (words.rupiah, 1000) if row["unit"] == "rupiah" else (words.number, 1)
    if row["kind"] == "minimum":
        return minimum_bar(words, row, show)
    return limit_bar(words, f"limit_{row['unit']}", row["name"], row["used"], row, show, unit)


def minimum_bar(words: Words, row: Manifest, show: Callable[..., str]) -> Bar:
    used, least, price = row["used"], row["limit"], row["price"]
    text = words.say("at_least", used=show(used), limit=show(least))
    if used < least - TOLERANCE * max(1.0, least):
        return Bar(
            row["name"], text, share(used, least), "over", words.say("under_minimum", lacking=show(least - used))
        )
    if price >= LEAST_PRICE:
        said = words.say("price_minimum", name=row["name"], price=words.price(price))
        return Bar(row["name"], text, 1.0, "binding", said)
    return Bar(row["name"], text, 1.0, "slack", words.say("minimum_met", more=show(int(used - least))))


def limit_bar(
    words: Words, kind: str, name: str, used: float, limit: Manifest, show: Callable[..., str], unit: float
) -> Bar:
    """unit: what is left below it counts as used up. A limit that was planned with less than it is, for confidence, is
    full when that is used."""
    stated, price = limit.get("limit"), limit.get("price") or 0.0
    if stated is None:
        return Bar(name, show(used), 0.0, "unlimited", words.say("no_limit_set"))
    most = planned(limit)
    text = words.say("of", used=show(used), limit=show(stated))
    if used > most + TOLERANCE * max(1.0, most):
        return Bar(name, text, 1.0, "over", words.say("over_limit", over=show(used - most)))
    part = min(1.0, share(used, stated))
    if price >= LEAST_PRICE:
        state, said = "binding", words.say(f"price_{kind}", name=name, price=words.price(price))
    elif most - used >= unit:
        state, said = "slack", words.say(f"unused_{kind}", name=name, left=show(int(most - used)))
    else:
        state, said = "full", words.say("used_up")
    if limit.get("planned") is not None:
        sure = words.percent(limit["confidence"])
        said += Markup(" ") + words.say("planned", planned=show(int(most)), limit=show(stated), confidence=sure)
    return Bar(name, text, part, state, said)


def planned(limit: Manifest) -> float:
    """What a limit was planned with: itself, or less where it is to hold with a confidence."""
    lower = limit.get("planned")
    return float(limit["limit"] if lower is None else lower)
