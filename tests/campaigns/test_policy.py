from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.policy import (
    check_claims,
    judged,
    keep_ramadan,
    kept_from,
    load_policy,
    reference_prices,
    with_references,
)
from campaigns.policy.restrictions import PLACES, SHIPPED
from campaigns.predicates import PEOPLE
from campaigns.spec import Campaign, load_campaign
from campaigns.tables import PRICE_HISTORY, CampaignError
from recsys.tables import RESTRICTIONS

POLICY = load_policy()
PRESETS = Path(__file__).parents[2] / "campaigns" / "presets"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def items(*titles: str | None, **columns: list[Any]) -> pa.Table:
    ids = [f"i{number}" for number in range(len(titles))]
    return pa.table({"item_id": ids, "title": pa.array(titles, pa.string()), **columns})


def test_every_restriction_that_a_catalogue_may_state_has_a_rule_with_its_source() -> None:
    assert set(POLICY.restrictions) == set(RESTRICTIONS)
    assert all(rule.source for rule in POLICY.restrictions.values())
    assert POLICY.version
    assert POLICY.never_inferred.source
    assert POLICY.struck_price.source


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Susu Formula Bayi 0-6 Bulan 400 g", "formula"),
        ("SUFOR ANAK SEHAT", "formula"),
        ("Rokok Kretek isi 12", "tobacco"),
        ("Liquid vape rasa mangga", "tobacco"),
        ("Bir Bintang 620 ml", "alcohol"),
        ("Red wine Bali", "alcohol"),
        ("Amoxicillin 500 mg (resep dokter)", "medicine"),
        ("Kondom isi 3", "intimate"),
        ("Alat tes gula darah", "medical"),
        ("Pork luncheon 340 g", "non_halal"),
        ("Kopi bubuk robusta 200 g", None),
        ("Bir pletok Betawi", None),
        ("Root beer 330 ml", None),
        ("Hampers Lebaran isi 6 toples", None),
        ("Birthday cake topper", None),
        ("Beef bacon 250 g", None),
        ("Gelas wine kristal", None),
        ("Ginger tea", None),
    ],
)
def test_an_item_without_a_restriction_gets_it_from_its_title(title: str, kind: str | None) -> None:
    assert judged(items(title), POLICY)["restriction"].to_pylist() == [kind]


def test_category_and_brand_tell_too() -> None:
    table = items(None, None, category=["Minuman > Bir & Wine", None], brand=pa.array([None, "Rokok Sehat"]))
    assert judged(table, POLICY)["restriction"].to_pylist() == ["alcohol", "tobacco"]


def test_what_the_catalogue_states_stays_unless_the_words_find_something_stricter() -> None:
    table = items("Kopi", "Rokok", "Babi panggang", restriction=["intimate", "non_halal", "intimate"])
    found = judged(table, POLICY)
    assert found["restriction"].to_pylist() == ["intimate", "tobacco", "intimate"]
    assert found["never_in"].to_pylist()[2] == ["push", "reasons", "ramadan"]


def test_an_item_may_not_stand_where_any_of_its_restrictions_forbids_it() -> None:
    table = judged(items("Rokok", "Kondom", "Kopi"), POLICY)
    assert {place: kept_from(table, place).tolist() for place in PLACES} == {
        "offers": [True, False, False],
        "lists": [True, False, False],
        "push": [True, True, False],
        "reasons": [True, True, False],
        "ramadan": [False, False, False],
    }


def test_items_that_were_not_judged_are_judged_by_the_rules_that_come_along() -> None:
    assert kept_from(items("Rokok", "Kopi"), "offers").tolist() == [True, False]


def test_what_is_not_halal_is_in_nothing_shown_at_ramadan_and_alone_there() -> None:
    usual = judged(items("Bacon", "Kopi"), POLICY)
    assert kept_from(usual, "offers").tolist() == [False, False]
    ramadan = keep_ramadan(usual)
    assert kept_from(ramadan, "offers").tolist() == [True, False]
    assert kept_from(ramadan, "lists").tolist() == [True, False]


@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=20))
def test_no_title_is_too_odd_to_be_judged_and_no_item_is_lost(titles: list[str | None]) -> None:
    found = judged(items(*titles), POLICY)
    assert found["item_id"].to_pylist() == [f"i{number}" for number in range(len(titles))]
    assert found["title"].to_pylist() == titles
    assert found["never_in"].null_count == 0


def test_counsel_can_change_a_rule(tmp_path: Path) -> None:
    own = tmp_path / "id.yaml"
    text = SHIPPED.read_text(encoding="utf-8")
    own.write_text(text.replace("never_in: [ramadan]", "never_in: [offers]"), encoding="utf-8")
    assert kept_from(judged(items("Bacon"), load_policy(own)), "offers").tolist() == [True]


def test_every_fault_of_a_policy_file_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "id.yaml"
    text = SHIPPED.read_text(encoding="utf-8")
    text = text.replace("never_in: [ramadan]", "never_in: [everywhere]").replace("days: 30", "days: soon")
    own.write_text(text.replace("[rokok,", '["rokok(",') + "extra: 1\n", encoding="utf-8")
    with pytest.raises(CampaignError) as caught:
        load_policy(own)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("id.yaml:") for line in lines)
    for part in ("restrictions.non_halal.never_in", "struck_price.days", "restrictions.tobacco.words", "extra"):
        assert any(part in line for line in lines), part


