"""The report of a run: one HTML file that a marketer opens first and forwards to whoever holds the budget.

It is drawn from the run's manifest and messages alone, needs no network and no JavaScript, and bears no time of its own
making, so that the same run gives the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from campaigns.tables import MESSAGES
from flows.reporting.bars import (
    Bar,
    Manifest,
    budget_bar,
    channel_bar,
    funnel_steps,
    limit_bar,
    quota_bar,
    row_bar,
    share,
)
from flows.reporting.plots import Interval, intervals
from flows.reporting.reliability import reliability_plot
from flows.reporting.words import MINUS, Words, load_words
from flows.workspace import write_text

SAMPLES = 4
MEASURES = ("buyers_per_100", "spend_per_100")
OURS = "larisma"
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("flows.reporting"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_report(
    folder: Path, manifest: Manifest, messages: pa.Table | list[dict[str, Any]], *, language: str = "id"
) -> Path:
    """Writes folder/report.html and returns its path.

    messages: rows of MESSAGES, of which up to four are shown.
    Raises ValueError if the funnel does not add up, InputError if there are no words in that language.
    """
    words = load_words(language, manifest.get("timezone", "Asia/Jakarta"))
    path = folder / "report.html"
    write_text(path, render(words, manifest, sample_messages(messages)))
    return path


def render(words: Words, manifest: Manifest, samples: Sequence[Mapping[str, Any]]) -> str:
    certificate = manifest["certificate"]
    first_come, hindsight = manifest.get("first_come"), known_hindsight(manifest)
    return TEMPLATES.get_template("report.html.j2").render(
        w=words,
        say=words.say,
        manifest=manifest,
        shop=manifest.get("shop", "Larisma"),
        send_time=datetime.strptime(manifest["occurrence"], "%Y%m%dt%H%M%Sz").replace(tzinfo=UTC),
        as_of=datetime.fromisoformat(manifest["as_of"]),
        funnel=funnel_steps(words, manifest["funnel"]),
        total=manifest["funnel"][0][1],
        addressed=manifest["funnel"][-1][1],
        spend=total_spend(manifest),
        budget_used=sum(budget["used"] for budget in manifest["budgets"]),
        budget=sum(budget["limit"] for budget in manifest["budgets"]),
        message_costs=message_costs(manifest["channels"]),
        summary=summary(words, manifest),
        limits={
            "budgets": [budget_bar(words, budget) for budget in manifest["budgets"]],
            "capacities": [channel_bar(words, *channel) for channel in sorted(manifest["channels"].items())],
            "quotas": [quota_bar(words, offer) for offer in manifest["offers"] if offer.get("quota")],
            "group_limits": [row_bar(words, row) for row in manifest.get("limits", [])],
            "night_limits": night_bars(words, manifest.get("night", {})),
        },
        certificate=certificate,
        first_come=first_come,
        first_come_share=share(first_come["lost"], certificate["value"]) if first_come else 0.0,
        share=share,
        interval=lambda measure, row: interval_text(words, measure, row),
        comparison=comparison(certificate, first_come),
        said=certificate.get("words", {}).get(words.language, []),
        night=shared_night(manifest),
        night_names=decided_beside(manifest),
        started=manifest.get("started_from", []),
        hindsight=hindsight,
        choices=[row["choice"] for row in hindsight["rows"]] if hindsight else [],
        titles={offer["offer_id"]: offer["title"] for offer in manifest["offers"]},
        plots=hindsight_plots(words, hindsight) if hindsight else [],
        losing=losing_reasons(words, manifest),
        reliability=reliability_plot(words, manifest.get("propensity")),
        metrics="; ".join(
            f"{name.upper()} {words.number(value, 3)}"
            for name, value in sorted(manifest["model"].items())
            if isinstance(value, float)
        ),
        samples=samples,
    )  # fmt: skip


# --- sentences -------------------------------------------------------------------------------------------------------


def summary(words: Words, manifest: Manifest) -> Markup:
    """The whole report in one paragraph."""
    name = manifest["campaign"]["name"]
    total, addressed = manifest["funnel"][0][1], manifest["funnel"][-1][1]
    if not addressed:
        return words.say("summary_nobody", name=name, total=words.number(total))
    sentences = [
        words.say(
            "summary_people",
            name=name,
            addressed=words.number(addressed),
            total=words.number(total),
            messages=message_counts(words, manifest["channels"]),
        ),
        money_sentence(words, manifest),
        certificate_sentence(words, manifest),
    ]
    if hindsight := known_hindsight(manifest):
        sentences.append(hindsight_sentence(words, hindsight))
    if any(offer["uplift_source"] == "assumed" for offer in manifest["offers"]):
        sentences.append(words.say("summary_assumed"))
    return Markup(" ").join(sentences)


def comparison(certificate: Manifest, first_come: Manifest | None) -> list[tuple[str, float, str]]:
    """Key, value in rupiah and kind of the bars that the certificate is shown by."""
    bars = [("bound", certificate["bound"], "total"), ("ours", certificate["value"], "ours")]
    return bars + ([("first_come", first_come["value"], "first_come")] if first_come and first_come["lost"] > 0 else [])


def shared_night(manifest: Manifest) -> Manifest | None:
    """What the run's night says; None where it was decided by itself, beside nobody."""
    night = manifest.get("night")
    return night if night and (len(night["campaigns"]) > 1 or night["held"] or night["budgets"]) else None


def decided_beside(manifest: Manifest) -> list[str]:
    """The other campaigns of the night."""
    return [name for name in manifest.get("night", {}).get("campaigns", []) if name != manifest["campaign"]["id"]]


