"""Results as tables on the terminal, one function for each command that prints more than a line."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.words import rupiah
from flows.approving.views import standing_words
from flows.console import number, out, show

Result = Mapping[str, Any]

COUNTS = ("left_out", "accepted", "duplicate", "quarantined")
ALWAYS = "accepted"
STATES = ("sent", "pending", "claimed", "writing", "skipped", "bounced", "failed", "expired", "unknown")
REDEMPTIONS = "redemptions"  # the slice that is not of held-out purchases


def show_accounting(summary: Result) -> None:
    """What became of the rows of each table, as the sum that it is, and why rows were quarantined."""
    for name, entry in summary.items():
        parts = [
            f"{number(entry[count])} {count.replace('_', ' ')}" for count in COUNTS if entry[count] or count == ALWAYS
        ]
        updated = f" ({number(entry['updated'])} of them updated)" if entry["updated"] else ""
        said = (
            "derived from purchases" if entry.get("derived") else f"{number(entry['read'])} read = {' + '.join(parts)}"
        )
        out.print(f"{name}: {said}{updated}; {number(entry['rows'])} rows now", soft_wrap=True)
    reasons = [
        [name, reason, count] for name, entry in summary.items() for reason, count in sorted(entry["reasons"].items())
    ]
    if reasons:
        show("Quarantine", ("table", "reason", "rows"), reasons)


def show_evaluation(evaluation: Result) -> None:
    """A table for each slice: every model by every metric, with the 95% interval of the deciding one, and of by how
    much, customer by customer, the model has more of it than each baseline."""
    measured = {(row["slice"], row["model"], row["metric"]): row for row in evaluation["rows"]}
    lead = evaluation["metric"]
    ahead = {
        (row["slice"], row["model"], row["against"]): row for row in evaluation["differences"] if row["metric"] == lead
    }
    for part in dict.fromkeys(part for part, _, _ in measured):
        own = [(model, metric) for slice_, model, metric in measured if slice_ == part]
        models = list(dict.fromkeys(model for model, _ in own))
        metrics = sorted({metric for _, metric in own}, key=lambda metric: (metric != lead, metric))
        bases = [base for base in models if sum((part, model, base) in ahead for model in models) > len(models) // 2]
        header = [
            "model", metrics[0], "95%", *(f"less {base}, 95%" for base in bases),
            *(metric.partition("@")[0].replace("_", " ") for metric in metrics[1:]),
        ]  # fmt: skip
        rows = []
        for model in models:
            best, *others = (measured[part, model, metric] for metric in metrics)
            apart = [interval(ahead.get((part, model, base))) for base in bases]
            rows.append([model, number(best["mean"]), interval(best), *apart, *(other["mean"] for other in others)])
        since = f"held out since {evaluation['cut']}"
        show(f"{part}, {since if part != REDEMPTIONS else 'of past campaigns, each as of its start'}", header, rows)


def show_propensity(judged: Result | None) -> None:
    """How good chances of purchase were in the window held out, and by deciles and groups of scopes how true."""
    if judged is None:
        out.print(
            "Chances of purchase: too little was known before the window to learn and judge them.", soft_wrap=True
        )
        return
    ahead = {row["against"]: row for row in judged["differences"]}
    rows = [
        [
            row["model"],
            row["auc"],
            row["log_loss"],
            interval(ahead.get(row["model"])),
            row["predicted_over_observed"],
        ]
        for row in judged["rows"]
    ]
    asked = f"{number(judged['customers'])} customers × {number(judged['scopes'])} scopes in the window held out"
    show(
        f"Chances of purchase, {asked}",
        ("model", "AUC", "log loss", "chances less this, 95%", "predicted / observed"),
        rows,
    )
    parts = [
        [
            row["group"],
            f"{number(100 * row['predicted'])}%",
            f"{number(100 * row['observed'])}%",
            row["ratio"],
            f"{number(row['low'])} – {'' if row['high'] is None else number(row['high'])}",
            row["buyers"],
        ]
        for row in [*judged["deciles"], *judged["groups"]]
    ]
    show(
        "Predicted and observed, by deciles of the chance and thirds of the scopes",
        ("group", "predicted", "observed", "ratio", "95%", "buyers"),
        parts,
    )


def interval(figure: Result | None) -> str:
    return f"{number(figure['low'])} – {number(figure['high'])}" if figure else "–"


def show_status(status: Result) -> None:
    zone = status["timezone"]
    tables = [
        [
            table["table"],
            table["rows"],
            day(table["newest"], zone),
            age(table),
            day(table["last_ingest"], zone),
            ", ".join(f"{reason} {number(count)}" for reason, count in sorted(table["reasons"].items())) or "–",
        ]
        for table in status["tables"]
    ]
    show("Tables", ("table", "rows", "newest", "age", "last ingest", "quarantine"), tables)
    model = status["model"]
    if model:
        metrics = [[name, value] for name, value in model["metrics"].items()]
        show(
            f"{model['name']} serves: {model['id']}, of what was known before {day(model['as_of'], zone)}",
            ("metric", ""),
            metrics,
        )
    else:
        out.print("No model serves yet.")
    if status["campaigns"]:
        rows = [[row["campaign"], standing_words(row, zone)] for row in status["campaigns"]]
        show("Campaigns", ("campaign", "approval"), rows)
    if status["runs"]:
        runs = [
            [
                run["campaign"],
                run["occurrence"],
                day(run["as_of"], zone),
                run["messages"],
                rupiah(round(run["value"])),
                percent(run["gap"]),
            ]
            for run in status["runs"]
        ]
        show("Runs", ("campaign", "occurrence", "as of", "messages", "expected value", "gap at most"), runs)
    if status["deliveries"]:
        rows = [delivery_row(one) for one in status["deliveries"]]
        show("Deliveries", ("campaign", "occurrence", "", "sent", "waiting", "unknown"), rows)


def show_run(manifest: Result) -> None:
    show("People", ("", "customers"), manifest["funnel"])
    show_offers(manifest["offers"])
    show_budgets(manifest["budgets"])
    show_limits(manifest.get("limits", []))
    show_certificate(manifest)
    if manifest["hindsight"]:
        show_hindsight({manifest["campaign"]["id"]: manifest})


def show_offers(given: Sequence[Result]) -> None:
    offers = [
        [
            offer["offer_id"],
            offer["decisions"],
            offer["expected_redemptions"],
            rupiah(offer["expected_spend"]),
            rupiah(offer["expected_value"]),
            f"{number(offer['quota']['used'])} of {number(offer['quota']['limit'])} {offer['quota']['kind']}"
            if offer["quota"]
            else "–",
        ]
        for offer in given
    ]
    show("Offers", ("offer", "given", "redeemed", "spend", "value", "quota"), offers)
    for offer in given:
        if waits := offer.get("waits_for"):
            out.print(f"{offer['offer_id']} is given to nobody: {' and '.join(waits)} has not agreed to its terms.")


def show_budgets(stated: Sequence[Result]) -> None:
    """planned: what is expected at most where a budget is to hold with a confidence."""
    budgets = [
        [
            b["funder"],
            rupiah(b["used"]),
            rupiah(round(b["planned"])) if b.get("planned") is not None else "–",
            rupiah(b["limit"]),
            f"Rp{number(b['price'])}",
        ]
        for b in stated
    ]
    show("Budgets", ("funder", "expected", "planned", "limit", "one rupiah more earns"), budgets)


def show_limits(limits: Sequence[Result]) -> None:
    """Limits on groups, and guaranteed minimums."""
    rows = [
        [row["name"], row["kind"], row["used"], row["limit"], row["unit"], f"Rp{number(row['price'])}"]
        for row in limits
    ]
    if rows:
        show("Limits on groups", ("limit", "", "expected", "stated", "of", "one more earns"), rows)


def show_certificate(manifest: Result) -> None:
    """What is left at most, and what limits are worth, in words."""
    certificate, lost = manifest["certificate"], manifest["first_come"]["lost"]
    out.print(
        f"Expected value {rupiah(round(certificate['value']))}; left on the table: at most "
        f"{rupiah(round(certificate['left_on_the_table']))} ({gap(certificate)})"
        + (f"; {rupiah(round(lost))} more than first come, first served." if lost > 0 else "."),
    )
    said = 1 + (lost > 0)  # of the sentences, just above
    for sentence in certificate.get("words", {}).get("en", [])[said:]:
        out.print(f"  {sentence}", soft_wrap=True)


def show_forecast(forecast: Result) -> None:
    """What would be sent, spent and earned, what stops it, and what another budget would change."""
    sends = [
        [name, channel["sent"], channel["capacity"], f"Rp{number(channel['price'])}"]
        for name, channel in sorted(forecast["channels"].items())
    ]
    show("Messages", ("channel", "sent", "room", "one more earns"), sends)
    show_offers(forecast["offers"])
    show_budgets(forecast["budgets"])
    show_limits([*forecast["limits"], *forecast["night"]["limits"]])
    show_certificate(forecast)
    rows = [
        [
            f"×{number(row['factor'])}",
            rupiah(row["budget"]),
            rupiah(row["spend"]),
            row["messages"],
            rupiah(round(row["value"])),
            f"Rp{number(row['slope'])}",
            ", ".join(row["binding"]) or "–",
        ]
        for row in forecast["curve"]
    ]
    header = ("", "budgets", "spend", "messages", "value", "one rupiah more earns", "limits that bind")
    show("Value against budget", header, rows)
    for row in forecast["unmet"]:
        met = f"at most {number(100 * row['share'])}% of each"
        out.print(f"With ×{number(row['factor'])} the budgets the guarantees cannot be met: {met}.")
    for offer, names in forecast["as_if_agreed"].items():
        out.print(f"{offer}: {' and '.join(names)} has not agreed to its terms yet; it is forecast as if so.")


def show_delivery(result: Result) -> None:
    """What became of a run's messages, and why of those that were not simply sent."""
    states = [state for state in STATES if any(state in found for found in result["channels"].values())]
    rows = [[channel, *(found.get(state, 0) for state in states)] for channel, found in result["channels"].items()]
    said = "sent" if result["live"] else "rehearsed, nothing was sent"
    if rows:
        show(f"{result['campaign']}, occurrence {result['occurrence']}: {said}", ("", *states), rows)
    if result["reasons"]:
        show("Why not", ("", "reason", "messages"), result["reasons"])
    if result["unknown"]:
        out.print(f"Nobody knows whether these arrived; they are not sent again: {', '.join(result['unknown'])}")


