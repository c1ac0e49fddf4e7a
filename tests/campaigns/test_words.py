import re
from datetime import UTC, datetime
from string import Formatter

import pytest
from babel.numbers import format_currency
from hypothesis import given
from hypothesis import strategies as st

from campaigns.offer import Offer, Quota
from campaigns.words import (
    called,
    clock_words,
    count,
    languages,
    load_words,
    number,
    offer_words,
    one_line,
    register_of,
    reviewer,
    rupiah,
    shorten,
    tame,
    until_words,
    zone_of,
)

MIDNIGHT_IN_JAKARTA = datetime(2017, 12, 24, 17, tzinfo=UTC)


def offer(benefit, *, min_spend=50_000, quota=None, scope=None):
    return Offer.model_validate(
        {
            "id": "kopi",
            "benefit": benefit,
            "scope": scope or {"categories": ["Grocery > Kopi", "Grocery > Teh"]},
            "min_spend": min_spend,
            "quota": quota,
            "uplift": 0.3,
            "text": {"id": {"title": "Kopi"}},
        }
    )


@given(st.integers(-(10**15), 10**15))
def test_rupiah_agrees_with_babel(amount):
    assert rupiah(amount) == format_currency(
        amount, "IDR", format="¤#,##0", locale="id_ID", currency_digits=False
    ).replace("\xa0", "")


@pytest.mark.parametrize(
    ("value", "indonesian", "english"), [(20.0, "20", "20"), (12.5, "12,5", "12.5"), (100.0, "100", "100")]
)
def test_numbers_have_the_decimal_mark_of_the_language_and_no_empty_decimals(value, indonesian, english):
    assert (number(value, "id"), number(value, "en")) == (indonesian, english)


def test_whole_numbers_are_grouped_as_the_language_does():
    assert [count(1_234_567, language) for language in languages()] == [
        "1,234,567" if language == "en" else "1.234.567" for language in languages()
    ]
    assert count(999, "id") == "999"


@pytest.mark.parametrize(
    ("zone", "indonesian", "english"),
    [
        ("Asia/Jakarta", "24 Desember 2017 pukul 23.59 WIB", "24 December 2017, 23:59 WIB"),
        ("Asia/Pontianak", "24 Desember 2017 pukul 23.59 WIB", "24 December 2017, 23:59 WIB"),
        ("Asia/Makassar", "25 Desember 2017 pukul 00.59 WITA", "25 December 2017, 00:59 WITA"),
        ("Asia/Jayapura", "25 Desember 2017 pukul 01.59 WIT", "25 December 2017, 01:59 WIT"),
        ("Asia/Kolkata", "24 Desember 2017 pukul 22.29 UTC+5:30", "24 December 2017, 22:29 UTC+5:30"),
        ("America/New_York", "24 Desember 2017 pukul 11.59 UTC-5", "24 December 2017, 11:59 UTC-5"),
    ],
)  # fmt: skip
def test_an_end_is_told_as_the_last_minute_in_the_readers_zone(zone, indonesian, english):
    said = [until_words(MIDNIGHT_IN_JAKARTA, zone, language).replace("\xa0", " ") for language in ("id", "en")]
    days = {"24": ("Minggu", "Sunday"), "25": ("Senin", "Monday")}[indonesian[:2]]
    assert said == [f"Sampai {days[0]}, {indonesian}", f"Until {days[1]}, {english}"]


@pytest.mark.parametrize(
    ("zone", "home", "said"),
    [
        ("Asia/Jakarta", "Asia/Jakarta", "00.00 WIB"),
        ("Asia/Pontianak", "Asia/Jakarta", "00.00 WIB"),
        ("Asia/Jayapura", "Asia/Jakarta", "00.00 WIB / 02.00 WIT"),
        ("Asia/Makassar", "Asia/Jakarta", "00.00 WIB / 01.00 WITA"),
        ("Asia/Jayapura", "Asia/Jayapura", "02.00 WIT"),
    ],
)
def test_a_sale_begins_at_one_instant_told_at_home_and_in_the_readers_time(zone, home, said):
    begins = datetime(2026, 12, 11, 17, tzinfo=UTC)
    assert clock_words(begins, zone, home, "id").replace("\xa0", " ") == said
    assert clock_words(begins, zone, home, "en").replace("\xa0", " ") == said.replace(".", ":")


