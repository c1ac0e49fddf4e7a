"""What each offer is worth: past baskets in its scope, and with them the allocation's offers and limits."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from campaigns.allocation import REDEEMED, SENT, Limits, Offers
from campaigns.offer import RETAILER
from campaigns.spec import Campaign, Channel
from campaigns.value import economics
from recsys.tables import INSTANT

BASKET_DAYS = 182  # how far back baskets say what an order in a scope is worth


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