def night_bars(words: Words, night: Manifest) -> list[Bar]:
    """What all campaigns of the night share."""
    budgets = [
        limit_bar(words, "night_budget", row["funder"], row["used"], row, words.rupiah, 1000)
        for row in night.get("budgets", [])
    ]
    return budgets + [row_bar(words, row) for row in night.get("limits", [])]


def losing_reasons(words: Words, manifest: Manifest) -> list[tuple[str, int]]:
    """Why pairs lost, the commonest first; offers are named by their titles."""
    titles = {offer["offer_id"]: offer["title"] for offer in manifest["offers"]}
    counted = sorted(manifest.get("losing_reasons", {}).items(), key=lambda entry: (-entry[1], entry[0]))
    return [(words.reason(label, titles), pairs) for label, pairs in counted]


def message_costs(channels: Manifest) -> int | None:
    """What the messages themselves cost; None if the manifest does not say."""
    if not all("message_cost" in channel for channel in channels.values()):
        return None
    return sum(channel["sent"] * channel["message_cost"] for channel in channels.values())


def message_counts(words: Words, channels: Manifest) -> str:
    counts = [f"{words.number(channels[name]['sent'])} {words.texts['messages_of'][name]}" for name in sorted(channels)]
    return f" {words.texts['and']} ".join(counts)


def money_sentence(words: Words, manifest: Manifest) -> Markup:
    used = sum(budget["used"] for budget in manifest["budgets"])
    limit = sum(budget["limit"] for budget in manifest["budgets"])
    of_budget = words.say("summary_budget", share=words.percent(share(used, limit)), limit=words.rounded_rupiah(limit))
    return words.say(
        "summary_money",
        spend=words.rounded_rupiah(total_spend(manifest)),
        budget=of_budget if limit else "",
        value=words.rounded_rupiah(manifest["certificate"]["value"]),
    )


def total_spend(manifest: Manifest) -> int:
    """What all funders together are expected to spend on the promotions."""
    return sum(offer["expected_spend"] for offer in manifest["offers"])


def certificate_sentence(words: Words, manifest: Manifest) -> Markup:
    certificate, first_come = manifest["certificate"], manifest.get("first_come")
    left, gap = words.rounded_rupiah(certificate["left_on_the_table"]), words.percent(certificate["gap"])
    if not first_come or first_come["lost"] <= 0:
        return words.say("summary_certificate_short", left=left, gap=gap)
    lost, lost_share = first_come["lost"], share(first_come["lost"], certificate["value"])
    return words.say(
        "summary_certificate", left=left, gap=gap, lost=words.rounded_rupiah(lost), lost_share=words.percent(lost_share)
    )


def hindsight_sentence(words: Words, hindsight: Manifest) -> Markup:
    rates = {row["choice"]: words.number(row["buyers_per_100"], 1) for row in hindsight["rows"]}
    others = [
        words.say(key, rate=rates[choice])
        for choice, key in (("random", "versus_random"), ("biggest buyers", "versus_biggest"))
        if choice in rates
    ]
    joined = Markup(f" {words.texts['and']} ").join(others)  # noqa: S704 (our own word)
    return words.say("summary_hindsight", ours=rates[OURS], days=hindsight["days"], others=joined)


# --- hindsight -------------------------------------------------------------------------------------------------------


def known_hindsight(manifest: Manifest) -> Manifest | None:
    """None where it was not asked for, or nobody was given an offer."""
    hindsight = manifest.get("hindsight")
    return hindsight if hindsight and hindsight["rows"] else None


def bounds(measure: str, row: Manifest) -> tuple[float, float]:
    low, high = ("low", "high") if measure == "buyers_per_100" else ("spend_low", "spend_high")
    return row[low], row[high]


def interval_text(words: Words, measure: str, row: Manifest) -> str:
    """A measure's 95% interval, such as 15,9–20,5."""
    show = words.rupiah if measure == "spend_per_100" else tenths(words)
    return "–".join(show(bound) for bound in bounds(measure, row)).replace(f"–{MINUS}", f" – {MINUS}")


def tenths(words: Words) -> Callable[[float], str]:
    return lambda value: words.number(value, 1, fixed=value != 0)


def hindsight_plots(words: Words, hindsight: Manifest) -> list[tuple[str, Markup]]:
    """For each measure its title and its dots with intervals."""
    plots = []
    for measure in MEASURES:
        title = words.texts[measure]
        show = words.rounded_rupiah if measure == "spend_per_100" else tenths(words)
        rows = [
            Interval(
                words.texts["choices"].get(row["choice"], row["choice"]),
                row[measure],
                *bounds(measure, row),
                ours=row["choice"] == OURS,
            )
            for row in hindsight["rows"]
        ]
        alt = f"{title}: " + "; ".join(
            f"{row.label} {show(row.mean)} ({show(row.low)}–{show(row.high)})" for row in rows
        )
        plots.append((title, intervals(measure.partition("_")[0], rows, show, alt)))
    return plots


# --- samples ---------------------------------------------------------------------------------------------------------


def sample_messages(messages: pa.Table | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Up to four messages: the first of each channel and language, then the second of each, e-mail before push."""
    if not isinstance(messages, pa.Table):
        messages = pa.Table.from_pylist(messages, schema=MESSAGES.schema)
    chosen: list[dict[str, Any]] = []
    while messages.num_rows and len(chosen) < SAMPLES:
        firsts = messages.group_by(["channel", "language"]).aggregate([("message_id", "min")])["message_id_min"]
        is_first = pc.is_in(messages["message_id"], value_set=firsts.combine_chunks())
        chosen += messages.filter(is_first).sort_by([("message_id", "ascending")]).to_pylist()[:SAMPLES]
        messages = messages.filter(pc.invert(is_first))
    return sorted(chosen[:SAMPLES], key=lambda row: (row["channel"], row["language"] != "id", row["message_id"]))
