"""The ready campaigns: they load, speak two languages, fit the demo's shop, and make sense in rupiah."""

import re
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from campaigns.audience import select_audience
from campaigns.calendar import due_occurrence, occurrences
from campaigns.checking import check_file
from campaigns.firing import campaign_at, greets, in_phase, offer_ends
from campaigns.hijri import Announcement, Moon
from campaigns.hours import next_free
from campaigns.message import sample_contexts
from campaigns.places import PROVINCES
from campaigns.policy import load_policy
from campaigns.rendering import compile_content, render_email, render_push
from campaigns.scope import check_scopes
from campaigns.segments import columns_used
from campaigns.silence import blocked_around
from campaigns.spec import load_campaign
from campaigns.tables import CONSENTS, CUSTOMERS, SERVICE_CASES, SILENCES
from campaigns.value import economics, pair_value, purchase_probability
from campaigns.words import offer_words
from flows.demo.data import LOCAL_TIME, RUPIAH_PER_DOLLAR, complete_journey, read_items
from flows.settings import Settings
from recsys.tables import ITEMS

AS_OF = {  # local, as the demo decides them
    "cashback": datetime(2017, 12, 5),  # noqa: DTZ001
    "harbolnas": datetime(2017, 12, 5),  # noqa: DTZ001
    "lebaran": datetime(2017, 6, 5),  # noqa: DTZ001
}
PHASES = {"harbolnas": "tengah-malam", "lebaran": "persiapan"}  # that the demo decides
POLITE = ("gajian", "salam", "ulang-tahun", "winback")  # speak Javanese and Sundanese too
NAMES = sorted(path.stem for path in (Path(str(files("campaigns"))) / "presets").glob("*.yaml"))
HIDDEN = ("formula", "tobacco", "alcohol", "medicine")  # in no offer's scope
HOUSEHOLDS = 2_469


def preset(name):
    return load_campaign(Path(str(files("campaigns") / "presets" / f"{name}.yaml")))


def decided(name):
    """The part of a preset that the demo decides."""
    return in_phase(preset(name), PHASES.get(name, ""))


@pytest.fixture(scope="module")
def shop():
    """items, and lines (customer, order, item, local time, rupiah, margin) of the demo."""
    with duckdb.connect() as database:
        for name in ("transactions", "products"):
            database.read_parquet(str(complete_journey() / f"{name}.parquet")).create_view(name)
        database.register("all_items", read_items(database))
        database.execute("create table items as from all_items")
        database.execute(
            f"""create table lines as
            select household_id as customer, basket_id as purchase, item_id, category, {LOCAL_TIME} as bought_at,
                sales_value * {RUPIAH_PER_DOLLAR} as amount, amount * margin_rate as margin
            from transactions join items on product_id::varchar = item_id
            where quantity > 0 and coalesce(restriction, '') not in {HIDDEN}"""
        )
        yield database


def within(offer):
    """SQL over items' category: is it in the offer's scope?"""
    paths = [path.replace("'", "''") for path in offer.scope.categories]
    return "(" + " or ".join(f"category = '{path}' or starts_with(category, '{path} > ')" for path in paths) + ")"


