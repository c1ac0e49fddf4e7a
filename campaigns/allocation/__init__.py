"""Which offer goes to whom: one optimisation over all customers, its decisions, its certificate, and its reasons.

solve decides one campaign, solve_night all that share people and money; at_prices says what the prices alone would
choose, first_come what counters would. losing_reasons(…, further=, rival=) names for each pair that lost what stood in
the way: group limits, guaranteed minimums and a night's other campaigns too.
"""

from campaigns.allocation.night import Night, Part, solve_night
from campaigns.allocation.problem import (
    REDEEMED,
    SENT,
    Candidates,
    Certificate,
    Chosen,
    GroupLimit,
    Limits,
    MinimumsError,
    Offers,
    Prices,
    Solution,
    Used,
)
from campaigns.allocation.reasons import Reason, Reasons, losing_reasons
from campaigns.allocation.recovery import worth
from campaigns.allocation.solve import at_prices, first_come, solve

__all__ = [
    "REDEEMED",
    "SENT",
    "Candidates",
    "Certificate",
    "Chosen",
    "GroupLimit",
    "Limits",
    "MinimumsError",
    "Night",
    "Offers",
    "Part",
    "Prices",
    "Reason",
    "Reasons",
    "Solution",
    "Used",
    "at_prices",
    "first_come",
    "losing_reasons",
    "solve",
    "solve_night",
    "worth",
]
