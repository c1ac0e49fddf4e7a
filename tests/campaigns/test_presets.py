"""The ready campaigns: they load, speak two languages, fit the demo's shop, and make sense in rupiah."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from campaigns.calendar import due_occurrence
from campaigns.rendering import check_content
from campaigns.scope import check_scopes
from campaigns.spec import load_campaign
from campaigns.value import economics, pair_value, purchase_probability
from flows.demo_data import LOCAL_TIME, RUPIAH_PER_DOLLAR, complete_journey, read_items
from flows.settings import Settings
from recsys.tables import ITEMS

AS_OF = {  # local, as the demo decides them
    "cashback": datetime(2017, 12, 5),  # noqa: DTZ001
    "harbolnas": datetime(2017, 12, 5),  # noqa: DTZ001
    "lebaran": datetime(2017, 6, 5),  # noqa: DTZ001
}
NAMES = (*AS_OF, "gajian")
HIDDEN = ("formula", "tobacco", "alcohol", "medicine")  # in no offer's scope
HOUSEHOLDS = 2_469


def preset(name):
    return load_campaign(Path(str(files("campaigns") / "presets" / f"{name}.yaml")))


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
def test_a_preset_has_no_fault_in_its_words(name):
    campaign = preset(name)
    assert campaign.languages == ("en", "id")
    assert check_content(campaign) == []


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
    for offer in preset(name).offers:
        for path in offer.scope.categories:
            found = shop.execute(
                "select count(*) from items where category = ? or starts_with(category, ? || ' > ')", [path, path]
            ).fetchall()
            assert found[0][0] > 20, (offer.id, path)


@pytest.mark.parametrize("name", AS_OF)
def test_no_scope_is_one_that_most_people_buy_from_anyway(name, shop):
    campaign = preset(name)
    rates = base_rates(shop, campaign, AS_OF[name] + timedelta(days=campaign.schedule.lead_days))
    assert max(rates) <= 0.30
    assert min(rates) >= 0.03


def test_lebaran_promotes_nothing_that_is_not_halal(shop):
    for offer in preset("lebaran").offers:
        query = f"select count(*) from items where restriction = 'non_halal' and {within(offer)}"
        assert shop.execute(query).fetchall() == [(0,)], offer.id


def test_harbolnas_has_two_suppliers_beside_the_retailer_and_both_kinds_of_quota():
    campaign = preset("harbolnas")
    paying = {funder for offer in campaign.offers for funder in offer.funders}
    assert paying == set(campaign.budgets) == {"retailer", "sari-murni", "renyah-jaya"}
    assert {offer.quota.kind for offer in campaign.offers if offer.quota} == {"redeemed", "sent"}
    assert set(campaign.channels) == {"email", "push"}


@pytest.mark.parametrize("name", AS_OF)
def test_good_customers_are_worth_a_message_and_sending_just_anything_to_everybody_loses_money(name, shop):
    campaign, start = preset(name), AS_OF[name]
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