@pytest.mark.parametrize(
    ("terms", "indonesian", "english"),
    [
        ({"per_customer": 1}, "maks. 1× per pelanggan", "max. 1× per customer"),
        ({"combinable": False}, "tidak bisa digabung dengan promo lain", "not to be combined with other offers"),
        ({"combinable": True}, "bisa digabung dengan promo lain", "may be combined with other offers"),
        ({"payment_methods": ["QRIS", "kartu Mitra"]}, "dengan QRIS atau kartu Mitra", "paying by QRIS or kartu Mitra"),
        ({"delivery": ["pickup"]}, "ambil di toko", "collect in store"),
        ({"delivery": ["digital", "pickup"]}, "dikirim secara digital atau ambil di toko", "delivered digitally or"),
    ],
)
def test_the_terms_say_what_the_offer_asks(terms, indonesian, english):
    stated = offer({"kind": "amount_off", "amount": 5000}).model_copy(update=terms)
    assert indonesian in offer_words(stated, "id")["terms"]
    assert english in offer_words(stated, "en")["terms"]


@pytest.mark.parametrize("terms", [{"per_unit": 2.0}, {"quota": Quota(sent=3)}, {"quota": Quota(redeemed=3)}])
def test_what_is_scarce_holds_while_the_quota_lasts(terms):
    scarce = offer({"kind": "amount_off", "amount": 5000}).model_copy(update=terms)
    assert offer_words(scarce, "id")["quota"] == "Selama kuota masih ada"
    assert offer_words(offer({"kind": "amount_off", "amount": 5000}), "id")["quota"] == ""


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "../../etc/passwd", "\x00"])
def test_an_unknown_zone_is_jakarta(zone):
    assert zone_of(zone) == "Asia/Jakarta"


@pytest.mark.parametrize(
    ("name", "salutation", "indonesian", "english"),
    [
        ("Siti Nurhaliza", "Ibu", "Ibu Siti Nurhaliza", "Siti Nurhaliza"),
        ("Suharto", None, "Kak Suharto", "Suharto"),
        (None, "Bapak", "Bapak", "dear customer"),
        (None, None, "Kak", "dear customer"),
        ("Ibu Siti", "Ibu", "Ibu Siti", "Ibu Siti"),
        ("Ibunda Ratu", "Ibu", "Ibu Ibunda Ratu", "Ibunda Ratu"),
        ("  Budi\n Santoso ", "Bapak", "Bapak Budi Santoso", "Budi Santoso"),
    ],
)
def test_a_customer_is_called_by_salutation_and_name(name, salutation, indonesian, english):
    assert (called(name, salutation, "id"), called(name, salutation, "en")) == (indonesian, english)


def test_benefit_and_terms_in_one_line():
    coffee = offer({"kind": "percent_off", "percent": 20.0, "max_discount": 30_000})
    assert offer_words(coffee, "id")["summary"] == "Diskon 20%, maks. Rp30.000, min. belanja Rp50.000"
    assert offer_words(coffee, "en")["summary"] == "20% off, max. Rp30.000, min. spend Rp50.000"


@pytest.mark.parametrize(
    ("benefit", "summary"),
    [
        ({"kind": "percent_off", "percent": 12.5}, "Diskon 12,5%, min. belanja Rp50.000"),
        ({"kind": "amount_off", "amount": 25_000}, "Potongan Rp25.000, min. belanja Rp50.000"),
        (
            {"kind": "cashback", "percent": 10.0, "max_discount": 20_000},
            "Cashback 10%, maks. Rp20.000, min. belanja Rp50.000",
        ),
        ({"kind": "free_shipping", "amount": 20_000}, "Gratis ongkir hingga Rp20.000, min. belanja Rp50.000"),
        ({"kind": "points_multiplier", "factor": 2.0}, "Poin 2×, min. belanja Rp50.000"),
        ({"kind": "installment_0", "months": 6, "fee_percent": 3.0}, "Cicilan 0% 6 bulan, min. belanja Rp50.000"),
    ],
)
def test_every_kind_of_benefit_has_words(benefit, summary):
    assert offer_words(offer(benefit), "id")["summary"] == summary
    assert all(offer_words(offer(benefit), language)["figure"] for language in languages())


