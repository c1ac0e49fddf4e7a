"""The report of a run says what its manifest says, to anybody, without a network."""

import copy
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import flows.reporting.report
from campaigns.tables import MESSAGES
from flows.reporting.bars import funnel_steps
from flows.reporting.plots import Interval, intervals
from flows.reporting.report import sample_messages, write_report
from flows.reporting.words import load_words
from recsys.tables import InputError

SAMPLE = json.loads((Path(__file__).parent / "report_sample.json").read_text(encoding="utf-8"))  # invented figures
HOSTILE = """</title><script>alert("1")</script>{{ 7 * 7 }}'"&"""


class Page(HTMLParser):
    """What a page's tags name, and the text that a reader sees."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def manifest() -> dict[str, Any]:
    return copy.deepcopy(SAMPLE["manifest"])


@pytest.fixture
def nobody(manifest: dict[str, Any]) -> dict[str, Any]:
    """A run that found nobody to address."""
    for offer in manifest["offers"]:
        offer |= {"decisions": 0, "expected_redemptions": 0.0, "expected_spend": 0, "expected_value": 0}
    zero = dict.fromkeys(("bound", "value", "gap", "left_on_the_table", "worst_violation", "pairs", "pruned"), 0)
    return manifest | {
        "funnel": [["customers", 3], ["no consent", 2], ["no offer worth sending", 1], ["addressed", 0]],
        "channels": {"email": {"sent": 0, "capacity": 10, "price": 0.0}},
        "budgets": [{"funder": "retailer", "limit": 0, "used": 0, "price": 0.0}],
        "certificate": zero,
        "first_come": {"value": 0, "lost": 0},
        "losing_reasons": {},
        "hindsight": {"days": 20, "pairs": 0, "rows": [], "differences": [], "offers": []},
    }


def report(folder: Path, manifest: dict[str, Any], messages: Any = SAMPLE["messages"], language: str = "id") -> str:
    return write_report(folder, manifest, messages, language=language).read_text(encoding="utf-8")


def text(folder: Path, manifest: dict[str, Any], language: str = "id") -> str:
    return Page(report(folder, manifest, language=language)).text


# --- the file --------------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_from_outside_and_no_script_is_needed(tmp_path: Path, manifest: dict[str, Any]) -> None:
    html = report(tmp_path, manifest)
    page = Page(html)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "object", "embed", "base")]
    loaded = [attrs[name] for _, attrs in page.tags for name in ("src", "href", "xlink:href") if name in attrs]
    assert [address for address in loaded if not (address or "").startswith("#")] == []
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []
    policy = next(attrs for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy["content"] or "")  # inherited by the mails shown, pixels and all


def test_the_same_run_gives_the_same_bytes(tmp_path: Path, manifest: dict[str, Any]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    turned_over = pa.Table.from_pylist(SAMPLE["messages"][::-1], schema=MESSAGES.schema)
    assert report(tmp_path / "a", manifest) == report(tmp_path / "b", manifest, turned_over)


@pytest.mark.parametrize("place", ["name", "offer", "funder", "reason", "subject", "shop"])
def test_hostile_names_are_shown_as_text(tmp_path: Path, manifest: dict[str, Any], place: str) -> None:
    messages = copy.deepcopy(SAMPLE["messages"])
    match place:
        case "name":
            manifest["campaign"]["name"] = HOSTILE
        case "offer":
            manifest["offers"][0]["title"] = HOSTILE
        case "funder":
            manifest["budgets"][0]["funder"] = HOSTILE
        case "reason":
            manifest["funnel"][1][0] = HOSTILE
        case "subject":
            messages[0]["subject"] = HOSTILE
        case "shop":
            manifest["shop"] = HOSTILE
    page = Page(report(tmp_path, manifest, messages))
    assert "script" not in [tag for tag, _ in page.tags]
    assert HOSTILE in page.text


def test_a_mail_is_shown_in_a_sandbox_and_keeps_every_character(tmp_path: Path, manifest: dict[str, Any]) -> None:
    messages = copy.deepcopy(SAMPLE["messages"])
    messages[0]["body_html"] += HOSTILE
    frames = [attrs for tag, attrs in Page(report(tmp_path, manifest, messages)).tags if tag == "iframe"]
    assert frames[0]["srcdoc"] == messages[0]["body_html"]
    assert {frame["sandbox"] for frame in frames} == {""}


@pytest.mark.parametrize("language", ["id", "en"])
def test_every_table_column_and_plot_can_be_read_aloud(tmp_path: Path, manifest: dict[str, Any], language: str) -> None:
    page = Page(report(tmp_path, manifest, language=language))
    assert next(attrs for tag, attrs in page.tags if tag == "html")["lang"] == language
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.tags if tag == "th")
    assert all(attrs.get("aria-label") for tag, attrs in page.tags if tag == "svg")
    assert all(attrs.get("title") for tag, attrs in page.tags if tag == "iframe")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_head_says_when_it_is_sent_and_decided_in_words(tmp_path: Path, manifest: dict[str, Any]) -> None:
    said = text(tmp_path, manifest)
    assert "Selasa, 12 Desember 2017, pukul 00.00 WIB" in said
    assert "Selasa, 5 Desember 2017, pukul 00.00 WIB" in said
    said = text(tmp_path, manifest, "en")
    assert "Tuesday, 12 December 2017, at 00:00 WIB" in said


def test_a_send_time_that_hangs_on_an_announcement_is_marked(tmp_path: Path, manifest: dict[str, Any]) -> None:
    note = load_words("id").texts["estimated_note"]
    assert note not in text(tmp_path, manifest)
    assert note in text(tmp_path, manifest | {"estimated": True})


def test_the_value_of_offers_less_the_messages_is_the_value_stated(tmp_path: Path, manifest: dict[str, Any]) -> None:
    said = text(tmp_path, manifest)
    assert "Jumlah 2.104 588,5 Rp11.355.600 Rp12.123.990" in said
    assert "Biaya pesan −Rp58.730 Nilai bersih Rp12.065.260" in said
    del manifest["channels"]["push"]["message_cost"]
    assert "Biaya pesan" not in text(tmp_path, manifest)


def test_money_and_numbers_follow_the_language(tmp_path: Path, manifest: dict[str, Any]) -> None:
    said = text(tmp_path, manifest)
    assert "Rp11.355.600" in said
    assert "2.469 pelanggan = 1.505 dihubungi + 964 tidak dihubungi." in said
    said = text(tmp_path, manifest, "en")
    assert "Rp11,355,600" in said
    assert "2,469 customers = 1,505 addressed + 964 not addressed." in said


def test_every_limit_is_shown_with_what_it_says(tmp_path: Path, manifest: dict[str, Any]) -> None:
    said = text(tmp_path, manifest)
    for sentence in (
        "Rp2.105.150 dari anggaran retailer tidak terpakai.",
        "Satu rupiah lagi dari anggaran sari-murni akan menghasilkan Rp3,18.",
        "18 voucher “Diskon 20% kopi” tidak terpakai.",
        "Satu penukaran “Potongan Rp15.000 camilan” lagi akan menghasilkan Rp3.502.",
        "12 pesan dengan “Potongan Rp25.000 perawatan tubuh” tidak terpakai.",
        "40 voucher “Cashback 10% popok” tidak terpakai.",
        "Masih ada tempat untuk 408 email.",
        "Satu push lagi akan menghasilkan Rp212.",
    ):
        assert sentence in said


def test_a_broken_limit_is_said_aloud(tmp_path: Path, manifest: dict[str, Any]) -> None:
    manifest["budgets"][0]["used"] = manifest["budgets"][0]["limit"] + 1500
    manifest["certificate"]["worst_violation"] = 0.000167
    said = text(tmp_path, manifest)
    assert "Melampaui batas sebesar Rp1.500." in said
    assert "Ada batas yang terlampaui sebesar 0,017%." in said
    assert "Tidak ada batas yang terlampaui" not in said


def test_a_limit_reached_to_the_last_float_is_not_broken(tmp_path: Path, manifest: dict[str, Any]) -> None:
    manifest["offers"][0]["quota"] = {"kind": "redeemed", "limit": 200, "used": 200.0000001, "price": 0.0}
    manifest["channels"]["email"] = {"sent": 1092, "capacity": None, "price": 0.0}
    said = text(tmp_path, manifest)
    assert "Menambahnya tidak akan menambah nilai." in said
    assert "Tidak dibatasi." in said
    assert "Melampaui" not in said


def test_an_assumed_uplift_bears_a_badge_and_a_measured_one_does_not(tmp_path: Path, manifest: dict[str, Any]) -> None:
    html = report(tmp_path, manifest)
    assumed = sum(offer["uplift_source"] == "assumed" for offer in manifest["offers"])
    assert html.count('<span class="badge assumed">asumsi</span>') == assumed
    assert "masih berupa asumsi" in Page(html).text
    for offer in manifest["offers"]:
        offer["uplift_source"] = "measured"
    assert "masih berupa asumsi" not in text(tmp_path, manifest)


def test_hindsight_is_shown_beside_random_and_biggest_buyers_and_claims_no_cause(
    tmp_path: Path, manifest: dict[str, Any]
) -> None:
    said = text(tmp_path, manifest, "en")
    assert "of 100 customers given an offer, 38.4 bought within its scope in 20 days" in said
    for figures in ("38.4 (36.1–40.6)", "17.9 (16.8–19.2)", "26.2 (24.4–27.9)", "+12.2 (9.6–14.9) clear"):
        assert figures in said
    assert "+Rp224,300 (−Rp31,000–Rp480,100) not clear" in said
    assert "This shows whether the right people were chosen, not what the promotion caused." in said


@pytest.mark.parametrize("language", ["id", "en"])
def test_without_hindsight_the_report_says_that_it_is_not_known(
    tmp_path: Path, manifest: dict[str, Any], language: str
) -> None:
    manifest["hindsight"] = None
    page = Page(report(tmp_path, manifest, language=language))
    assert load_words(language).texts["hindsight_none"] in page.text
    assert "svg" not in [tag for tag, _ in page.tags]


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_run_that_addresses_nobody_has_a_report(tmp_path: Path, nobody: dict[str, Any], language: str) -> None:
    said = Page(report(tmp_path, nobody, [], language)).text
    assert load_words(language).texts["samples_none"] in said
    assert "nan" not in said.lower().split()


def test_a_manifest_with_no_offers_and_no_limits_has_a_report(tmp_path: Path, nobody: dict[str, Any]) -> None:
    bare = nobody | {"offers": [], "budgets": [], "channels": {}, "first_come": None}
    assert load_words("id").texts["limits_none"] in Page(report(tmp_path, bare, [])).text


# --- the funnel ------------------------------------------------------------------------------------------------------


def test_a_funnel_that_does_not_add_up_is_refused(tmp_path: Path, manifest: dict[str, Any]) -> None:
    manifest["funnel"][2][1] += 1
    with pytest.raises(ValueError, match="does not add up: 2469"):
        write_report(tmp_path, manifest, [])
    assert not (tmp_path / "report.html").exists()


@given(st.lists(st.integers(0, 10**7), max_size=8), st.integers(0, 10**7))
def test_the_bars_of_a_funnel_fill_it_without_gap_or_overlap(left_out: list[int], addressed: int) -> None:
    funnel = [
        ("customers", sum(left_out) + addressed),
        *((f"reason {n}", n) for n in left_out),
        ("addressed", addressed),
    ]
    total, *middle, last = funnel_steps(load_words("id"), funnel)
    assert total.people == sum(step.people for step in middle) + last.people
    edges = [total.width, *(step.start for step in middle)]
    for step, edge in zip(middle, edges, strict=False):
        assert step.start + step.width == pytest.approx(edge)
    assert edges[-1] == pytest.approx(last.width)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_samples_show_each_channel_and_language_once_before_any_twice() -> None:
    kinds = [("email", "id")] * 5 + [("email", "en")] * 2 + [("push", "id")]
    rows = [
        SAMPLE["messages"][0] | {"message_id": f"m{number}", "channel": channel, "language": language}
        for number, (channel, language) in enumerate(kinds)
    ]
    assert [row["message_id"] for row in sample_messages(rows)] == ["m0", "m1", "m5", "m7"]
    assert sample_messages([]) == []


def test_a_plot_follows_the_page_in_colour_and_font_and_repeats_to_the_byte() -> None:
    rows = [Interval("Larisma <&>", 3.0, 2.0, 4.0, ours=True), Interval("Acak", 1.0, 0.5, 1.5)]
    first, second = (intervals("plot", rows, str, 'alt "text"') for _ in range(2))
    assert first == second
    assert "var(--ours)" in first
    assert "#0102" not in first
    assert "Larisma &lt;&amp;&gt;</text>" in first


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1_234_567, "Rp1.234.567"), (0, "Rp0"), (-1_500, "−Rp1.500"), (-0.2, "Rp0"), (999_999, "Rp999.999")],
)
def test_rupiah(value: float, shown: str) -> None:
    assert load_words("id").rupiah(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(41_234_567, "Rp41,2 juta"), (999_960_000, "Rp1 miliar"), (2_500_000_000, "Rp2,5 miliar"), (3e12, "Rp3 triliun")],
)
def test_rounded_rupiah(value: float, shown: str) -> None:
    assert load_words("id").rounded_rupiah(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"), [(0.244, "24,4%"), (1, "100%"), (0.0003026, "0,03%"), (0.00006, "0,006%"), (0, "0%")]
)
def test_percent(share: float, shown: str) -> None:
    assert load_words("id").percent(share) == shown


def test_a_reason_is_translated_with_what_it_names_and_an_unknown_one_is_kept() -> None:
    words = load_words("id")
    assert words.reason("control group") == "Kelompok kontrol"
    assert (
        words.reason("quota of kopi-20", {"kopi-20": "Diskon kopi"})
        == "Kuota “Diskon kopi” lebih berharga di tempat lain"
    )
    assert words.reason("eclipse of the moon") == "eclipse of the moon"


def test_days_are_those_of_the_reader_s_zone() -> None:
    instant = datetime(2017, 12, 11, 17, tzinfo=UTC)
    assert load_words("id").time(instant) == "00.00 WIB"
    assert load_words("id", "Asia/Jayapura").time(instant) == "02.00 WIT"


def test_both_languages_have_the_same_texts_with_the_same_blanks() -> None:
    folder = Path(flows.reporting.report.__file__).parent / "templates"
    texts = {language: YAML(typ="safe").load(folder / f"report.{language}.yaml") for language in ("id", "en")}
    blanks = {
        language: {key: sorted(re.findall(r"\{(\w+)\}", str(value))) for key, value in content.items()}
        for language, content in texts.items()
    }
    assert blanks["id"] == blanks["en"]
    assert texts["id"]["reasons"].keys() == texts["en"]["reasons"].keys()


@pytest.mark.parametrize("language", ["fr", "../id", ""])
def test_a_language_without_words_is_refused(tmp_path: Path, manifest: dict[str, Any], language: str) -> None:
    with pytest.raises(InputError, match="expected id or en"):
        write_report(tmp_path, manifest, [], language=language)


def test_a_window_that_the_purchases_do_not_cover_yet_is_said_so(tmp_path: Path, manifest: dict[str, Any]) -> None:
    manifest["hindsight"]["short_days"] = 0
    assert "belum mencakup" not in report(tmp_path, manifest)
    manifest["hindsight"]["short_days"] = 6
    assert "belum mencakup 6 hari terakhir" in report(tmp_path, manifest)
