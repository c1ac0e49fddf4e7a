"""The loops over pairs, compiled. Each works on a range of customers, holds no state, and lets go of the GIL.

Whatever is summed over customers is summed in whole numbers (rupiah, messages, and redemptions and rupiah of the dual
in units of a power of two), so that no order of rows and no number of threads can change a result.

terms [segments × m × width] holds what a pair's reduced value needs of its offer at given prices, in each segment of
the customers (those who are in the same groups):
  0 margin · 1 benefit·retailer_share + price per redemption · 2 price per message · 3–4, 5–6 … of each funder of the
  offer (two at least): its cost per redemption, the price of its budget · last, one per channel: growth (p1 / p0).
upper (reach, gain [… × channels], fee), float32 [segments × m]: a pair with a p0 below reach is worth nothing on any
channel, and no pair that is worth something is worth more than p0·gain − fee.
`row` is (indptr, offer, p0, allowed, segment, person, extra: what a message to each customer costs beyond the toll,
without rows where nothing), `rules` (toll, positions, rank, group, grouped, fallback by channel), `counting`
(quota_kind, funder, unit, further limits by segment and offer), `left` (quota, budget, capacity, further, patience:
messages of each person), `made` (channel, chosen), `scratch` (room to work, as nothing here makes an array): see
Prepared.
"""

from campaigns.allocation.kernels.choosing import FEW
from campaigns.allocation.kernels.counting import take_all
from campaigns.allocation.kernels.listing import list_made
from campaigns.allocation.kernels.passes import choose_block, dual_block, survey
from campaigns.allocation.kernels.serving import could_get, exchange, walk
from campaigns.allocation.kernels.worth import HEAD, most_worth, terms_at

__all__ = [
    "FEW",
    "HEAD",
    "choose_block",
    "could_get",
    "dual_block",
    "exchange",
    "list_made",
    "most_worth",
    "survey",
    "take_all",
    "terms_at",
    "walk",
]