def test_no_minimum_and_a_quota_are_said():
    said = offer_words(offer({"kind": "amount_off", "amount": 5_000}, min_spend=0, quota={"redeemed": 10}), "id")
    assert (said["terms"], said["quota"]) == ("Tanpa minimum belanja", "Selama kuota masih ada")
    assert offer_words(offer({"kind": "amount_off", "amount": 5_000}), "id")["quota"] == ""


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"categories": ["Grocery > Kopi"]}, "Kopi"),
        ({"categories": ["Grocery > Kopi", "Grocery > Teh"], "brands": ["Maicih"]}, "Kopi, Teh dan Maicih"),
        ({"categories": list("abcde")}, "produk pilihan"),
        ({"items": ["1", "2"]}, "produk pilihan"),
        ({"green": True}, "produk bertanda hijau"),
        ({"green": True, "brands": ["Maicih"]}, "produk pilihan"),
        ({"everything": True}, "semua produk, kecuali susu formula bayi, rokok, minuman beralkohol, dan obat"),
    ],
)
def test_a_scope_is_named_with_what_it_leaves_out(scope, words):
    assert offer_words(offer({"kind": "amount_off", "amount": 5_000}, scope=scope), "id")["scope"] == words


NAMES = {"id": {"Grocery > Kopi": "Kopi bubuk"}, "en": {"Grocery > Kopi": "Coffee", "Grocery > Teh": "Tea"}}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("id", "Kopi bubuk dan Teh"),
        ("en", "Coffee and Tea"),
        ("jv", "Kopi bubuk saha Teh"),
        ("su", "Kopi bubuk sareng Teh"),
    ],
)
def test_a_category_is_called_in_the_reader_s_language_else_in_indonesian_else_as_in_the_catalogue(language, said):
    assert offer_words(offer({"kind": "amount_off", "amount": 5_000}), language, NAMES)["scope"] == said


def test_categories_that_are_called_alike_are_named_once():
    names = {"id": {"Grocery > Kopi": "Minuman", "Grocery > Teh": "Minuman"}}
    assert offer_words(offer({"kind": "amount_off", "amount": 5_000}), "id", names)["scope"] == "Minuman"


FAMILIES = {"jv": "jv-ngoko", "su": "su-loma"}


def phrases(node, path=""):
    """Place → phrase of everything that is said; what says how (locale, reviewer, salutations) is left out."""
    if isinstance(node, dict | list):
        entries = enumerate(node) if isinstance(node, list) else node.items()
        return {place: said for name, value in entries for place, said in phrases(value, f"{path}.{name}").items()}
    return {} if path.startswith((".reviewer", ".locale", ".salutations")) else {path: node}


def test_all_languages_have_the_same_words_with_the_same_blanks():
    def blanks(language):
        return {
            path: {name for _, name, _, _ in Formatter().parse(re.sub("{{.*?}}", "", phrase)) if name}
            for path, phrase in phrases(load_words(language)).items()
        }

    forms_of_address = (".called", ".called_nameless", ".greeting", ".greeting_nameless")  # differ between languages
    expected = blanks("id")
    for language in languages():
        found = blanks(language)
        assert found.keys() == expected.keys()
        assert [path for path in found if found[path] != expected[path] and path not in forms_of_address] == []


@pytest.mark.parametrize("language", languages())
def test_no_phrase_of_a_language_is_empty_but_the_salutation_that_english_lacks(language):
    empty = [path for path, phrase in phrases(load_words(language)).items() if not phrase.strip()]
    assert empty == ([".salutation"] if language == "en" else [])


@pytest.mark.parametrize("language", languages())
def test_every_language_says_who_has_reviewed_its_words(language):
    assert "reviewer" in load_words(language)
    assert reviewer(language) is None or reviewer(language).strip()


@pytest.mark.parametrize(("polite", "familiar"), FAMILIES.items())
def test_the_registers_of_a_language_do_not_borrow_from_each_other(polite, familiar):
    you = {"jv": ("panjenengan", "kowe"), "su": ("palay", "hayang")}[polite]
    for language, (own, other) in ((polite, you), (familiar, you[::-1])):
        said = " ".join(phrases(load_words(language)).values()).casefold()
        assert own in said
        assert other not in said


