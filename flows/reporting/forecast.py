"""The forecast of a campaign as one HTML page: what it would do, and its value against its budget."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from campaigns.calendar import occurrence_instant
from flows.reporting.bars import budget_bar, channel_bar, quota_bar, row_bar
from flows.reporting.plots import FAINT, INK, OTHERS, OURS, inline
from flows.reporting.report import TEMPLATES, night_bars
from flows.reporting.words import Words, load_words
from flows.workspace import write_text

Forecast = Mapping[str, Any]


def write_forecast(path: Path, forecast: Forecast, language: str) -> Path:
    """Raises InputError if there are no words in that language."""
    words = load_words(language, forecast["timezone"])
    page = TEMPLATES.get_template("forecast.html.j2").render(
        w=words,
        say=words.say,
        forecast=forecast,
        waiting=", ".join(f"{offer} ({', '.join(names)})" for offer, names in forecast.get("as_if_agreed", {}).items()),
        certificate=forecast["certificate"],
        send_time=occurrence_instant(forecast["occurrence"]),
        as_of=datetime.fromisoformat(forecast["as_of"]),
        spend=sum(budget["used"] for budget in forecast["budgets"]),
        budget=sum(budget["limit"] for budget in forecast["budgets"]),
        messages=sum(channel["sent"] for channel in forecast["channels"].values()),
        limits={
            "budgets": [budget_bar(words, budget) for budget in forecast["budgets"]],
            "capacities": [channel_bar(words, *channel) for channel in sorted(forecast["channels"].items())],
            "quotas": [quota_bar(words, offer) for offer in forecast["offers"] if offer.get("quota")],
            "group_limits": [row_bar(words, row) for row in forecast["limits"]],
            "night_limits": night_bars(words, forecast["night"]),
        },
        plot=value_against_budget(words, forecast["curve"]),
    )
    write_text(path, page)
    return path


def value_against_budget(words: Words, curve: Sequence[Forecast]) -> Markup:
    """The values found, a dot for each budget, under the bound that the shadow prices draw between them."""
    budget = np.array([row["budget"] for row in curve], np.float64)
    value = np.array([row["value"] for row in curve])
    along = np.linspace(budget.min(), budget.max(), 200)
    # At any prices the bound is linear in the budgets: the lowest of the lines is a bound wherever it is.
    ceiling = np.min([row["bound"] + row["slope"] * (along - row["budget"]) for row in curve], axis=0)
    now = next(row for row in curve if row["factor"] == 1.0)
    alt = "; ".join(f"{words.rounded_rupiah(row['budget'])}: {words.rounded_rupiah(row['value'])}" for row in curve)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "larisma", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(9.2, 3.9), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.115, 0.15, 0.865, 0.78))
        axes.plot(along, ceiling, color=OTHERS, linewidth=1.6, linestyle=(0, (5, 4)), label=str(words.texts["bound"]))
        axes.plot(budget, value, color=OURS, linewidth=2.2, label=str(words.texts["value_found"]))
        axes.plot(budget, value, "o", color=OURS, markersize=7)
        axes.axvline(now["budget"], color=INK, linewidth=1, alpha=0.5)
        axes.annotate(
            str(words.texts["stated_budget"]), (now["budget"], 1), xycoords=("data", "axes fraction"),
            xytext=(6, -13), textcoords="offset points", fontsize=10.5, color=INK,
        )  # fmt: skip
        top = float(max(ceiling.max(), value.max()))
        axes.set_ylim(min(0.0, float(value.min())), top * 1.08 if top > 0 else 1.0)
        axes.set_xticks(budget, [words.rounded_rupiah(amount) for amount in budget])
        axes.yaxis.set_major_formatter(lambda amount, _: words.rounded_rupiah(amount))
        axes.tick_params(colors=INK, labelsize=10, length=0)
        axes.grid(color=FAINT, linewidth=1)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        legend = axes.legend(loc="lower right", frameon=False, fontsize=10.5)
        for entry in legend.get_texts():
            entry.set_color(INK)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        return inline(figure, "curve", alt)