# --- claims ----------------------------------------------------------------------------------------------------------


def campaign(title: str = "Kopi", **changes: str) -> Campaign:
    """The preset for paydays, its first offer with another title, its content with other words."""
    sound = load_campaign(PRESETS / "gajian.yaml")
    first = sound.offers[0]
    text = {**first.text, "id": first.text["id"].model_copy(update={"title": title})}
    offers = (first.model_copy(update={"text": text}), *sound.offers[1:])
    content = {**sound.content, "id": sound.content["id"].model_copy(update=changes)}
    return sound.model_copy(update={"offers": offers, "content": content})


@pytest.mark.parametrize("preset", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_claims_nothing_it_may_not(preset: Path) -> None:
    assert check_claims(load_campaign(preset), POLICY) == []


def test_a_title_that_names_tobacco_is_a_fault_with_its_place_and_source() -> None:
    ((path, fault),) = check_claims(campaign("Rokok murah"), POLICY)
    assert path == ("offers", 0, "text", "id", "title")
    assert "rokok" in fault
    assert "PP 28/2024" in fault


def test_an_intimate_item_is_not_named_where_others_may_read_it() -> None:
    assert check_claims(campaign(subject="Kondom untuk Anda"), POLICY) == []
    ((path, fault),) = check_claims(campaign(push_title="Kondom untuk Anda"), POLICY)
    assert path == ("content", "id", "push_title")
    assert "push" in fault


def test_a_percentage_that_no_offer_gives_is_a_fault() -> None:
    ((path, fault),) = check_claims(campaign(subject="Diskon 97% hari ini"), POLICY)
    assert path == ("content", "id", "subject")
    assert "97%" in fault


def test_the_percentage_that_an_offer_gives_may_be_said() -> None:
    sound = load_campaign(PRESETS / "harbolnas.yaml")
    offer = next(offer for offer in sound.offers if offer.benefit.kind == "percent_off")
    text = {
        **offer.text,
        "id": offer.text["id"].model_copy(update={"title": f"Hemat {offer.benefit.percent:g} persen"}),
    }
    changed = sound.model_copy(update={"offers": (offer.model_copy(update={"text": text}),)})
    assert check_claims(changed, POLICY) == []
    wrong = {**text, "id": offer.text["id"].model_copy(update={"title": "Hemat 99 persen"})}
    assert check_claims(sound.model_copy(update={"offers": (offer.model_copy(update={"text": wrong}),)}), POLICY)


# --- prices ----------------------------------------------------------------------------------------------------------


def prices(*rows: tuple[int, int, int | None]) -> pa.Table:
    """(rupiah, begun so many days ago, ended so many days ago or None) of one item."""
    entries = [
        {
            "item_id": "kopi",
            "price": price,
            "from": NOW - timedelta(days=begun),
            "to": None if ended is None else NOW - timedelta(days=ended),
        }
        for price, begun, ended in rows
    ]
    return pa.Table.from_pylist(entries, schema=PRICE_HISTORY.schema)


@pytest.mark.parametrize(
    ("rows", "reference"),
    [
        ([(50_000, 90, 5), (40_000, 5, None)], 50_000),
        ([(50_000, 90, None), (40_000, 5, None)], 50_000),  # the end of a price is the beginning of the next
        ([(60_000, 90, 20), (45_000, 20, 10), (60_000, 10, 5), (40_000, 5, None)], 45_000),  # raised before the sale
        ([(60_000, 90, 40), (45_000, 60, 5), (40_000, 5, None)], 45_000),
        ([(50_000, 20, 5), (40_000, 5, None)], None),  # not known for thirty days
        ([(50_000, 90, 15), (40_000, 5, None)], None),  # ten days without a price
        ([(40_000, 90, None)], None),  # nothing came before it
        ([(50_000, 90, 20), (40_000, 20, 1)], None),  # no price today
        ([(50_000, 90, 5), (40_000, 5, None), (10_000, -3, None)], 50_000),  # a price to come counts for nothing
    ],
)
def test_the_reference_is_the_lowest_price_of_the_thirty_days_before(
    rows: list[tuple[int, int, int | None]], reference: int | None
) -> None:
    assert reference_prices(prices(*rows), NOW, 30).get("kopi") == reference


def test_only_a_price_below_the_reference_has_one_to_be_struck_through() -> None:
    table = pa.table({"item_id": ["kopi", "teh"], "price": pa.array([40_000, 9_000], pa.int64())})
    history = prices((50_000, 90, 5), (40_000, 5, None))
    assert with_references(table, history, NOW, POLICY)["was"].to_pylist() == [50_000, None]
    raised = table.set_column(1, "price", pa.array([55_000, 9_000], pa.int64()))
    assert with_references(raised, history, NOW, POLICY)["was"].to_pylist() == [None, None]


def test_no_column_that_predicates_may_name_is_one_that_is_never_inferred() -> None:
    assert not set(PEOPLE.names) & set(POLICY.never_inferred.columns)
