"""Turns: nobody before their time, and in no wave more than it takes."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.delivering.settings import Waves
from flows.delivering.waves import MINUTE, by_wave, turns

TIMES = st.lists(st.integers(0, 300), min_size=0, max_size=60)


@given(TIMES, st.integers(1, 7), st.integers(1, 60), st.integers(0, 200))
def test_no_wave_takes_more_than_it_may_and_nobody_goes_before_their_time(minutes, most, span, start):
    after = np.array(minutes, np.int64) * MINUTE
    due = turns(after, np.zeros(len(after), np.int64), start * MINUTE, Waves(messages=most, minutes=span))
    assert (due >= after).all()
    assert (due >= start * MINUTE).all()
    waves = Counter(((due - start * MINUTE) // (span * MINUTE)).tolist())
    assert all(n <= most for n in waves.values())


@given(TIMES, st.integers(1, 7), st.integers(1, 60))
def test_waves_leave_no_room_behind_that_somebody_waiting_could_have_had(minutes, most, span):
    after = np.array(minutes, np.int64) * MINUTE
    due = turns(after, np.zeros(len(after), np.int64), 0, Waves(messages=most, minutes=span))
    waves = Counter((due // (span * MINUTE)).tolist())
    for own, turn in zip((after // (span * MINUTE)).tolist(), (due // (span * MINUTE)).tolist(), strict=True):
        assert all(waves[wave] == most for wave in range(own, turn))


def test_without_waves_each_goes_at_its_own_time_block_by_block():
    after = np.array([5, 0, 0, 9], np.int64) * MINUTE
    due = turns(after, np.array([0, 0, 1, 1]), 2 * MINUTE, None)
    assert due.tolist() == [5 * MINUTE, 2 * MINUTE, 2 * MINUTE + 1, 9 * MINUTE + 1]


def test_waves_are_told_by_their_beginning_and_channel():
    due = np.array([0, 1, 2, 2], np.int64) * 15 * MINUTE
    told = by_wave(due, ["email", "push", "email", "email"], 0, Waves(messages=9, minutes=15))
    assert told == [(0, "email", 1), (15 * MINUTE, "push", 1), (30 * MINUTE, "email", 2)]
