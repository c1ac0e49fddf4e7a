"""Plots as inline SVG: text stays text, colours follow the page, and the same figures give the same bytes."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-ins that no plot uses otherwise; the page's own colours take their place, so that dark mode works.
INK, FAINT, OURS, OTHERS = "#010203", "#010204", "#010205", "#010206"
PAGE_COLOURS = {INK: "var(--ink)", FAINT: "var(--line)", OURS: "var(--ours)", OTHERS: "var(--others)"}


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval."""

    label: str
    mean: float
    low: float
    high: float
    ours: bool = False


def intervals(name: str, rows: Sequence[Interval], show: Callable[[float], str], alt: str) -> Markup:
    """Dots with their intervals on an axis from zero, one line for each row, the first on top.

    name: sets this plot's ids apart from those of others on the page. show: writes a figure of the axis.
    """
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "larisma", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(4.4, 0.56 * len(rows) + 0.5), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.012, 0.34 / figure.get_figheight(), 0.976, 1 - 0.36 / figure.get_figheight()))
        for line, row in enumerate(rows):
            y, colour = len(rows) - line - 1, OURS if row.ours else OTHERS
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=3.5, solid_capstyle="round", alpha=0.45)
            axes.plot([row.mean], [y], "o", color=colour, markersize=9)
            axes.annotate(row.label, (0, y), xytext=(0, 9), textcoords="offset points", fontsize=11, color=INK)
            axes.annotate(
                show(row.mean), (1, y), xycoords=("axes fraction", "data"), xytext=(0, 9), textcoords="offset points",
                fontsize=11, color=INK, weight="bold", ha="right",
            )  # fmt: skip
        axes.set_xlim(0, max(*(row.high for row in rows), 1e-9) * 1.06)
        axes.set_ylim(-0.45, len(rows) - 0.35)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(lambda value, _: show(value))
        axes.yaxis.set_visible(False)
        axes.tick_params(colors=INK, labelsize=9.5, length=0)
        axes.get_xticklabels()[0].set_horizontalalignment("left")  # the zero stands at the sheet's edge
        axes.grid(axis="x", color=FAINT, linewidth=1)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        return inline(figure, name, alt)


def inline(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as an <svg> element to stand inside a page."""
    sheet = io.StringIO()
    figure.savefig(sheet, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = sheet.getvalue()
    svg = svg[svg.index("<svg") :]
    for mark in (' id="', "url(#", 'href="#'):
        svg = svg.replace(mark, f"{mark}{name}-")
    for stand_in, colour in PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    return Markup(svg)  # noqa: S704 (made above from our own figure)
