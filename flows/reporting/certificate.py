"""What limits are worth and what is left on the table, in plain words; and the same of a whole night."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from typing import Any

from campaigns.calendar import occurrence_instant
from flows.reporting.bars import LEAST_PRICE, planned
from flows.reporting.words import Words, load_words

LANGUAGES = ("id", "en")
GROUP = ": "  # in the name of a limit, before the group that it is of
Manifest = Mapping[str, Any]


def certificate_words(manifest: Manifest) -> dict[str, list[str]]:
    """Language → the certificate in sentences, most telling first."""
    zone = manifest.get("timezone", "Asia/Jakarta")
    return {language: list(sentences(load_words(language, zone), manifest)) for language in LANGUAGES}


def sentences(words: Words, manifest: Manifest) -> Iterator[str]:
    yield from told(words, manifest)
    yield from said_of_limits(words, manifest)


def told(words: Words, manifest: Manifest) -> Iterator[str]:
    """What is left at most, and what counters would have lost."""
    first_come = manifest.get("first_come")
    yield _plain(words, "said_left", left=words.rupiah(manifest["certificate"]["left_on_the_table"]))
    if first_come and first_come["lost"] > 0:
        yield _plain(words, "said_more", more=words.rupiah(first_come["lost"]))


def said_of_limits(words: Words, manifest: Manifest) -> Iterator[str]:
    """What one more of each limit that binds would bring, the dearest first; then what is not needed, in one sentence
    where a limit leaves something in many groups."""
    binding = []
    roomy: defaultdict[str, list[tuple[float, str, str, str]]] = defaultdict(list)
    for kind, name, used, limit, price, show in worded_limits(words, manifest):
        if price >= LEAST_PRICE:
            binding.append((price * limit, _plain(words, f"price_{kind}", name=name, price=words.price(price))))
        elif kind != "minimum" and limit - used >= 1:
            left = show(int(limit - used))
            said = _plain(words, f"needless_{kind}", name=name, left=left)
            of, _, group = name.partition(GROUP) if kind.startswith("limit") else ("", "", "")
            roomy[of if group else said].append((limit - used, group, left, said))
    yield from (said for _, said in sorted(binding, key=lambda entry: -entry[0]))
    for of, groups in roomy.items():
        _, most, left, said = max(groups)
        many = {"name": of, "groups": words.number(len(groups)), "most": most, "left": left}
        yield said if len(groups) == 1 else _plain(words, "needless_groups", **many)


def worded_limits(words: Words, manifest: Manifest) -> Iterator[tuple[str, str, float, float, float, Any]]:
    """(kind, name, used, limit, price, how its amounts are written) of every limit of a run."""
    for budget in manifest["budgets"]:
        yield "budget", budget["funder"], budget["used"], planned(budget), budget["price"], words.rupiah
    for budget in manifest.get("night", {}).get("budgets", []):
        yield "night_budget", budget["funder"], budget["used"], budget["limit"], budget["price"], words.rupiah
    for name, channel in sorted(manifest["channels"].items()):
        if channel.get("capacity") is not None:
            price = channel.get("price") or 0.0
            yield name, words.texts["channels"][name], channel["sent"], channel["capacity"], price, words.number
    for offer in manifest["offers"]:
        if quota := offer.get("quota"):
            title = offer.get("titles", {}).get(words.language, offer["title"])
            yield quota["kind"], title, quota["used"], planned(quota), quota["price"], words.number
    rows = [*manifest.get("limits", []), *manifest.get("night", {}).get("limits", [])]
    for row in rows:
        kind = "minimum" if row["kind"] == "minimum" else f"limit_{row['unit']}"
        show = words.rupiah if row["unit"] == "rupiah" else words.number
        yield kind, row["name"], row["used"], planned(row), row["price"], show


def night_manifest(day: date, runs: Sequence[Manifest]) -> dict[str, Any]:
    """What was decided together: its certificate, what the campaigns share, and each campaign's part."""
    night = runs[0]["night"]
    shared = [{key: value for key, value in entry.items() if key != "own"} for entry in night["budgets"]]
    limits = [{key: value for key, value in entry.items() if key != "own"} for entry in night["limits"]]
    manifest = {
        "day": day.isoformat(),
        "as_of": runs[0]["as_of"],
        "timezone": runs[0]["timezone"],
        "seed": runs[0]["seed"],
        "code": version("larisma"),
        "model": next((run["model"]["id"] for run in runs if run.get("model")), None),
        "campaigns": [
            {
                "campaign": run["campaign"]["id"],
                "occurrence": run["occurrence"],
                "version": run["campaign"]["version"],
                "messages": run["counts"]["messages"],
                "spend": sum(budget["used"] for budget in run["budgets"]),
                "value": run["certificate"]["value"],
            }
            for run in runs
        ],
        "certificate": night["certificate"],
        "first_come": night["first_come"],
        "held": night["held"],
        "started_from": runs[0].get("started_from", []),
        "budgets": shared,
        "limits": limits,
    }
    certificate = {**night["certificate"], "words": night_words(manifest, runs)}
    return {**manifest, "certificate": certificate}


def night_words(manifest: Manifest, runs: Sequence[Manifest]) -> dict[str, list[str]]:
    """As certificate_words, of the whole night: its own limits first, then those of each campaign, after its name; of
    one that fires several times, with the time of each."""
    nothing: Manifest = {"budgets": [], "channels": {}, "offers": [], "limits": []}
    shared = {**nothing, "night": {"budgets": manifest["budgets"], "limits": manifest["limits"]}}
    firings = Counter(run["campaign"]["id"] for run in runs)
    found = {}
    for language in LANGUAGES:
        words = load_words(language, manifest["timezone"])
        found[language] = [*told(words, manifest), *said_of_limits(words, shared)]
        for run in runs:
            name, sent = run["campaign"]["id"], occurrence_instant(run["occurrence"])
            if firings[name] > 1:
                name += f" ({words.date(sent)}, {words.time(sent)})"
            own = said_of_limits(words, {**run, "night": nothing})
            found[language] += [f"{name}: {said}" for said in own]
    return found


def _plain(words: Words, key: str, **values: object) -> str:
    return str(words.texts[key]).format(**values)