def delivery_row(result: Result) -> list[Any]:
    """Campaign, occurrence, state with its reason, and how many are sent, wait, and may or may not have arrived."""
    state = f"{result['state']}: {result['reason']}" if result["reason"] else result["state"]
    numbers = [
        sum(found.get(one, 0) for found in result["channels"].values()) for one in ("sent", "pending", "unknown")
    ]
    return [result["campaign"], result["occurrence"], state, *numbers]


def show_night(night: Result) -> None:
    """The campaigns that were decided together, and what they share."""
    rows = [
        [row["campaign"], row["occurrence"], row["messages"], rupiah(row["spend"]), rupiah(round(row["value"]))]
        for row in night["campaigns"]
    ]
    show(f"Decided together on {night['day']}", ("campaign", "occurrence", "messages", "spend", "value"), rows)
    budgets = [
        [b["funder"], rupiah(round(b["used"])), rupiah(round(b["limit"])), f"Rp{number(b['price'])}"]
        for b in night["budgets"]
    ]
    if budgets:
        show("Budgets of the night", ("funder", "expected", "limit", "one rupiah more earns"), budgets)
    show_limits(night["limits"])
    show_certificate(night)


def show_hindsight(runs: Mapping[str, Result]) -> None:
    """What was really bought: of 100 customers given an offer, beside random ones and the biggest buyers."""
    rows = [
        [
            name,
            row["choice"],
            f"{number(row['buyers_per_100'])} ({number(row['low'])}–{number(row['high'])})",
            f"Rp{millions(row['spend_per_100'])} jt ({millions(row['spend_low'])}–{millions(row['spend_high'])})",
        ]
        for name, run in runs.items()
        for row in run["hindsight"]["rows"]
    ]
    days = {run["hindsight"]["days"] for run in runs.values()}
    title = f"Of 100 customers given an offer, in the {' or '.join(map(str, sorted(days)))} days after (95% intervals)"
    show(title, ("campaign", "given to", "bought in scope", "spent in scope"), rows)
    out.print("It shows whether the right people were chosen, not what the promotion caused.")


