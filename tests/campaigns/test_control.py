"""Who is kept out, and how small an effect that lets us see."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.control import Controls, campaign_salt, global_salt, in_group, smallest_lift

PEOPLE = [f"c{n}" for n in range(20_000)]


def test_a_group_grows_with_its_share_and_keeps_its_members() -> None:
    salt = global_salt("toko", "2026-h1")
    small, large = (np.array(in_group(PEOPLE, salt, share)) for share in (0.05, 0.10))
    assert large[small].all()
    assert abs(large.mean() - 0.10) < 0.007


def test_a_new_season_draws_anew_and_campaigns_draw_by_salts_of_their_own() -> None:
    salts = [global_salt("toko", "2026-h1"), global_salt("toko", "2026-h2"), campaign_salt("toko", "harbolnas"),
             campaign_salt("toko", "2026-h1")]  # fmt: skip
    groups = np.array([in_group(PEOPLE, salt, 0.2) for salt in salts]).astype(float)
    assert np.abs(np.corrcoef(groups) - np.eye(4)).max() < 0.03


@pytest.mark.parametrize("wrong", [{"global_share": 0.005}, {"global_share": 0.16}, {"season": "Musim 1"}])
def test_the_global_group_is_nobody_or_1_to_15_percent(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        Controls.model_validate(wrong)


def test_the_smallest_lift_is_that_of_published_tables() -> None:
    """10% against 15%, at 5% two-sided and a power of 80%, without continuity correction: 686 in each group."""
    assert math.isclose(smallest_lift(686, 686, 0.10), 0.05, rel_tol=0.005)


def test_a_lift_is_seen_as_often_as_the_power_says() -> None:
    random = np.random.default_rng(1)
    treated, controls, rate = 9000, 1000, 0.2
    lift = smallest_lift(treated, controls, rate)
    a = random.binomial(treated, rate + lift, 20_000) / treated
    b = random.binomial(controls, rate, 20_000) / controls
    pooled = (treated * a + controls * b) / (treated + controls)
    z = (a - b) / np.sqrt(pooled * (1 - pooled) * (1 / treated + 1 / controls))
    assert abs((z > 1.959964).mean() - 0.8) < 0.02


def test_with_nobody_in_a_group_or_too_few_no_lift_is_seen() -> None:
    assert smallest_lift(1000, 0, 0.1) is None
    assert smallest_lift(3, 1, 0.9) is None


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 0.95))
def test_more_people_see_smaller_lifts(treated: int, controls: int, rate: float) -> None:
    few, more = smallest_lift(treated, controls, rate), smallest_lift(2 * treated, 2 * controls, rate)
    assert few is None or (more is not None and 0 < more <= few <= 1 - rate)
