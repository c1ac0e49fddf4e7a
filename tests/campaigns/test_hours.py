from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.hours import blocked_windows, friday_prayer, joined, next_free, nyepi_silence, ramadan_evening, sun
from campaigns.places import PROVINCES, place_of, province_named


def local(instant: datetime, zone: str) -> str:
    return f"{instant.astimezone(ZoneInfo(zone)):%d %H:%M}"


def test_there_are_38_provinces_each_with_a_clock_of_indonesia() -> None:
    assert len({province.name for province in PROVINCES}) == 38
    assert {province.zone for province in PROVINCES} == {"Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"}


@pytest.mark.parametrize("name", ["Jakarta", "dki jakarta", "Provinsi DKI Jakarta", "D.K.I. Jakarta"])
def test_a_province_is_known_by_the_names_it_goes_by(name: str) -> None:
    assert province_named(name).name == "DKI Jakarta"


def test_who_has_no_province_is_in_the_middle_of_their_zone() -> None:
    assert place_of(None, "Asia/Jayapura").name == "Papua"
    assert place_of("Atlantis", "Asia/Pontianak").name == "DKI Jakarta"


@pytest.mark.parametrize(
    ("province", "day", "noon", "maghrib"),  # from published prayer times, without their minutes of caution
    [
        ("DKI Jakarta", date(2024, 3, 12), "12:02", "18:06"),
        ("Aceh", date(2024, 6, 21), "12:40", "18:53"),
        ("Papua", date(2024, 12, 21), "11:35", "17:42"),
        ("Bali", date(2024, 3, 12), "12:28", "18:34"),
    ],
)
def test_the_sun_is_where_prayer_times_have_it(province: str, day: date, noon: str, maghrib: str) -> None:
    place = province_named(province)
    for found, published in zip(sun(place, day), (noon, maghrib), strict=True):
        hour, minute = map(int, published.split(":"))
        expected = datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo(place.zone))
        assert abs(found - expected) <= timedelta(minutes=4)


def test_friday_noon_is_on_fridays_alone() -> None:
    jakarta = province_named("DKI Jakarta")
    assert friday_prayer(jakarta, date(2026, 3, 19)) is None
    start, end = friday_prayer(jakarta, date(2026, 3, 20))
    assert local(start, "Asia/Jakarta") < "20 12:00" < "20 12:50" < local(end, "Asia/Jakarta")


@pytest.mark.parametrize("province", [province.name for province in PROVINCES])
def test_the_evening_of_ramadan_covers_sunset_and_tarawih_everywhere(province: str) -> None:
    place = province_named(province)
    start, end = ramadan_evening(place, date(2026, 3, 1))
    assert "01 17:00" < local(start, place.zone) < "01 18:40"
    assert "01 19:40" < local(end, place.zone) < "01 21:30"


def test_nyepi_is_silent_on_bali_until_the_morning_after_and_nowhere_else() -> None:
    start, end = nyepi_silence(province_named("Bali"), date(2026, 3, 19))
    assert (local(start, "Asia/Makassar"), local(end, "Asia/Makassar")) == ("19 00:00", "20 06:00")
    assert nyepi_silence(province_named("Nusa Tenggara Barat"), date(2026, 3, 19)) is None


def test_windows_of_a_day_depend_on_the_place_and_on_ramadan() -> None:
    friday, nyepi = date(2026, 3, 20), date(2026, 3, 19)
    days = {"ramadan": {nyepi, friday}, "nyepi": [nyepi]}
    bali = blocked_windows("Bali", "Asia/Makassar", nyepi, friday, **days)
    assert [local(start, "Asia/Makassar")[:2] for start, _ in bali] == ["19", "20", "20"]  # Nyepi holds that evening
    assert len(blocked_windows("Banten", "Asia/Jakarta", nyepi, friday, **days)) == 3
    assert len(blocked_windows("Bali", "Asia/Makassar", nyepi, friday, prayer=False, **days)) == 1
    assert blocked_windows(None, "Asia/Jakarta", nyepi, nyepi) == []


def test_what_falls_into_a_window_waits_for_its_end() -> None:
    (window,) = blocked_windows(
        "Bali", "Asia/Makassar", date(2026, 3, 19), date(2026, 3, 19), nyepi=[date(2026, 3, 19)]
    )
    assert next_free(window[0] - timedelta(seconds=1), [window]) == window[0] - timedelta(seconds=1)
    assert next_free(window[0], [window]) == window[1]
    assert next_free(window[1], [window]) == window[1]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20))), st.integers(0, 130))
def test_joined_windows_are_apart_and_block_the_same_minutes(parts: list[tuple[int, int]], minute: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    windows = [(start + timedelta(minutes=a), start + timedelta(minutes=a + n)) for a, n in parts]
    apart = joined(windows)
    assert all(one[1] < two[0] for one, two in pairwise(apart))
    instant = start + timedelta(minutes=minute)
    blocked = any(a <= instant < b for a, b in windows)
    assert any(a <= instant < b for a, b in apart) == blocked
    assert not any(a <= next_free(instant, apart) < b for a, b in windows)
