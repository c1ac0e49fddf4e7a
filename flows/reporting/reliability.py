"""Whether chances of buying come true: by decile, what was predicted for a past window and what came."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from flows.reporting.plots import FAINT, INK, OTHERS, OURS, inline
from flows.reporting.words import Words

LEAST = 1e-4  # shares below are drawn at the edge
TICKS = (1e-4, 1e-3, 1e-2, 0.1, 1.0)


def reliability_plot(words: Words, learned: Mapping[str, Any] | None) -> Markup | None:
    """Predicted against observed share on logarithmic axes, with the line where both are alike; None without figures.

    learned: the manifest's `propensity`, see flows.deciding.chances.checked.
    """
    rows = learned["reliability"] if learned else []
    if not rows:
        return None
    points = [(max(row["predicted"], LEAST), max(row["observed"], LEAST)) for row in rows]
    alt = f"{words.texts['chances_title']}: " + "; ".join(
        f"{words.percent(row['predicted'])} → {words.percent(row['observed'])}" for row in rows
    )
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "larisma", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(4.4, 3.4), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.15, 0.17, 0.82, 0.8))
        axes.plot([LEAST, 1], [LEAST, 1], color=OTHERS, linewidth=1.5, alpha=0.6)
        axes.plot(*zip(*points, strict=True), "o", color=OURS, markersize=8)
        for axis, label in ((axes.xaxis, "predicted"), (axes.yaxis, "observed")):
            axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": (LEAST * 0.8, 1.25)})
            axis.set_major_locator(FixedLocator(TICKS))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(lambda value, _: words.percent(value))
            axis.set_label_text(words.texts[label], fontsize=11, color=INK)
        axes.tick_params(colors=INK, labelsize=9.5, length=0)
        axes.grid(color=FAINT, linewidth=1)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        return inline(figure, "chances", alt)
