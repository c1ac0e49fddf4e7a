"""Which of a campaign's offers a customer will redeem, learned from campaigns before it.

A redemption is not a purchase: what everybody buys is bought without an offer in mind, and offers are made for some.
So an offer ranks by how much more the customer buys of its scope than people do, by what else they buy of its kind, and
by how often such items, and such offers, were taken up before. Each is one logarithm; a score is their weighted sum.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]

FEATURES = ("bought", "common", "kindred", "vouchers", "redeemed")
# What to believe before there is a campaign to learn from: people redeem in proportion to what they buy, less where
# everybody buys it (as words count in text search by term and document frequency), and a little of the rest.
PRIOR = (1.0, -0.35, 0.25, 0.2, 0.2)
CERTAINTY = 20.0  # how many customers' redemptions the prior weighs about as much as
STRAY = 0.5  # the share of redemptions that no history explains; without it these few would bend all the weights
NEAR = 0.1  # of the mean: what is added to a customer's own orders, so that who never bought can be ranked too
PSEUDO_ORDERS = 5.0  # at the voucher rate of all, added to a scope's orders
LEAST = 0.02  # of the average scope's mean orders: the same for scopes that hardly anybody buys


def similarity(scopes: csr_matrix, earlier: csr_matrix) -> csr_matrix:
    """How much offers overlap, CSR [offers × earlier offers]: items in both scopes / items in either (Jaccard).

    scopes, earlier: [items × offers] of 0/1 over the same items.

    >>> similarity(csr_matrix([[1], [1], [0]]), csr_matrix([[1, 0], [1, 0], [1, 1]])).toarray().round(2).tolist()
    [[0.67, 0.0]]
    """
    both = csr_matrix(scopes.T @ earlier, dtype=np.float64)
    own, other = (np.asarray(side.sum(axis=0)).ravel() for side in (scopes, earlier))
    row = np.repeat(np.arange(both.shape[0]), np.diff(both.indptr))
    both.data /= own[row] + other[both.indices] - both.data
    return both


def offer_features(
    orders: csr_matrix,
    rows: NDArray[np.integer],
    scopes: csr_matrix,
    *,
    kinds: csr_matrix | None = None,
    vouchers: NDArray[np.floating] | None = None,
    redeemed: csr_matrix | None = None,
) -> Floats:
    """FEATURES of each offer for each of the rows: float64 [rows × offers × 5], as of the instant that orders are of.

    orders: [customers × items], weighted orders; row -1 is a customer without any. scopes: [items × offers] of 0/1.
    kinds: [items × kinds] of 0/1, which items are alike, such as those of one category. None: nothing is known of it.
    vouchers: [items], the weight of the orders in which a voucher was used on the item; None: not known.
    redeemed: [rows × offers], redemptions of earlier offers, weighted by similarity; None: none.
    With b the customer's orders in the scope, m their mean over all customers, ε a small share of the average m:
        bought = log(b + m/10 + ε), common = log(m + ε); kindred the same of the kinds that the scope is of;
        vouchers = log of the share of the scope's orders that used one, over that of all, drawn to 1;
        redeemed = log(1 + such redemptions). All are 0 where nothing is known.
    """
    scopes = csr_matrix(scopes, dtype=np.float64)
    own = csr_matrix(orders[np.maximum(rows, 0)].multiply((rows >= 0)[:, None]), dtype=np.float64)
    sold = np.asarray(orders.sum(axis=0), np.float64).ravel()
    mean = (scopes.T @ sold) / max(orders.shape[0], 1)
    floor = LEAST * max(mean.mean(), np.finfo(np.float64).tiny)
    found = np.zeros((len(rows), scopes.shape[1], len(FEATURES)))
    found[..., 0] = np.log((own @ scopes).toarray() + NEAR * mean + floor)
    found[..., 1] = np.log(mean + floor)
    if kinds is not None:
        found[..., 2] = _kindred(own, sold, scopes, csr_matrix(kinds, dtype=np.float64))
    if vouchers is not None and vouchers.sum() > 0:
        rate = vouchers.sum() / sold.sum()
        found[..., 3] = np.log((scopes.T @ vouchers + PSEUDO_ORDERS * rate) / (scopes.T @ sold + PSEUDO_ORDERS) / rate)
    if redeemed is not None:
        found[..., 4] = np.log1p(redeemed.toarray())
    return found


def _kindred(own: csr_matrix, sold: Floats, scopes: csr_matrix, kinds: csr_matrix) -> Floats:
    """Orders of the scope's kinds, each in the share that it has of the scope's orders; as a logarithm."""
    weight = csr_matrix(scopes.multiply(sold[:, None] + 1e-3))  # an item that nobody bought has a kind as well
    share = csr_matrix(kinds.T @ weight)
    share = csr_matrix(share.multiply(1 / np.maximum(np.asarray(share.sum(axis=0)), np.finfo(np.float64).tiny)))
    alike = ((own @ kinds) @ share).toarray()
    typical = alike.mean() if alike.size else 0.0
    return np.log(alike + NEAR * max(typical, np.finfo(np.float64).tiny))


def fit_weights(
    trials: Sequence[tuple[Floats, NDArray[np.bool_]]], prior: Sequence[float] = PRIOR, certainty: float = CERTAINTY
) -> Floats:
    """The weight of each feature, from (features [n × offers × k], redeemed [n × offers]) of campaigns before.

    Which offer a customer redeems is taken as a choice among the campaign's: by softmax of the scores or, with chance
    STRAY, any of them alike. Somebody who redeems r offers counts √r times. The penalty certainty·|w − prior|² keeps
    the prior where there is little to learn from; without trials it is the prior itself.
    """
    start = np.asarray(prior, np.float64)
    chosen = [(features, redeemed) for features, redeemed in trials if redeemed.any() and redeemed.shape[1] > 1]

    def loss(weights: Floats) -> tuple[float, Floats]:
        total, slope = certainty * np.square(weights - start).sum(), 2 * certainty * (weights - start)
        for features, redeemed in chosen:
            score = features @ weights
            chance = np.exp(score - score.max(axis=1, keepdims=True))
            chance /= chance.sum(axis=1, keepdims=True)
            mixed = (1 - STRAY) * chance + STRAY / redeemed.shape[1]
            times = redeemed / np.sqrt(np.maximum(redeemed.sum(axis=1, keepdims=True), 1))
            explained = times * (1 - STRAY) * chance / mixed
            total -= (times * np.log(mixed)).sum()
            slope -= np.einsum("no,nok->k", explained - explained.sum(axis=1, keepdims=True) * chance, features)
        return total, slope

    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)
