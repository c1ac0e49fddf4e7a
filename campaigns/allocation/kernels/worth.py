# mypy: allow-untyped-defs
"""What a pair is worth at the limits' prices: exactly, and at most."""

import numpy as np

from campaigns.allocation.kernels.compiling import compiled, inlined

HEAD = 3  # terms before those of the funders
SLACK = 2.0**-20  # more than the rounding of a float32
LARGE = 3e38  # nearly the largest float32


@inlined
def raised(p0, growth):
    """p1, as value.purchase_probability."""
    return min(1.0, p0 * growth)


@inlined
def toll_of(i, c, toll, extra):
    """What a message to customer i on channel c costs."""
    return toll[c] + extra[i, c] if len(extra) > 0 else toll[c]


@inlined
def growth_at(terms, channels, c):
    return np.uint64(terms.shape[2] - channels + c)


@inlined
def worth_of(s, j, p0, p1, terms):
    """A pair's value less what it uses at the limits' prices. At prices of 0 it is value.pair_value, bit for bit."""
    return (
        (p1 - p0) * terms[s, j, 0]
        - p1 * terms[s, j, 1]
        - terms[s, j, 2]
        - terms[s, j, 4] * np.ceil(p1 * terms[s, j, 3])
        - terms[s, j, 6] * np.ceil(p1 * terms[s, j, 5])
    )


@inlined
def further_funders(s, j, p1, terms, channels):
    """What worth_of leaves out where an offer has more than two funders."""
    paid = 0.0
    for k in range(HEAD + 4, terms.shape[2] - channels, 2):
        paid += terms[s, j, k + 1] * np.ceil(p1 * terms[s, j, k])
    return paid


@compiled
def terms_at(terms, offers, prices, further, growth):
    """Fills terms, as the layout says. offers: (margin, benefit·retailer_share, whether its quota is of messages,
    funder, cost per redemption). prices: (of quotas, of budgets). further: (start, limit, weight, whether it is of
    messages, price with its sign) of the group limits."""
    margin, own, quota_sent, funder, cost = offers
    quota, budget = prices
    start, limit, weight, sent, price = further
    first = terms.shape[2] - growth.shape[1]
    for s in range(terms.shape[0]):
        for j in range(terms.shape[1]):
            per_message, per_redemption = (quota[j], 0.0) if quota_sent[j] else (0.0, quota[j])
            for k in range(start[s, j], start[s, j + 1]):
                if sent[limit[k]]:
                    per_message += price[limit[k]] * weight[k]
                else:
                    per_redemption += price[limit[k]] * weight[k]
            terms[s, j, 0], terms[s, j, 1], terms[s, j, 2] = margin[j], own[j] + per_redemption, per_message
            for k in range(funder.shape[1]):
                terms[s, j, HEAD + 2 * k] = cost[j, k]
                terms[s, j, HEAD + 2 * k + 1] = budget[funder[j, k]] if len(budget) else 0.0
            for c in range(growth.shape[1]):
                terms[s, j, first + c] = growth[j, c]


@compiled
def most_worth(terms, channels, reach, gain, fee):
    """Fills upper, what no pair of an offer can be worth more than at the prices of these terms.

    Without rounding costs up and with no p1 cut off at 1, a pair is worth p0·gain − fee. Where more redemptions are
    worth having that is too much rather than too little; where they are not, gain leaves them out. All is rounded so
    that nothing worth having is ever below.
    """
    first = terms.shape[2] - channels
    for s in range(terms.shape[0]):
        for j in range(terms.shape[1]):
            margin, own, each_message = terms[s, j, 0], terms[s, j, 1], terms[s, j, 2]
            paid = own
            for k in range(HEAD, first, 2):
                paid += terms[s, j, k] * terms[s, j, k + 1]
            size = abs(margin) + abs(own) + abs(paid)
            most = -np.inf
            for c in range(channels):
                growth = terms[s, j, first + c]
                upper = max(margin - paid, 0.0) * growth - margin + SLACK * (growth * size + abs(margin))
                gain[s, j, c] = min(max(upper, -LARGE), LARGE)
                most = max(most, upper)
            least = each_message - SLACK * abs(each_message)
            fee[s, j] = min(least, LARGE)
            if least > 0.0:
                reach[s, j] = least * (1.0 - SLACK) / most if most > 0.0 else np.inf
            else:
                reach[s, j] = 0.0 if least < 0.0 or most > 0.0 else np.inf
