"""How likely people are to buy within an offer's scope, from what was bought in past windows."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from campaigns.spec import load_campaign
from flows.decide import read_known
from flows.deciding.chances import Past, auc, checked, log_loss, newcomers, offer_chances, propensities, reliability
from recsys.decile_rates import DecileRates
from recsys.past_windows import Examples
from recsys.propensity import Propensity
from recsys.scope_features import FEATURES

PEOPLE = pa.array([f"c{k:06d}" for k in range(140)])


@pytest.fixture(scope="module")
def campaign(shop):
    return load_campaign(shop.workspace.campaigns / "panen.yaml")


@pytest.fixture(scope="module")
def past(shop):
    known = read_known(shop.workspace, shop.as_of)
    return Past(known.purchases, known.items, shop.as_of, 1)


@pytest.fixture(scope="module")
def chances(past, campaign):
    return offer_chances(past, campaign, past.items)


def test_those_who_like_a_thing_are_likelier_to_buy_it(chances):
    """People with a taste for coffee (c000000, c000004 …) buy coffee: the world is made so."""
    p0 = propensities(chances, PEOPLE)
    assert ((p0 > 0) & (p0 < 1)).all()
    likes = np.arange(140) % 4 == 0
    assert p0[likes, 0].mean() > 2 * p0[~likes, 0].mean()


def test_who_never_bought_anything_is_as_likely_as_those_who_never_bought_in_the_scope(chances):
    p0 = propensities(chances, pa.array(["nobody", "c000003"]))
    assert p0[0].tolist() == newcomers(chances).tolist()
    assert (p0[0] < propensities(chances, PEOPLE).max(axis=0)).all()


def test_only_pairs_that_may_be_are_worked_out_and_they_are_as_in_the_whole(chances):
    may = np.random.default_rng(1).random((140, 4)) < 0.3
    whole, some = propensities(chances, PEOPLE), propensities(chances, PEOPLE, may)
    np.testing.assert_allclose(some[may], whole[may], rtol=1e-6)
    assert (some[~may] == 0).all()


def test_what_was_bought_between_the_decision_and_the_sending_is_not_of_the_window(past, campaign):
    """A past window is the last 14 days, looked on to 28 days before now where messages go out 14 days later."""

    def base(lead, purchases):
        schedule = campaign.schedule.model_copy(update={"lead_days": lead})
        wanted = campaign.model_copy(update={"window_days": 14, "schedule": schedule})
        return offer_chances(replace(past, purchases=purchases, models={}), wanted, past.items).base.tolist()

    at, kind = past.purchases["occurred_at"], past.purchases["occurred_at"].type
    window = pa.compute.greater_equal(at, pa.scalar(past.as_of - timedelta(days=14), kind))
    sending = pa.compute.greater_equal(at, pa.scalar(past.as_of - timedelta(days=28), kind))
    nothing = past.purchases.filter(pa.compute.invert(window))
    assert base(14, nothing) == pytest.approx([0.5 / 141] * 4)
    without = past.purchases.filter(pa.compute.or_(window, pa.compute.invert(sending)))
    assert base(14, without) == base(14, past.purchases)
    assert base(0, past.purchases) != base(0, nothing)


def test_campaigns_with_one_window_share_a_model(past, campaign):
    first, second = (offer_chances(past, campaign, past.items) for _ in range(2))
    assert first.model is second.model or isinstance(first.model, DecileRates)
    assert list(past.models) == [(campaign.schedule.lead_days, campaign.window_days)]


def test_what_serves_is_what_lost_least_and_the_losses_are_told(chances):
    losses = chances.about["log_loss"]
    assert set(losses) == {"deciles", "trees"}
    assert losses[chances.about["kind"]] == min(losses.values())
    assert isinstance(chances.model, Propensity if chances.about["kind"] == "trees" else DecileRates)
    assert sum(row["pairs"] for row in chances.about["reliability"]) == 140 * 4


def examples(customers, offers, p, seed):
    rng = np.random.default_rng(seed)
    features = np.zeros((customers * offers, len(FEATURES)), np.float32)
    features[:, FEATURES.index("rate_42")] = p.ravel()
    pairs = len(features)
    bought = rng.random(pairs) < p.ravel()
    return Examples(
        features, bought, np.ones(pairs), np.arange(pairs) // offers, np.arange(pairs, dtype=np.int32) % offers
    )


class Wrong(Propensity):
    """Says the opposite of what is true."""

    def __init__(self):
        object.__setattr__(self, "about", {})

    def chances(self, features):
        return 0.5 - 0.4 * features[:, FEATURES.index("rate_42")]


def test_a_model_that_does_worse_than_rates_by_decile_does_not_serve():
    newest = examples(800, 2, np.random.default_rng(0).random((800, 2)) * 0.9, 1)
    served, about = checked(Wrong(), newest, 2, 1)
    assert isinstance(served, DecileRates)
    assert about["kind"] == "deciles"
    assert about["log_loss"]["deciles"] < about["log_loss"]["trees"]


def test_without_a_model_rates_by_decile_serve_and_the_manifest_says_so():
    served, about = checked(None, examples(300, 2, np.full((300, 2), 0.3), 1), 2, 1)
    assert isinstance(served, DecileRates)
    assert (about["kind"], set(about["log_loss"]), about["learned_from"]) == ("deciles", {"deciles"}, None)


def test_reliability_tells_what_was_predicted_and_what_came_in_each_decile():
    p = np.repeat(np.arange(1, 11) / 20, 1000)
    bought = np.tile(np.arange(1000) / 1000, 10) < p
    rows = reliability(bought, p)
    assert [round(row["predicted"], 6) for row in rows] == [round(row["observed"], 6) for row in rows]
    assert [row["pairs"] for row in rows] == [1000] * 10


def test_auc_and_log_loss_of_known_answers():
    bought = np.array([False, False, True, True])
    assert auc(bought, np.array([0.1, 0.2, 0.3, 0.4])) == 1.0
    assert auc(bought, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert auc(np.zeros(3, bool), np.zeros(3)) is None
    assert log_loss(bought, np.full(4, 0.5)) == pytest.approx(np.log(2))
