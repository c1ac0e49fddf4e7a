import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.redemption import FEATURES, PRIOR, fit_weights, offer_features, similarity

BOUGHT, COMMON, KINDRED, VOUCHERS, REDEEMED = range(len(FEATURES))


def a_shop(seed: int, customers: int = 200, items: int = 60) -> csr_matrix:
    """Orders in which some items are everybody's."""
    rng = np.random.default_rng(seed)
    return csr_matrix(rng.poisson(rng.gamma(0.3, 1.0, (customers, items)) * np.linspace(0.2, 3, items)).astype(float))


def scopes_of(*scopes: tuple[int, ...], items: int = 60) -> csr_matrix:
    dense = np.zeros((items, len(scopes)))
    for j, members in enumerate(scopes):
        dense[list(members), j] = 1
    return csr_matrix(dense)


PAIRS = scopes_of(*((k, k + 1) for k in range(0, 60, 2)))


def test_one_order_more_of_a_scope_raises_its_score_and_no_other_offers():
    orders = a_shop(1).tolil()
    before = offer_features(orders.tocsr(), np.array([3]), PAIRS)
    orders[3, 10] += 1
    after = offer_features(orders.tocsr(), np.array([3]), PAIRS)
    assert after[0, 5, BOUGHT] > before[0, 5, BOUGHT]
    assert np.allclose(np.delete(after[0, :, BOUGHT], 5), np.delete(before[0, :, BOUGHT], 5), atol=0.02)


def test_of_two_scopes_bought_alike_the_one_that_fewer_people_buy_comes_first():
    orders = a_shop(1).tolil()
    orders[0, :] = 0
    orders[0, 2], orders[0, 58] = 3, 3  # item 58 is everybody's, item 2 is not
    scores = offer_features(orders.tocsr(), np.array([0]), PAIRS) @ np.array(PRIOR)
    assert scores[0, 1] > scores[0, 29]


def test_purchases_of_the_same_kind_speak_for_an_offer_whose_items_were_never_bought():
    orders = a_shop(1).tolil()
    orders[0, :] = 0
    orders[0, 20] = 5
    kinds = scopes_of((0, 1, 20), tuple(range(2, 20)), tuple(range(21, 60)))
    found = offer_features(orders.tocsr(), np.array([0]), PAIRS, kinds=kinds)[0, :, KINDRED]
    assert found[0] == found.max()
    assert found[0] > found[1:10].max()


def test_the_share_of_orders_with_a_voucher_is_over_that_of_all_and_drawn_to_it_where_orders_are_few():
    orders = csr_matrix(np.array([[100.0, 100.0, 1.0]] * 2))
    used = np.array([40.0, 10.0, 2.0])
    share = offer_features(orders, np.arange(2), csr_matrix(np.eye(3)), vouchers=used)[0, :, VOUCHERS]
    assert share[0] > 0 > share[1]
    assert 0 < share[2] < np.log(1.0 / (52 / 402))


def test_a_customer_without_history_gets_what_is_common():
    found = offer_features(a_shop(1), np.array([-1]), PAIRS)[0]
    assert np.array_equal(np.argsort(found[:, BOUGHT], kind="stable"), np.argsort(found[:, COMMON], kind="stable"))


def test_what_is_not_known_is_nought():
    found = offer_features(a_shop(1), np.arange(5), PAIRS)
    assert not found[..., [KINDRED, VOUCHERS, REDEEMED]].any()


def test_offers_are_as_similar_as_their_scopes_overlap():
    assert similarity(scopes_of((0, 1)), scopes_of((0, 1), (1, 2), (5,))).toarray()[0].tolist() == [1, 1 / 3, 0]


def test_without_a_campaign_before_the_weights_are_the_prior():
    assert fit_weights([]).tolist() == list(PRIOR)
    assert fit_weights([(np.ones((3, 4, 5)), np.zeros((3, 4), bool))]).tolist() == list(PRIOR)


@pytest.mark.parametrize("truth", [(1.5, -0.9, 0.0), (0.8, 0.5, 0.6)])
def test_planted_weights_are_found_though_a_third_of_redemptions_is_chance(truth):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(3000, 12, 3))
    utility = features @ np.array(truth) + rng.gumbel(size=(3000, 12))
    redeemed = np.zeros((3000, 12), bool)
    chosen = np.where(rng.random(3000) < 1 / 3, rng.integers(12, size=3000), utility.argmax(axis=1))
    redeemed[np.arange(3000), chosen] = True
    found = fit_weights([(features, redeemed)], prior=(1.0, 0.0, 0.0))
    assert np.corrcoef(found, truth)[0, 1] > 0.99
    assert np.abs(found / found[0] - np.array(truth) / truth[0]).max() < 0.1


@given(seed=st.integers(0, 2**16), customers=st.integers(1, 6), offers=st.integers(1, 5))
def test_few_redemptions_hardly_move_the_prior_and_weights_are_finite(seed, customers, offers):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(customers, offers, 5))
    weights = fit_weights([(features, rng.random((customers, offers)) < 0.4)])
    assert np.isfinite(weights).all()
    assert np.abs(weights - np.array(PRIOR)).max() < 0.25 * customers
