"""Which items of an offer each customer is shown, and why."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, hstack

from campaigns.policy import Place
from campaigns.reasons import Reason
from campaigns.scope import scope_matrix
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS
from flows.champion import Champion
from flows.deciding.plan import Known
from flows.newcomers import Newcomers, fit_newcomers, without_history
from flows.reasons import speak_of
from flows.recommend import may_be_shown
from recsys.rhythm import rhythm
from recsys.scoring import reasons, top_items_for_pairs

ITEMS_PER_OFFER = 4
LOOKED_AT = 12  # of which those with a title of their own are shown
NOT_ON: dict[str, tuple[Place, ...]] = {"push": ("push",)}  # a push may be read by others on a locked screen


def read_newcomers(champion: Champion, known: Known) -> Newcomers:
    serving = champion.serving
    return fit_newcomers(serving.model, serving.matrix, known.customers, champion.as_of.date())


def pick_items(
    campaign: Campaign,
    champion: Champion,
    newcomers: Newcomers,
    known: Known,
    customers: pa.Array,
    offer: NDArray[np.integer],
    channel: NDArray[np.integer],
    as_of: datetime,
) -> tuple[list[list[str]], list[str]]:
    """(up to ITEMS_PER_OFFER item ids, best first; the reason's code for the first) of each customer's offer.

    No two of them have the same title: to whom it is shown, the second would be the first once more.
    offer, channel: numbers in campaign.offers and CHANNELS, beside customers. Who has no history is shown what is
    popular with their kind, and of an offer none of whose items the model knows, what was ordered most.
    """
    serving = champion.serving
    column = offer.astype(np.int64) + channel.astype(np.int64) * len(campaign.offers)
    shown = _shown(campaign, known, serving.matrix.items)
    rows = serving.matrix.customer_rows(customers)
    top = top_items_for_pairs(serving.model, rows, column, shown, LOOKED_AT)
    why = np.full(len(rows), Reason("popular").code, object)
    new = without_history(serving.matrix, rows)
    told = np.flatnonzero((top[:, 0] >= 0) & ~new)
    may = speak_of(known.items, serving.matrix.items)
    why[told] = reasons(serving.model, serving.matrix, rows, told, top[told, 0], may)
    strangers = np.flatnonzero(new)
    picks, codes = newcomers.in_scopes(
        customers.take(pa.array(strangers)), column[strangers], shown.tocsc(), top.shape[1]
    )
    top[strangers], why[strangers] = picks, codes
    names = serving.matrix.items.to_pylist()
    titles = _titles(known)
    items = [told_apart([names[item] for item in row if item >= 0], titles) for row in top.tolist()]
    if unknown := [k for k, row in enumerate(items) if not row]:
        most = _most_ordered(_shown(campaign, known, known.items["item_id"].combine_chunks()), known)
        for k in unknown:
            items[k], why[k] = told_apart(most[int(column[k])], titles), Reason("popular").code
    _say_rhythm(why, items, known, customers, as_of)
    return items, why.tolist()


def _titles(known: Known) -> dict[str, str]:
    """Item → what it is told by: its title without regard to case, or its id where it has none."""
    ids, titles = (known.items[name].to_pylist() for name in ("item_id", "title"))
    return {item: " ".join((title or item).casefold().split()) for item, title in zip(ids, titles, strict=True)}


def told_apart(items: list[str], titles: Mapping[str, str]) -> list[str]:
    """The first of each title, ITEMS_PER_OFFER of them at most."""
    found: dict[str, str] = {}
    for item in items:
        found.setdefault(titles.get(item, item), item)
        if len(found) == ITEMS_PER_OFFER:
            break
    return list(found.values())


def _shown(campaign: Campaign, known: Known, item_ids: pa.Array) -> csr_matrix:
    """0/1 [item_ids × (channels × offers)]: the items of each scope that may be shown on each channel."""
    scopes = scope_matrix(campaign.offers, known.items, item_ids)
    allowed = [may_be_shown(known.items, item_ids, *NOT_ON.get(channel, ())) for channel in CHANNELS]
    return csr_matrix(hstack([diags_array(may.astype(np.float32)) @ scopes for may in allowed], format="csr"))


def _most_ordered(shown: csr_matrix, known: Known) -> list[list[str]]:
    """Of each column the items that were ordered most, those never ordered last, equals in order of their ids."""
    ids = known.items["item_id"].combine_chunks()
    counted = known.purchases["item_id"].value_counts()
    place = pc.index_in(ids, value_set=counted.field("values"))
    orders = pc.fill_null(counted.field("counts").take(place), 0).to_numpy()
    names, by_column = ids.to_pylist(), shown.tocsc()
    found = []
    for start, end in zip(by_column.indptr[:-1], by_column.indptr[1:], strict=True):
        inside = by_column.indices[start:end][by_column.data[start:end] != 0]
        best = sorted(inside.tolist(), key=lambda item: (-orders[item], names[item]))
        found.append([names[item] for item in best[:LOOKED_AT]])
    return found


def _say_rhythm(why: NDArray, items: list[list[str]], known: Known, customers: pa.Array, as_of: datetime) -> None:
    """Writes into the reasons of repeats how often their item is bought, where that can be seen."""
    again = np.flatnonzero(why == "repeat")
    if not len(again):
        return
    bought = pa.array([items[k][0] for k in again], pa.string())
    times = rhythm(known.purchases, as_of, customers.take(pa.array(again)), bought)
    for k, every, since in zip(again, times.every, times.since, strict=True):
        if np.isfinite(every):
            why[k] = Reason("repeat", every=max(1, round(every)), since=int(since)).code