def millions(rupiah_amount: int) -> str:
    return number(rupiah_amount / 1e6)


def show_campaigns(campaigns: Sequence[Result], zone: str) -> None:
    rows = [
        [
            row["id"],
            row["name"],
            sent_next(row),
            row["decide_at"] or "–",
            row["offers"],
            rupiah(row["budget"]),
            standing_words(row["approval"], zone),
        ]
        for row in campaigns
    ]
    show("Campaigns", ("id", "name", "sent next", "decided", "offers", "budgets together", "approval"), rows)


def sent_next(row: Result) -> str:
    """When it is sent, in which phase, and whether that is sure."""
    if not row["send_at"]:
        return "no more"
    sure = "waits for the announcement" if row["waiting"] else "estimated" if row["estimated"] else ""
    return " ".join(part for part in (row["send_at"], row["phase"], sure and f"({sure})") if part)


OFTEN = 8  # a campaign that is sent more often than this is told in one row


def show_calendar(plan: Result) -> None:
    """The months ahead, one row for each sending; then what meets, and what would move."""
    counts = Counter(row["campaign"] for row in plan["firings"])
    rows, told = [], set()
    for row in plan["firings"]:
        often = counts[row["campaign"]] > OFTEN
        if often and row["campaign"] in told:
            continue
        told.add(row["campaign"])
        more = f"and {counts[row['campaign']] - 1} times more" if often else row["until"][:16].replace("T", " ")
        sure = "waits for the announcement" if row["waiting"] else "estimated" if row["estimated"] else ""
        notes = [sure, "customers' own clock" if row["local"] else ""]
        when = row["send_at"][:16].replace("T", " ")
        rows.append([when, row["campaign"], row["phase"] or "", more, ", ".join(note for note in notes if note)])
    show(f"From {plan['from'][:10]} to {plan['until'][:10]}", ("sent", "campaign", "phase", "until", ""), rows)
    if plan["overlaps"]:
        pairs = [
            [" + ".join(row["campaigns"]), row["times"], row["first"][:16].replace("T", " "), row["people"],
             percent(row["share"])]
            for row in plan["overlaps"]
        ]  # fmt: skip
        show("Overlaps", ("campaigns", "times", "first", "people in both", "of the smaller"), pairs)
    if plan["moved"]:
        shifts = [
            [row["campaign"], row["phase"] or "", row["from"][:16].replace("T", " "), row["to"][:16].replace("T", " ")]
            for row in plan["moved"]
        ]
        show("What would move", ("campaign", "phase", "from", "to"), shifts)


