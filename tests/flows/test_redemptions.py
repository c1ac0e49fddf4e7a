"""Past offers, judged by who redeemed them, with nothing known from after each campaign's start."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from campaigns.tables import EVENTS, FEEDBACK, PAST_OFFERS
from flows.redemptions import (
    COUNTS,
    LEAD,
    NEVER,
    OURS,
    Facts,
    judge_redemptions,
    make_trials,
    scores_of,
    with_redemptions,
)
from recsys.tables import ITEMS, PURCHASES, conform

START = datetime(2026, 1, 1, tzinfo=UTC)
CAMPAIGNS = {"maret": START + timedelta(days=60), "mei": START + timedelta(days=120)}
PEOPLE, ITEMS_KNOWN, OFFERS = 80, 60, 15  # offer j is for items 4j to 4j + 3; item 0 to 3 are everybody's


def a_year(seed: int = 3) -> Facts:
    """People have a few favourite offers and buy everybody's items; they redeem their favourites only."""
    rng = np.random.default_rng(seed)
    favourites = [rng.choice(np.arange(1, OFFERS), 2, replace=False) for _ in range(PEOPLE)]
    lines, redeemed, used = [], [], []
    for person in range(PEOPLE):
        for order in range(30):
            at = START + timedelta(days=float(rng.uniform(0, 180)))
            offer = 0 if rng.random() < 0.7 else int(rng.choice(favourites[person]))
            item = 4 * offer + int(rng.integers(4))
            lines.append((f"{person:02}-{order:02}", f"c{person:02}", f"i{item:02}", at))
            if offer and rng.random() < 0.2:
                used.append({"customer_id": f"c{person:02}", "item_id": f"i{item:02}", "kind": "voucher", "at": at})
        for name, start in CAMPAIGNS.items():
            offer = f"o{int(rng.choice(favourites[person])):02}"
            at = start + timedelta(days=float(rng.uniform(1, 20)))
            redeemed.append(
                {"campaign_id": name, "customer_id": f"c{person:02}", "offer_id": offer, "event": "redeemed", "at": at}
            )
    purchases = pa.table(
        {
            "line_id": [line[0] for line in lines],
            "order_id": [line[0] for line in lines],
            "customer_id": [line[1] for line in lines],
            "item_id": [line[2] for line in lines],
            "occurred_at": pa.array([line[3] for line in lines], pa.timestamp("us", tz="UTC")),
            "kind": ["purchase"] * len(lines),
            "quantity": [1] * len(lines),
            "amount": [10_000] * len(lines),
        }
    )
    offers = [
        {"campaign_id": name, "offer_id": f"o{item // 4:02}", "item_id": f"i{item:02}", "starts_at": start}
        for name, start in CAMPAIGNS.items()
        for item in range(ITEMS_KNOWN)
    ]
    items = pa.table(
        {"item_id": [f"i{k:02}" for k in range(ITEMS_KNOWN)], "category": [f"K{k // 12}" for k in range(60)]}
    )
    return Facts(
        conform(purchases, PURCHASES),
        conform(items, ITEMS),
        pa.Table.from_pylist(offers, PAST_OFFERS.schema),
        pa.Table.from_pylist(redeemed, FEEDBACK.schema),
        pa.Table.from_pylist(used, EVENTS.schema),
    )


@pytest.fixture(scope="module")
def facts():
    return a_year()


def test_offers_that_are_the_customers_own_come_before_those_everybody_buys(facts):
    judged = judge_redemptions(facts, seed=1)
    difference = next(row for row in judged["differences"] if (row["against"], row["metric"]) == (COUNTS, LEAD))
    assert difference["low"] > 0
    assert [row["campaign_id"] for row in judged["campaigns"]] == ["maret", "mei"]
    assert {row["customers"] for row in judged["rows"]} == {2 * PEOPLE}


def test_nothing_from_after_a_campaigns_start_changes_its_scores(facts):
    start = CAMPAIGNS["mei"]

    def known(table, instant):
        return table.filter(pa.array([at < start for at in table[instant].to_pylist()]))

    own = facts.feedback.filter(pa.array([name == "mei" for name in facts.feedback["campaign_id"].to_pylist()]))
    blind = replace(
        facts,
        purchases=known(facts.purchases, "occurred_at"),
        events=known(facts.events, "at"),
        feedback=pa.concat_tables([known(facts.feedback, "at"), own]),  # who is judged, not what is known of them
    )
    full, cut = make_trials(facts), make_trials(blind)
    for name, scores in scores_of(full[1], full).items():
        assert np.array_equal(scores, scores_of(cut[1], cut)[name]), name


def test_a_campaign_learns_from_redemptions_before_its_start_alone(facts):
    trials = make_trials(facts)
    first = scores_of(trials[0], trials)[OURS]
    assert np.array_equal(first, scores_of(trials[0], trials[:1])[OURS])
    later = replace(trials[0], redeemed_at=np.where(trials[0].redeemed_at < NEVER, NEVER - 1, NEVER))
    assert np.array_equal(scores_of(trials[1], [later, trials[1]])[OURS], scores_of(trials[1], [trials[1]])[OURS])
    assert not np.array_equal(scores_of(trials[1], trials)[OURS], scores_of(trials[1], [trials[1]])[OURS])


def test_the_order_of_rows_does_not_matter(facts):
    mixed = Facts(
        **{name: table.take(np.random.default_rng(1).permutation(len(table))) for name, table in vars(facts).items()}
    )
    assert judge_redemptions(mixed, seed=1) == judge_redemptions(facts, seed=1)


def test_without_categories_and_vouchers_offers_are_still_ranked(facts):
    bare = replace(facts, items=facts.items.slice(0, 0), events=facts.events.slice(0, 0))
    assert {row["model"] for row in judge_redemptions(bare, seed=1)["rows"]} >= {COUNTS, OURS}


def test_a_campaign_too_near_the_first_purchase_says_nothing(facts):
    early = facts.past_offers.set_column(
        3, "starts_at", pa.array([START + timedelta(days=5)] * len(facts.past_offers), pa.timestamp("us", tz="UTC"))
    )
    assert make_trials(replace(facts, past_offers=early)) == []


def test_where_nobody_redeemed_anything_an_evaluation_stays_as_it_is(facts):
    assert judge_redemptions(replace(facts, feedback=facts.feedback.slice(0, 0)), seed=1) is None
    evaluation = {"rows": [1], "differences": [], "cut": "x"}
    assert with_redemptions(evaluation, None) is evaluation
    both = with_redemptions(evaluation, judge_redemptions(facts, seed=1))
    assert both["rows"][0] == 1
    assert both["cut"] == "x"
    assert {row["slice"] for row in both["rows"][1:]} == {"redemptions"}
