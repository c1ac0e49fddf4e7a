"""What each offer is worth to each person: propensities and past baskets, and with them the allocation's offers."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from campaigns.allocation import REDEEMED, SENT, Limits, Offers
from campaigns.scope import scope_matrix
from campaigns.spec import Campaign, Channel, Offer
from campaigns.value import economics
from flows.champion import Champion
from recsys.artifact import Artifact
from recsys.evaluation import bought_matrix, purchases_between
from recsys.propensity import DecileRates, fit_decile_rates
from recsys.tables import INSTANT, InputError

BASKET_DAYS = 182  # how far back baskets say what an order in a scope is worth
RETAILER = "retailer"


def fit_rates(champion: Champion, purchases: pa.Table, items: pa.Table, campaign: Campaign) -> DecileRates:
    """The rate of purchase in each offer's scope within the campaign's window, by decile of the score known before it.

    The champion carries its twin fitted at the cut, which knows nothing of what came after. As the messages go out
    lead_days after the decision, the window begins lead_days after the cut.
    purchases: net of returns as of the decision. Raises InputError if the window is longer than what was held out.
    """
    fit, offers, lead = champion.at_cut, campaign.offers, campaign.schedule.lead_days
    start = champion.cut + timedelta(days=lead)
    end = start + timedelta(days=campaign.window_days)
    if end > champion.as_of:
        needed, held_out = lead + campaign.window_days, (champion.as_of - champion.cut).days
        raise InputError(
            f"{campaign.id}: lead_days and window_days are {needed} days together, and the model held out {held_out}; "
            f"set train.window_days to {needed} or more in larisma.toml and train again"
        )
    window = purchases_between(purchases, start, end)
    item_ids = items["item_id"].combine_chunks()
    in_scope = bought_matrix(window, fit.matrix.customers, item_ids) @ scope_matrix(offers, items, item_ids)
    scores, before = scope_facts(fit, np.arange(len(fit.matrix.customers)), items, offers)
    return fit_decile_rates(scores, before, in_scope.toarray() > 0)


def propensities(
    champion: Champion, rates: DecileRates, items: pa.Table, offers: Sequence[Offer], people: pa.Array
) -> NDArray[np.float32]:
    """p0 [people × offers], from the scores of the model that serves."""
    rows = champion.serving.matrix.customer_rows(people)
    return rates.apply(*scope_facts(champion.serving, rows, items, offers))


def scope_facts(
    fit: Artifact, rows: NDArray[np.integer], items: pa.Table, offers: Sequence[Offer]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(score, bought before) of each row in each offer's scope; row -1 is a customer without history."""
    scopes = scope_matrix(offers, items, fit.matrix.items)
    before = np.zeros((len(rows), len(offers)), np.bool_)
    known = rows >= 0
    before[known] = (fit.matrix.matrix[rows[known]] @ scopes).toarray() > 0
    return fit.model.scope_scores(rows, scopes), before


def positions(ids: pa.ChunkedArray, among: pa.Array) -> NDArray[np.int32]:
    """Row number of each id, -1 where it has none."""
    return pc.fill_null(pc.index_in(ids, value_set=among), -1).to_numpy()


def past_baskets(
    purchases: pa.Table, items: pa.Table, scopes: csr_matrix, since: datetime, margin_rate: float
) -> tuple[csc_matrix, csc_matrix]:
    """(spend, margin) in rupiah of each order in each scope since an instant, both [orders × offers].

    margin_rate: of items that state none.
    """
    recent = purchases.filter(pc.greater_equal(purchases["occurred_at"], pa.scalar(since, INSTANT)))
    orders = recent["order_id"].combine_chunks().dictionary_encode()
    cells = (orders.indices.to_numpy(), positions(recent["item_id"], items["item_id"]))
    amount = recent["amount"].to_numpy().astype(np.float64)
    rates = items["margin_rate"].fill_null(margin_rate).to_numpy()
    shape = (len(orders.dictionary), items.num_rows)
    spend, margin = (
        csc_matrix(csr_matrix((values, cells), shape=shape) @ scopes) for values in (amount, amount * rates[cells[1]])
    )
    spend.eliminate_zeros()
    return spend, margin


def offer_arrays(
    campaign: Campaign, spend: csc_matrix, margin: csc_matrix, funders: Sequence[str]
) -> tuple[Offers, NDArray[np.float64]]:
    """The campaign's offers as the allocation takes them, in the order of the file; and which share of each scope's
    baskets reaches the minimum spend, 0–1 [offers].

    Only such a basket redeems an offer, so only such a basket counts: margin and benefit are those of baskets reaching
    the minimum, and a chance of purchase has to be multiplied by their share.
    """
    offers = campaign.offers
    all_baskets = [spend.data[spend.indptr[j] : spend.indptr[j + 1]] for j in range(len(offers))]
    margins = [margin[:, j].sum() / max(1.0, basket.sum()) for j, basket in enumerate(all_baskets)]
    minimum = [float(offer.min_spend) for offer in offers]
    baskets = [basket[basket >= least] for basket, least in zip(all_baskets, minimum, strict=True)]
    reach = np.array([len(some) / max(1, len(every)) for some, every in zip(baskets, all_baskets, strict=True)])
    per_purchase = economics([offer.benefit for offer in offers], baskets, margins, minimum)
    groups = {name: number for number, name in enumerate(dict.fromkeys(o.group or f"·{o.id}" for o in offers))}
    arrays = Offers(
        margin=per_purchase[0],
        benefit=per_purchase[1],
        uplift=np.array([offer.uplift for offer in offers]),
        shares=np.array([[offer.funders.get(funder, 0.0) for funder in funders] for offer in offers]),
        retailer_share=np.array([offer.funders.get(RETAILER, 0.0) for offer in offers]),
        group=np.array([groups[offer.group or f"·{offer.id}"] for offer in offers], np.int32),
        priority=np.array([offer.priority for offer in offers], np.int32),
        quota=np.array([offer.quota.limit if offer.quota else np.inf for offer in offers], np.float64),
        quota_kind=np.array([SENT if o.quota and o.quota.kind == "sent" else REDEEMED for o in offers], np.uint8),
        fallback=-1 if campaign.fallback is None else [offer.id for offer in offers].index(campaign.fallback),
    )
    return arrays, reach


def limit_arrays(campaign: Campaign, channels: Sequence[str], funders: Sequence[str]) -> Limits:
    """The campaign's budgets and channels; a channel that it does not use has no room."""
    given: dict[str, Channel] = {str(name): channel for name, channel in campaign.channels.items()}
    used = [given.get(channel) for channel in channels]
    return Limits(
        budgets=np.array([float(campaign.budgets[funder]) for funder in funders]),
        capacity=np.array([float(channel.capacity) if channel else 0.0 for channel in used]),
        positions=np.array([channel.positions if channel else 1 for channel in used], np.int64),
        message_cost=np.array([float(channel.message_cost) if channel else 0.0 for channel in used]),
        response=np.array([channel.response if channel else 1.0 for channel in used]),
    )
