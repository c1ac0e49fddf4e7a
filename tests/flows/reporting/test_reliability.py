"""The plot of what was predicted and what came."""

import xml.etree.ElementTree as ET

import pytest

from flows.reporting.reliability import reliability_plot
from flows.reporting.words import load_words

ROWS = [{"predicted": 0.002 * 2**k, "observed": 0.0018 * 2**k, "pairs": 100, "buyers": k} for k in range(8)]


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_dot_for_each_decile_and_a_text_that_says_the_same(language):
    words = load_words(language)
    plot = str(reliability_plot(words, {"reliability": ROWS}))
    root = ET.fromstring(plot)  # noqa: S314 (our own)
    assert root.get("role") == "img"
    assert root.get("aria-label").count("→") == len(ROWS)
    assert words.texts["predicted"] in plot
    assert words.percent(0.1) in plot


def test_nobody_in_a_decile_buying_is_drawn_at_the_edge():
    assert reliability_plot(load_words("en"), {"reliability": [{**ROWS[0], "observed": 0.0}]})


def test_the_same_figures_give_the_same_bytes():
    assert reliability_plot(load_words("en"), {"reliability": ROWS}) == reliability_plot(
        load_words("en"), {"reliability": ROWS}
    )


def test_without_figures_there_is_no_plot():
    assert reliability_plot(load_words("en"), None) is None
