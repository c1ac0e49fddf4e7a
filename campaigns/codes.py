"""Voucher codes: a shared one for everybody, or single-use ones out of an imported pool, each given to one customer."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaigns.spec import Offer
from recsys.tables import INSTANT, InputError


def free_codes(codes: pa.Table, taken: pa.Array, until: datetime) -> dict[str, pa.Array]:
    """Pool → its codes that are not taken and stay valid until an instant, in order.

    codes: CODES. taken: codes that other runs have given away already; a code is single-use whatever its pool.
    """
    expiry = codes["valid_until"]
    lasting = pc.or_kleene(pc.is_null(expiry), pc.greater_equal(expiry, pa.scalar(until, INSTANT)))
    left = codes.filter(pc.and_(pc.fill_null(lasting, True), pc.invert(pc.is_in(codes["code"], value_set=taken))))
    left = left.sort_by([("pool", "ascending"), ("code", "ascending")])
    pools = pc.unique(left["pool"]).to_pylist()
    return {pool: left.filter(pc.equal(left["pool"], pool))["code"].combine_chunks() for pool in pools}


def assign_codes(decisions: pa.Table, offers: Sequence[Offer], free: Mapping[str, pa.Array]) -> pa.StringArray:
    """The code of each decision; null where its offer has none, and for controls, who are sent nothing.

    decisions: DECISIONS in order of customer, so that the same decisions get the same codes. A customer gets a pool's
    code once, however many of its offers they are given. Raises InputError if a pool has too few.
    """
    given = np.full(decisions.num_rows, None, object)
    treated = pc.equal(decisions["arm"], "treatment").to_numpy()
    offer_ids = decisions["offer_id"].to_numpy(zero_copy_only=False)
    customers = decisions["customer_id"].to_numpy(zero_copy_only=False)
    pools: dict[str, list[str]] = {}
    for offer in offers:
        if offer.code is None:
            continue
        if offer.code.shared is not None:
            given[treated & (offer_ids == offer.id)] = offer.code.shared
        else:
            pools.setdefault(offer.code.pool or "", []).append(offer.id)
    for pool, members in pools.items():
        rows = np.flatnonzero(treated & np.isin(offer_ids, members))
        people, holder = np.unique(customers[rows], return_inverse=True)
        codes = free.get(pool, pa.array([], pa.string()))
        if len(people) > len(codes):
            raise InputError(
                f"codes: pool {pool} has {len(codes)} codes left, and {len(people)} customers are to get one; "
                "import more, or lower the quota of its offers"
            )
        given[rows] = codes.to_numpy(zero_copy_only=False)[holder]
    return pa.array(given, pa.string())