def base_rates(shop, campaign, start):
    end = start + timedelta(days=20)
    return [
        shop.execute(
            f"select count(distinct customer) from lines where {within(offer)} and bought_at >= ? and bought_at < ?",
            [start, end],
        ).fetchall()[0][0]
        / HOUSEHOLDS
        for offer in campaign.offers
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_speaks_at_least_two_languages_and_has_no_fault(name):
    reading, faults = check_file(Path(str(files("campaigns") / "presets" / f"{name}.yaml")), policy=load_policy())
    assert faults == []
    assert reading.campaign.languages == (("en", "id", "jv", "su") if name in POLITE else ("en", "id"))


@pytest.mark.parametrize("name", NAMES)
def test_every_language_of_a_preset_has_all_that_the_others_have(name):
    """A text that one language leaves to the system's words, all do; each phase's own words are in all of them."""
    campaign = preset(name)
    said = {
        language: {
            *(key for key, text in content.model_dump(exclude={"phases", "reviewed_by"}).items() if text),
            *((phase, key) for phase, own in content.phases.items() for key, text in own.model_dump().items() if text),
            *((o.id, *place) for o in campaign.offers for place in own_words(o.text[language].model_dump())),
        }
        for language, content in campaign.content.items()
    }
    assert [language for language in said if said[language] != said["id"]] == []


def own_words(words, *path):
    for key, text in words.items():
        if isinstance(text, dict):
            yield from own_words(text, *path, key)
        elif text:
            yield (*path, key)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_s_messages_are_whole_in_every_language_and_phase(name):
    campaign = preset(name)
    for phase in campaign.phases or ("",):
        there = in_phase(campaign, phase)
        content = compile_content(there)
        for language in there.content:
            for context in sample_contexts(content, language, SEASON):
                if "email" in there.channels:
                    email = render_email(content, context)
                    assert all(email)
                    assert len(email.html.encode()) < 100_000
                    assert not re.search(r"\{|\}|None|Undefined| ,|,,|\.\.|\(\)", email.text.replace("…", ""))
                if "push" in there.channels:
                    push = render_push(content, context)
                    assert all(push)
                    assert len(push.payload.encode()) <= 4_096


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_begins_by_saying_what_it_is_for(name):
    text = (files("campaigns") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    first, *_ = text.splitlines()
    assert first.startswith("# ")
    assert "assum" in text or name == "salam"  # that uplifts are assumptions


def held(predicate, province):
    """Whether a predicate holds of somebody in a province."""
    return duckdb.execute(f"select {predicate} from (select ? as province)", [province]).fetchall()[0][0]


SEASON = datetime(2026, 12, 1, tzinfo=UTC)


def firings(name, count, after=SEASON, moon=Moon()):  # noqa: B008 - a frozen value
    """(phase, local day and time, offers) of the next occurrences."""
    campaign = preset(name)
    zone = ZoneInfo(campaign.schedule.zone)
    return [
        (o.phase, f"{o.send_at.astimezone(zone):%m-%d %H:%M}", [x.id for x in campaign_at(campaign, o).offers])
        for o in occurrences(campaign.schedule, after, count, moon=moon)
    ]


def test_harbolnas_has_flash_sales_of_two_hours_at_noon_and_in_the_evening():
    midnight, noon, evening = firings("harbolnas", 3)
    assert (midnight[:2], len(midnight[2])) == (("tengah-malam", "12-12 00:00"), 10)
    assert [noon, evening] == [("siang", "12-12 12:00", ["kilat"]), ("malam", "12-12 20:00", ["kilat"])]
    assert preset("harbolnas").offer("kilat").valid.hours == 2


def test_a_double_day_has_three_windows_of_two_hours():
    found = firings("double-day", 6, datetime(2026, 9, 1, tzinfo=UTC))
    assert [day for _, day, _ in found] == [
        f"{day} {time}" for day in ("09-09", "10-10") for time in ("00:00", "12:00", "20:00")
    ]
    assert all("kilat" in offers for *_, offers in found)
    sent_at = datetime(2026, 9, 8, 17, tzinfo=UTC)
    assert offer_ends(preset("double-day"), sent_at)["kilat"] == datetime(2026, 9, 8, 19, tzinfo=UTC)


def test_lebaran_goes_from_before_ramadan_to_the_way_home_and_greets_on_the_feast():
    announced = Announcement("lebaran", date(2026, 3, 21), "Kemenag", datetime(2025, 12, 1, tzinfo=UTC))
    found = firings("lebaran", 7, datetime(2026, 1, 1, tzinfo=UTC), Moon((announced,)))
    assert [(phase, day) for phase, day, _ in found] == [
        ("jelang-ramadan", "02-12 16:00"),
        ("persiapan", "03-08 16:00"),
        ("thr", "03-14 16:00"),
        ("hari-terakhir", "03-17 16:00"),
        ("hari-terakhir", "03-19 16:00"),
        ("hari-raya", "03-21 08:00"),
        ("arus-balik", "03-26 16:00"),
    ]
    assert found[0][2] == ["awal"]
    assert found[4][2] == ["kartu-hadiah", "ambil-sendiri", "segera"]
    assert (found[5][2], found[6][2]) == ([], ["kembali"])


@pytest.mark.parametrize(
    ("days", "province", "offers"),
    [
        (-7, "DKI Jakarta", {"opor", "kartu-hadiah"}),
        (-7, "Papua", {"kartu-hadiah"}),
        (-4, "DKI Jakarta", {"kartu-hadiah", "ambil-sendiri", "segera"}),
        (-4, "Jawa Timur", {"kartu-hadiah", "ambil-sendiri"}),
    ],
)
def test_after_the_last_order_of_a_province_only_digital_and_pickup_offers_remain(days, province, offers):
    moon = Moon((Announcement("lebaran", date(2026, 3, 21), "Kemenag", datetime(2025, 12, 1, tzinfo=UTC)),))
    campaign, day = preset("lebaran"), date(2026, 3, 21) + timedelta(days=days)
    coming = occurrences(campaign.schedule, datetime(2026, 1, 1, tzinfo=UTC), 7, moon=moon)
    today = campaign_at(campaign, next(occurrence for occurrence in coming if occurrence.day == day))
    may = {offer.id for offer in today.offers if held(offer.eligibility or "true", province)}
    assert may & {"opor", "kartu-hadiah", "ambil-sendiri", "segera"} == offers


def test_ramadan_speaks_at_sahur_and_before_berbuka_on_everybodys_own_clock():
    found = firings("ramadan", 4, datetime(2027, 1, 15, tzinfo=UTC))
    assert [(phase, day[6:]) for phase, day, _ in found] == [
        ("jelang-ramadan", "10:00"), ("sahur", "03:15"), ("berbuka", "15:30"), ("sahur", "03:15")
    ]  # fmt: skip
    campaign = preset("ramadan")
    known = datetime(2027, 1, 15, tzinfo=UTC)
    for occurrence in occurrences(campaign.schedule, known, 7):
        blocked = blocked_around(campaign.schedule, occurrence, known_at=known)
        for province in PROVINCES:
            local = next_free(occurrence.send_at, blocked(province.name, province.zone))
            assert local.astimezone(ZoneInfo(province.zone)).hour in (3, 10, 15), (occurrence.phase, province.name)


def test_a_birthday_is_every_day_s_and_on_each_customer_s_own_clock():
    found = firings("ulang-tahun", 3, datetime(2027, 2, 27, 12, tzinfo=UTC))
    assert [day for _, day, _ in found] == ["02-28 09:00", "03-01 09:00", "03-02 09:00"]
    assert preset("ulang-tahun").schedule.local


def people(*rows):
    base = {"push_tokens": ["t"], "joined_at": datetime(2020, 1, 1, tzinfo=UTC)}
    return pa.Table.from_pylist([{**base, **row} for row in rows], schema=CUSTOMERS.schema)


@pytest.mark.parametrize("day", [date(2027, 2, 28), date(2028, 2, 29)])
def test_who_was_born_on_29_february_has_a_birthday_each_year_and_a_child_needs_a_parent_s_consent(day):
    campaign = preset("ulang-tahun")
    births = {
        "leap": date(2000, 2, 29),
        "child": date(2020, 2, 29),
        "asked": date(2020, 2, 29),
        "other": date(2000, 3, 1),
    }
    customers = people(*({"customer_id": name, "birth_date": birth} for name, birth in births.items()))
    said = [
        {"customer_id": name, "channel": "push", "purpose": purpose, "granted": True,
         "changed_at": datetime(2026, 1, 1, tzinfo=UTC)}
        for name, purposes in (("leap", ["promotion"]), ("child", ["promotion"]), ("asked", ["promotion", "parent"]),
                               ("other", ["promotion"]))
        for purpose in purposes
    ]  # fmt: skip
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=12)
    occurrence = due_occurrence(campaign.schedule, as_of)
    assert occurrence.day == day
    audience = select_audience(
        campaign,
        customers,
        pa.Table.from_pylist(said, schema=CONSENTS.schema),
        *(pa.Table.from_pylist([], schema=table.schema) for table in (SERVICE_CASES, SILENCES)),
        as_of=as_of,
        send_at=occurrence.send_at,
        control_salt="s",
        blocked=blocked_around(campaign.schedule, occurrence, known_at=as_of),
    )
    assert audience.people["customer_id"].to_pylist() == ["asked", "leap"]


def test_free_shipping_has_one_offer_for_each_province_and_no_more():
    campaign = preset("gratis-ongkir")
    assert len({offer.group for offer in campaign.offers}) == 1
    for province in PROVINCES:
        assert sum(held(offer.eligibility, province.name) for offer in campaign.offers) == 1, province.name
    assert [offer.benefit.amount for offer in campaign.offers] == sorted(o.benefit.amount for o in campaign.offers)
    assert all(offer.quota for offer in campaign.offers)


def test_offers_that_depend_on_how_one_pays_say_so_and_are_co_funded():
    for offer in preset("cicilan").offers:
        assert offer.funders["retailer"] < 1
        assert offer.payment_methods[0] in offer_words(offer, "id")["terms"]
        assert offer.payment_methods[0] in offer_words(offer, "id")["summary"]


def test_double_points_hold_for_one_day():
    campaign = preset("poin-ganda")
    (offer,) = campaign.offers
    assert (offer.benefit.factor, offer.valid.days, campaign.window_days) == (2, 1, 1)


@pytest.mark.parametrize(("stock", "quota"), [(5, 15), (0, None)])
def test_a_restock_tells_no_more_people_than_units_times_three(stock, quota):
    campaign = preset("restock")
    items = pa.Table.from_pylist(
        [{"item_id": "k", "category": "Grocery > Coffee", "stock": stock}], schema=ITEMS.schema
    )
    today = campaign_at(campaign, due_occurrence(campaign.schedule, SEASON), items)
    assert [offer.quota.limit for offer in today.offers] == ([quota] if quota else [])
    assert check_scopes(campaign, items) == []
    unknown = items.drop_columns("stock")
    (fault,) = check_scopes(campaign, unknown)
    assert fault == "offers[kopi].per_unit: no item has a stock; map items.stock"


def test_winback_is_for_those_who_have_not_bought_for_a_while():
    assert columns_used(preset("winback")) == {"recency_days"}


def test_green_points_say_what_is_missing_where_nothing_is_marked_green():
    items = [{"item_id": "a"}, {"item_id": "b", "green": True}]
    assert check_scopes(preset("poin-hijau"), pa.Table.from_pylist(items, schema=ITEMS.schema)) == []
    (fault,) = check_scopes(preset("poin-hijau"), pa.Table.from_pylist(items[:1], schema=ITEMS.schema))
    assert fault == "offers[hijau].scope.green: no item is marked green; map items.green"


def test_the_higher_tier_comes_four_hours_before_the_others():
    ((_, day, _),) = firings("akses-awal", 1)
    assert day == "12-11 20:00"
    assert columns_used(preset("akses-awal")) == {"tier"}
    assert columns_used(preset("naik-tier")) == {"tier", "points"}


def test_a_greeting_offers_nothing_and_keeps_both_days_until_one_is_announced():
    campaign = preset("salam")
    days = occurrences(campaign.schedule, datetime(2027, 3, 1, tzinfo=UTC), 2)
    assert [(o.day, o.estimated) for o in days] == [(date(2027, 3, 9), True), (date(2027, 3, 10), True)]
    assert greets(campaign, days[0])


@pytest.mark.parametrize(
    ("name", "as_of", "decided", "sent"),
    [
        ("harbolnas", datetime(2017, 12, 4, 17), datetime(2017, 12, 4, 17), datetime(2017, 12, 11, 17)),  # noqa: DTZ001
        ("lebaran", datetime(2017, 6, 4, 17), datetime(2017, 6, 5, 9), datetime(2017, 6, 12, 9)),  # noqa: DTZ001
        ("cashback", datetime(2017, 12, 4, 17), datetime(2017, 12, 5, 3), datetime(2017, 12, 5, 3)),  # noqa: DTZ001
        ("gajian", datetime(2017, 11, 4, 17), datetime(2017, 11, 24, 3), datetime(2017, 11, 24, 3)),  # noqa: DTZ001
    ],
)
def test_a_preset_falls_on_its_day(name, as_of, decided, sent):
    occurrence = due_occurrence(preset(name).schedule, as_of.replace(tzinfo=UTC))
    assert occurrence.decide_at == decided.replace(tzinfo=UTC)
    assert occurrence.send_at == sent.replace(tzinfo=UTC)


@pytest.mark.parametrize("name", AS_OF)
def test_every_path_of_a_scope_has_items_in_the_demo(name, shop):
    for offer in decided(name).offers:
        for path in offer.scope.categories:
            found = shop.execute(
                "select count(*) from items where category = ? or starts_with(category, ? || ' > ')", [path, path]
            ).fetchall()
            assert found[0][0] > 20, (offer.id, path)


@pytest.mark.parametrize("name", AS_OF)
def test_no_scope_is_one_that_most_people_buy_from_anyway(name, shop):
    campaign = decided(name)
    rates = base_rates(shop, campaign, AS_OF[name] + timedelta(days=campaign.schedule.lead_days))
    assert max(rates) <= 0.30
    assert min(rates) >= 0.03


def test_lebaran_promotes_nothing_that_is_not_halal(shop):
    for offer in decided("lebaran").offers:
        query = f"select count(*) from items where restriction = 'non_halal' and {within(offer)}"
        assert shop.execute(query).fetchall() == [(0,)], offer.id


def test_harbolnas_has_two_suppliers_beside_the_retailer_and_both_kinds_of_quota():
    campaign = decided("harbolnas")
    paying = {funder for offer in campaign.offers for funder in offer.funders}
    assert paying == set(campaign.budgets) == {"retailer", "sari-murni", "renyah-jaya"}
    assert {offer.quota.kind for offer in campaign.offers if offer.quota} == {"redeemed", "sent"}
    assert set(campaign.channels) == {"email", "push"}


@pytest.mark.parametrize("name", AS_OF)
def test_good_customers_are_worth_a_message_and_sending_just_anything_to_everybody_loses_money(name, shop):
    campaign, start = decided(name), AS_OF[name]
    baskets, margins = [], []
    for offer in campaign.offers:
        rows = shop.execute(
            f"""select sum(amount), sum(margin) / sum(amount) from lines
            where {within(offer)} and bought_at < ? group by purchase having sum(amount) > 0""",
            [start],
        ).fetchnumpy()
        amount, rate = (np.asarray(column) for column in rows.values())
        baskets.append(amount)
        margins.append(rate)
    offers = campaign.offers
    least = [o.min_spend for o in offers]
    enough = [basket >= minimum for basket, minimum in zip(baskets, least, strict=True)]
    reach = np.array([reaching.mean() for reaching in enough])
    baskets, margins = ([a[k] for a, k in zip(part, enough, strict=True)] for part in (baskets, margins))
    margin, benefit = economics([o.benefit for o in offers], baskets, margins, least)
    uplift, share = (np.array(part) for part in ([o.uplift for o in offers], [o.funders["retailer"] for o in offers]))

    def value(chance):
        p0 = chance * reach
        return pair_value(p0, purchase_probability(p0, uplift), margin, benefit, share)

    email = campaign.channels["email"]
    average = email.positions * value(np.array(base_rates(shop, campaign, start - timedelta(days=20)))).mean()
    assert 0 < average < email.message_cost
    assert (value(np.full(len(offers), 0.6)) > 0).all()
    assert np.median(value(np.full(len(offers), 0.6))) * email.positions > 1.5 * email.message_cost


def test_gajian_fits_any_shop_since_it_names_nothing_of_its_items_or_people():
    campaign = preset("gajian")
    assert all(offer.scope.everything and offer.eligibility is None for offer in campaign.offers)
    assert campaign.audience is None
    assert set(campaign.budgets) == {funder for offer in campaign.offers for funder in offer.funders} == {"retailer"}
    items = pa.Table.from_pylist([{"item_id": "i1"}], schema=ITEMS.schema)
    assert check_scopes(campaign, items) == []


def test_gajian_is_worth_a_mail_to_likely_buyers_at_the_margin_that_is_taken_where_none_is_stated():
    campaign = preset("gajian")
    baskets = np.array([35_000.0, 80_000, 120_000, 250_000, 600_000])
    margin, benefit = economics(
        [offer.benefit for offer in campaign.offers],
        [baskets] * len(campaign.offers),
        [Settings().margin_rate] * len(campaign.offers),
        [offer.min_spend for offer in campaign.offers],
    )
    p0 = np.array([0.02, 0.2, 0.5])[:, None]
    p1 = purchase_probability(p0, np.array([offer.uplift for offer in campaign.offers]))
    value = pair_value(p0, p1, margin, benefit, np.ones(len(campaign.offers)))
    unlikely, likely, sure = value.max(axis=1)
    cost = campaign.channels["email"].message_cost
    assert likely > 2 * cost
    assert sure > likely
    assert unlikely < likely / 5
