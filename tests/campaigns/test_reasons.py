import pytest

from campaigns.reasons import Reason, read_reason, rhythm_words, segment_words

CODES = [
    "repeat",
    "repeat:24:22",
    "because:a:b&c=d",
    "popular",
    "popular:tier=gold&city=Kota+Batu&age=25-34",
]


@pytest.mark.parametrize("code", CODES)
def test_a_code_that_is_read_is_written_alike(code):
    assert read_reason(code).code == code


def test_values_of_a_segment_may_hold_anything():
    segment = {"tier": "a=b&c", "city": "D.I. Yogyakarta: kota"}
    assert read_reason(Reason("popular", segment=segment).code).segment == segment


@pytest.mark.parametrize("code", ["", "unknown", "because", "because:"])
def test_a_code_that_says_nothing_is_popular(code):
    assert read_reason(code).code == "popular"


@pytest.mark.parametrize(
    ("every", "since", "indonesian", "english"),
    [
        (24, 22, "setiap 24 hari, terakhir 22 hari lalu", "every 24 days, last 22 days ago"),
        (1, 0, "setiap hari, terakhir hari ini", "every day, last today"),
        (7, 1, "setiap 7 hari, terakhir kemarin", "every 7 days, last yesterday"),
    ],
)
def test_a_rhythm_is_said_in_days(every, since, indonesian, english):
    reason = Reason("repeat", every=every, since=since)
    assert rhythm_words(reason, "id") == f"Anda membelinya kira-kira {indonesian}"
    assert rhythm_words(reason, "en") == f"you buy this about {english}"
    assert rhythm_words(reason, "en", "Kopi") == f"You buy Kopi about {english.partition(',')[0]}"


@pytest.mark.parametrize(
    ("segment", "indonesian", "english"),
    [
        ({"tier": "gold"}, "populer di kalangan anggota gold", "popular with gold members"),
        (
            {"tier": "gold", "city": "Bandung"},
            "populer di kalangan anggota gold di Bandung",
            "popular with gold members in Bandung",
        ),
        ({"city": "Bandung"}, "populer di kalangan pelanggan di Bandung", "popular with customers in Bandung"),
        (
            {"age": "-25"},
            "populer di kalangan pelanggan berusia di bawah 25 tahun",
            "popular with customers aged under 25",
        ),
        (
            {"age": "25-34"},
            "populer di kalangan pelanggan berusia 25–34 tahun",
            "popular with customers aged 25–34",
        ),
        (
            {"tier": "gold", "age": "55-"},
            "populer di kalangan anggota gold berusia 55 tahun ke atas",
            "popular with gold members aged 55 and over",
        ),
        ({}, "banyak dibeli pelanggan lain", "many other customers buy this"),
    ],
)
def test_a_segment_is_said_as_far_as_it_is_known(segment, indonesian, english):
    assert segment_words(segment, "id") == indonesian
    assert segment_words(segment, "en") == english


def test_a_language_without_words_here_gets_indonesian_ones():
    assert segment_words({}, "su-lemes") == segment_words({}, "id")
