"""When a delivery stops by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.ledger.schema import BOUNCED, FAILED, PENDING, SENT
from flows.delivering.breaker import BOUNCES, WINDOW, Breaker, too_many_complaints


def first_stop(states: list[str]) -> int | None:
    breaker = Breaker("email")
    return next((k for k, state in enumerate(states, 1) if breaker.saw(state)), None)


def test_more_than_five_of_a_hundred_bounces_among_the_newest_five_hundred_stop_it():
    spread = [BOUNCED if k % 20 == 0 else SENT for k in range(1, 1_000)]  # 5% exactly
    assert first_stop(spread) is None
    assert first_stop([*spread, BOUNCED, BOUNCED]) is not None


def test_a_bad_list_stops_it_within_a_hundred_messages():
    assert first_stop([BOUNCED] * 100) == 6
    assert first_stop([SENT, BOUNCED] * 100) == 12


def test_what_is_refused_for_now_or_for_another_reason_does_not_count():
    assert first_stop([PENDING, FAILED] * 500) is None


def test_it_goes_on_where_another_process_has_left_off():
    breaker = Breaker("email", [BOUNCED] * 5 + [SENT] * 20)
    assert breaker.saw(BOUNCED)


@given(st.lists(st.sampled_from([SENT, BOUNCED]), max_size=1_200))
def test_it_stops_at_the_first_message_at_which_the_share_is_too_high(states):
    def too_high(seen: list[str]) -> bool:
        window = seen[-WINDOW:]
        return window.count(BOUNCED) > BOUNCES * max(len(window), 100)

    expected = next((k for k in range(1, len(states) + 1) if too_high(states[:k])), None)
    assert first_stop(states) == expected


@pytest.mark.parametrize(
    ("complaints", "sent", "stops"),
    [
        (0, 5_000, False),
        (1, 999, False),
        (1, 1_000, True),
        (2, 2_001, False),
        (3, 20, True),
        (3, 3_001, False),
        (9, 0, True),
    ],
)
def test_one_in_a_thousand_that_complains_stops_it_once_that_says_something(complaints, sent, stops):
    assert bool(too_many_complaints(complaints, sent)) is stops
