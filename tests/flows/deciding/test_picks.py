"""Which items stand in an offer."""

import pytest

from flows.deciding.picks import ITEMS_PER_OFFER, told_apart

TITLES = {"a": "kopi", "b": "kopi", "c": "teh", "d": "gula", "e": "beras", "f": "garam"}


@pytest.mark.parametrize(
    ("items", "shown"),
    [
        ("abc", "ac"),
        ("bac", "bc"),
        ("abcdef", "acde"),
        ("aaa", "a"),
        ("", ""),
        ("xyx", "xy"),  # no title is known: told by their ids
    ],
)
def test_of_items_with_one_title_the_best_is_shown_and_no_more_than_fit(items, shown):
    assert told_apart(list(items), TITLES) == list(shown)
    assert len(shown) <= ITEMS_PER_OFFER