def show_checked(checked: Sequence[Result]) -> None:
    for campaign in checked:
        show(campaign["campaign"], ("", "customers"), campaign["funnel"])
        out.print(effect_words(campaign["effect"]), soft_wrap=True)


def show_audience(counts: Result) -> None:
    """Each step of the funnel and who is left after it, down to the two arms."""
    rows, left = [], 0
    for step, customers in counts["funnel"]:
        left = customers if step == "customers" else left - customers
        rows.append([step, customers, "" if step == "treatment" else left])
    show(f"{counts['campaign']}, occurrence {counts['occurrence']}", ("", "customers", "left"), rows)
    reached = ", ".join(f"{number(people)} by {channel}" for channel, people in counts["channels"].items())
    out.print(f"Both arms may be reached: {reached}.", soft_wrap=True)
    out.print(effect_words(counts["effect"]), soft_wrap=True)


def effect_words(effect: Result) -> str:
    lift, rate = effect["smallest_lift"], effect["rate"]
    groups = f"{number(effect['treated'])} treated and {number(effect['controls'])} controls"
    if lift is None:
        return f"With {groups} no effect can be seen; a larger audience or control.share would show one."
    relative = f", {percent(lift / rate)} more than anyway" if rate else ""
    return (
        f"With {groups}, of whom {percent(rate)} buy within {effect['days']} days anyway, a rise by "
        f"{number(100 * lift)} points{relative} is seen in 4 of 5 cases (5% two-sided); a smaller one may be missed."
    )


def show_explanation(explanation: Result) -> None:
    out.print(explanation["text"])
    rows = [[row["offer_id"], row["title"], *worth_of(row), row["reason"]] for row in explanation["offers"]]
    if rows:
        show("", explanation["header"], rows)
    items = [
        [
            row["title"],
            ", ".join(row["items"]),
            row["reason"],
            ", ".join(f"{driver['title']} (+{number(driver['contribution'])})" for driver in row["because"]) or "–",
        ]
        for row in explanation["items"]
    ]
    if items:
        show("", explanation["items_header"], items)


def worth_of(row: Result) -> tuple[str, str]:
    """The chance and the value of an offer for a customer; none where they may not get it."""
    return ("–", "–") if row["value"] is None else (percent(row["propensity"]), rupiah(row["value"]))


def percent(share: float) -> str:
    return f"{number(100.0 * share)}%"


def gap(certificate: Result) -> str:
    return percent(certificate["gap"])


def age(table: Result) -> str:
    if table["age_days"] is None:
        return "–"
    return f"{number(round(table['age_days']))} days{', stale' if table['stale'] else ''}"


def day(instant: str | None, zone: str) -> str:
    """The day in a time zone of an instant in ISO 8601."""
    return f"{datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)):%Y-%m-%d}" if instant else "–"
