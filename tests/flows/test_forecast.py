"""A forecast is what a run would do, and writes none; more budget is never worth less."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from flows.forecast import FACTORS, forecast_campaign
from flows.workspace import Workspace, folder_digest


@pytest.fixture(scope="module")
def forecast(shop, tmp_path_factory):
    """(the shop, the forecast of its campaign); the shop's runs are gone, and none has come."""
    root = tmp_path_factory.mktemp("forecast") / "shop"
    shutil.copytree(shop.workspace.root, root, symlinks=True)
    copied = replace(shop, workspace=Workspace(root))
    before = folder_digest(root / "runs")
    found = forecast_campaign(copied.workspace, copied.settings, "panen", copied.as_of, "id")
    assert folder_digest(root / "runs") == before
    return copied, found


def test_it_expects_what_the_run_of_the_same_instant_expects(shop, forecast):
    _, found = forecast
    run = shop.manifest
    for key in ("channels", "budgets", "offers", "occurrence", "as_of"):
        assert found[key] == run[key]
    assert found["certificate"]["value"] == run["certificate"]["value"]


def test_it_says_what_half_to_twice_the_budget_would_change(forecast):
    _, found = forecast
    curve = found["curve"]
    assert [row["factor"] for row in curve] == list(FACTORS) == [0.5, 0.75, 1.0, 1.5, 2.0]
    stated = next(row for row in curve if row["factor"] == 1.0)
    assert stated["budget"] == 162_000
    assert stated["value"] == found["certificate"]["value"]
    for row in curve:
        assert row["budget"] == round(row["factor"] * 162_000)
        assert row["spend"] <= row["budget"]
        assert row["value"] <= row["bound"] * (1 + 1e-9)
    for less, more in pairwise(curve):
        assert less["bound"] <= more["bound"] * (1 + 1e-6)
        assert less["value"] <= more["bound"]
        # At the prices of the one, the bound of the other is never lower than its own.
        assert more["bound"] <= less["bound"] + less["slope"] * (more["budget"] - less["budget"]) + 1
    assert "retailer" in curve[0]["binding"]
    assert curve[0]["slope"] > curve[-1]["slope"]


def test_it_is_written_as_a_page_that_needs_nothing_and_as_figures(forecast):
    _, found = forecast
    page, figures = found["wrote"]
    with open(figures, encoding="utf-8") as file:
        assert json.load(file) == {key: value for key, value in found.items() if key != "wrote"}
    with open(page, encoding="utf-8") as file:
        html = file.read()
    HTMLParser().feed(html)
    assert "<svg" in html
    assert "Nilai menurut anggaran" in html
    assert not re.findall(r"<(?:script|link|img|iframe)", html)


def test_it_speaks_english_too_and_the_same_forecast_gives_the_same_bytes(forecast):
    shop, found = forecast
    again = forecast_campaign(shop.workspace, shop.settings, "panen", shop.as_of, "en")
    assert {**again, "wrote": None} == {**found, "wrote": None}
    with open(again["wrote"][0], encoding="utf-8") as file:
        assert "Value against budget" in file.read()


def test_budgets_that_cannot_pay_for_what_is_guaranteed_are_named_and_the_others_forecast(copied):
    copied.edit_campaign("quota: {redeemed: 9}", "quota: {redeemed: 9}\n    minimum: {redeemed: 4}")
    found = forecast_campaign(copied.workspace, copied.settings, "panen", copied.as_of, "en")
    assert [row["factor"] for row in found["unmet"]] == [0.5]
    assert [row["factor"] for row in found["curve"]] == list(FACTORS[1:])
    assert 0.5 < found["unmet"][0]["share"] < 1
    with open(found["wrote"][0], encoding="utf-8") as file:
        assert "With a budget of Rp81,000 (× 0.5) the guarantees cannot be met" in file.read()