@pytest.mark.parametrize(
    ("stated", "language"),
    [
        ("id", "id"), ("ID", "id"), ("id-ID", "id"), ("en_US", "en"), (" en ", "en"),
        ("jv", "jv"), ("jv-krama", "jv"), ("jv_ID", "jv"), ("jv-ngoko", "jv-ngoko"), ("JV-Ngoko", "jv-ngoko"),
        ("su", "su"), ("su-lemes", "su"), ("su-loma", "su-loma"), ("su-loma-ID", "su-loma"),
        ("jv-kasar", ""), ("su-krama", ""), ("min", ""), ("../id", ""), ("", ""), (None, ""),
    ],
)  # fmt: skip
def test_a_stated_language_is_polite_unless_the_familiar_register_was_chosen(stated, language):
    assert register_of(stated) == language


@pytest.mark.parametrize(
    ("name", "salutation", "called_in"),
    [
        ("Siti", "Ibu", {"jv": "Ibu Siti", "su": "Ibu Siti", "jv-ngoko": "Ibu Siti", "su-loma": "Ibu Siti"}),
        ("Joko", "Bapak", {"jv": "Bapak Joko", "su": "Bapa Joko"}),
        ("Joko", "Pak", {"jv": "Bapak Joko", "su": "Bapa Joko"}),
        ("Bapak Joko", "Bapak", {"id": "Bapak Joko", "su": "Bapa Joko"}),
        ("Ayu", "Kak", {"jv": "Sedherek Ayu", "su": "Sadérék Ayu", "jv-ngoko": "Dulur Ayu", "su-loma": "Dulur Ayu"}),
        ("Ayu", "Mbak", {"jv": "Mbak Ayu", "su": "Mbak Ayu"}),
        ("Asep", "Akang", {"su": "Akang Asep"}),
        (None, None, {"jv": "Sedherek", "su": "Sadérék", "jv-ngoko": "Dulur", "su-loma": "Dulur"}),
        (None, "Ibu", {"jv": "Ibu", "su": "Ibu"}),
    ],
)
def test_a_salutation_is_the_language_s_own_where_it_has_one(name, salutation, called_in):
    assert {language: called(name, salutation, language) for language in called_in} == called_in


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("jv", "Ngantos dinten Ahad, 24 Desember 2017 tabuh 23.59 WIB"),
        ("jv-ngoko", "Nganti dina Ahad, 24 Desember 2017 jam 23.59 WIB"),
        ("su", "Dugi ka dinten Minggu, 24 Désémber 2017 tabuh 23.59 WIB"),
        ("su-loma", "Nepi ka poé Minggu, 24 Désémber 2017 jam 23.59 WIB"),
    ],
)
def test_an_end_is_told_in_the_language_s_own_days_and_months(language, said):
    assert until_words(MIDNIGHT_IN_JAKARTA, "Asia/Jakarta", language).replace("\xa0", " ") == said


# --- text ------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=300), st.integers(20, 120))
def test_shortened_text_keeps_its_limit_and_its_beginning(text, limit):
    short = shorten(text, limit)
    assert len(short) <= limit
    assert text.startswith(short) or (short.endswith("…") and text.startswith(short[:-1].removesuffix("\u2069")))


def test_text_is_cut_between_words():
    assert shorten("Potongan harga untuk kopi pagi Anda", 20) == "Potongan harga…"
    assert shorten("Potongan harga untuk", 20) == "Potongan harga untuk"


def test_a_cut_leaves_emoji_and_accents_whole():
    family = "👨\u200d👩\u200d👧"
    assert shorten(family * 10, 24) in {family * count + "…" for count in range(1, 5)}
    assert shorten("👍🏽" * 20, 20) == "👍🏽" * 9 + "…"
    assert shorten("e\u0301" * 30, 20) == "e\u0301" * 9 + "…"


def test_a_cut_closes_what_isolates_right_to_left_letters():
    name = tame("محمد عبد الرحمن الطيب", 100)
    short = shorten(f"Kak {name}, kopi pagi jadi lebih hemat", 20)
    assert short.count("\u2068") == short.count("\u2069") == 1


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(10, 200))
def test_tamed_text_is_one_line_with_balanced_directions(text, limit):
    line = tame(text, limit)
    assert len(line) <= limit
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066\u2067]", line)
    assert line.count("\u2068") == line.count("\u2069") <= 1
    assert len(line.splitlines()) <= 1


@given(st.text(alphabet=st.characters(), max_size=400))
def test_one_line_holds_nothing_that_a_header_refuses(text):
    assert not any(letter in one_line(text) for letter in "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
    assert one_line(one_line(text)) == one_line(text)


def test_letters_that_turn_text_around_are_dropped():
    assert tame("Budi\u202egnp.exe\u2066") == "Budignp.exe"
