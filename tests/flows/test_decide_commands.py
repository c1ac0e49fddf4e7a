"""`larisma decide --date` and `larisma forecast`: what they print, what they write, and what they refuse."""

import json
from datetime import date, datetime

import pytest

import flows.decide
from flows.campaign_files import load_campaigns
from flows.cli import run
from flows.decide import decide_night
from flows.deciding.due import due_on


def call(capsys, *words):
    """(exit code, standard output, standard error)"""
    capsys.readouterr()
    code = run([str(word) for word in words])
    return code, *capsys.readouterr()


@pytest.fixture
def plain(copied, monkeypatch):
    """A workspace in which deciding runs as a plain function, without Prefect."""

    def decide_date(root, day, as_of, hindsight):
        at, on = datetime.fromisoformat(as_of), date.fromisoformat(day)
        due = due_on(load_campaigns(copied.workspace), copied.settings, on, at)
        return decide_night(copied.workspace, copied.settings, on, due, at, hindsight=hindsight)

    monkeypatch.setattr(flows.decide, "decide_date", decide_date)
    return copied


def test_a_date_is_decided_with_what_was_known_before_it_and_the_night_is_shown(plain, capsys):
    root = plain.workspace.root
    code, out, _ = call(capsys, "decide", "--date", "2017-12-08", "--workspace", root)
    assert code == 0
    assert "Decided together on 2017-12-08" in out
    assert "left on the table: at most Rp" in " ".join(out.split())
    assert f"wrote {root / 'nights' / '2017-12-08' / 'manifest.json'}" in out
    assert "next: open" in out
    night = json.loads((root / "nights" / "2017-12-08" / "manifest.json").read_text())
    assert night["as_of"] == "2017-12-07T17:00:00+00:00"  # the midnight that begins the day in Jakarta


def test_json_is_the_nights_manifest_and_nothing_else(plain, capsys):
    words = ("decide", "--date", "2017-12-08", "--json", "--workspace", plain.workspace.root)
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert [row["campaign"] for row in json.loads(out)["campaigns"]] == ["panen"]


def test_a_date_on_which_nothing_is_due_says_so(plain, capsys):
    code, out, _ = call(capsys, "decide", "--date", "2017-12-09", "--workspace", plain.workspace.root)
    assert code == 0
    assert "nothing is due on 2017-12-09" in out
    assert "larisma campaign list" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("decide",), "expected either a campaign or --date"),
        (("decide", "panen", "--date", "2017-12-08"), "expected either a campaign or --date"),
        (("decide", "--date", "8 December"), "--date: expected a date such as 2017-12-12, got '8 December'"),
        (("forecast", "pannen"), "did you mean panen?"),
        (("forecast", "panen", "--language", "fr"), "--language: expected id or en, got 'fr'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_exit_2(shop, capsys, words, said):
    code, out, err = call(capsys, *words, "--workspace", shop.workspace.root)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_a_forecast_ends_with_what_it_wrote_and_what_to_do_next(copied, capsys):
    root = copied.workspace.root
    code, out, _ = call(capsys, "forecast", "panen", "--as-of", "2017-12-05T00:00Z", "--workspace", root)
    assert code == 0
    page = root / "forecasts" / "panen" / "20171208t020000z.html"
    assert f"wrote {page}, {page.with_suffix('.json')}; no run, no messages" in out
    assert "Value against budget" in out
    assert f"larisma decide panen --workspace {root}" in out
