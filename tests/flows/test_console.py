"""What commands print: numbers as people in Indonesia write them, and words from data exactly as they are."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import console, views


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (999, "999"),
        (12345, "12.345"),
        (-1234567, "-1.234.567"),
        (0.4213, "0,421"),
        (8.4791, "8,48"),
        (46.81, "46,8"),
        (1234.56, "1.235"),
        (None, "–"),
    ],
)
def test_a_number_is_written_with_points_for_thousands_and_a_decimal_comma(value, written):
    assert console.number(value) == written


@given(st.integers(-(10**18), 10**18))
def test_a_whole_number_keeps_every_digit(value):
    assert int(console.number(value).replace(".", "")) == value


@pytest.mark.parametrize("words", ["Kopi [promo] 200 g", "Teh [/b]", "[red]Sabun[/red]", ":coffee: [link=x]"])
def test_words_from_data_are_printed_as_they_are_and_never_read_as_markup(capsys, words):
    console.show(words, ("barang", words), [(words, 1), ("Susu", 2)])
    console.finish(f"wrote {words}", [f"open {words}"])
    console.complain(words)
    printed = capsys.readouterr()
    assert printed.out.count(words) == 5
    assert printed.err == f"{words}\n"


def test_the_closing_lines_say_what_was_written_and_what_is_next(capsys):
    console.finish("wrote a/b", ["larisma train", "larisma decide"])
    assert capsys.readouterr().out == "✓ wrote a/b\n  next: larisma train\n  next: larisma decide\n"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part), max_leaves=5))
def test_json_is_printed_as_json_whatever_it_holds(value):
    with console.out.capture() as captured:
        console.print_json({"a": value})
    assert json.loads(captured.get()) == {"a": value}


def test_progress_leaves_no_line_behind_and_no_handler(capsys):
    handlers = list(console.log.handlers)
    with console.progress("decide"):
        logging.getLogger("larisma").info("reading")
    assert console.log.handlers == handlers
    assert "reading" not in capsys.readouterr().out


def test_quiet_progress_prints_nothing(capsys):
    with console.progress("decide", quiet=True):
        logging.getLogger("larisma").info("reading")
    assert capsys.readouterr() == ("", "")


# --- results ---------------------------------------------------------------------------------------------------------


def test_a_run_shows_people_offers_and_money_in_rupiah(shop, capsys):
    views.show_run(shop.manifest)
    printed = capsys.readouterr().out
    for name, people in shop.manifest["funnel"]:
        assert name in printed
        assert console.number(people) in printed
    assert all(offer["offer_id"] in printed for offer in shop.manifest["offers"])
    value = f"{round(shop.manifest['certificate']['value']):,}".replace(",", ".")
    assert f"Expected value Rp{value}" in printed


def test_a_status_of_today_has_an_age_of_nought_days(capsys):
    row = {"table": "purchases", "rows": 3, "newest": "2017-12-05T00:00:00+00:00", "age_days": 0.0, "stale": False}
    row |= {"last_ingest": "2017-12-05T00:00:00+00:00", "reasons": {"future_date": 1200}, "derived": False}
    nothing: dict[str, list] = {"campaigns": [], "runs": [], "deliveries": []}
    views.show_status({"timezone": "Asia/Jakarta", "tables": [row], "model": None, **nothing})
    printed = capsys.readouterr().out
    assert "0 days" in printed
    assert "1.200" in printed
    assert "No model serves yet." in printed
