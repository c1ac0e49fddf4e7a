"""What customers will still order and spend: BG/NBD for when they buy, gamma-gamma for how much.

BG/NBD: Fader, Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science 24(2), 2005. While alive, a
customer buys at a rate λ ~ Gamma(r, α), and after each repeat purchase leaves for good with a chance p ~ Beta(a, b).
Gamma-gamma: Fader and Hardie, "The Gamma-Gamma Model of Monetary Value", 2013 (brucehardie.com/notes/025). A purchase
is worth Gamma(p, ν) with ν ~ Gamma(q, γ), independent of how often the customer buys.

Both are fitted by maximum likelihood over the logarithms of their parameters. Times are in one unit of the caller's
choice (weeks below), from a customer's first purchase on: frequency x counts repeat purchases, recency t_x is the time
of the last one (0 if none), age T is the time to the instant of looking. All functions take columns of customers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1

from recsys.interactions import DAY, net_purchases
from recsys.tables import INSTANT, MONEY, InputError

WEEK = 7.0  # days
LEAST_REPEATERS = 20  # customers who came again; fewer tell too little to fit four parameters to

NUDGE = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BgNbd:
    """r, alpha: of the rate of purchase (alpha in units of time). a, b: of the chance to leave after a purchase."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True)
class GammaGamma:
    """p, q without unit; gamma in rupiah (or whatever the values were in)."""

    p: float
    q: float
    gamma: float


LIFETIME = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("expected_orders", pa.float64(), nullable=False),  # within the horizon
        pa.field("alive", pa.float64(), nullable=False),  # chance of not having left for good
        pa.field("lifetime_value", MONEY),  # rupiah spent within the horizon, discounted; null: beyond the model
    ]
)


def lifetime_values(
    purchases: pa.Table, as_of: datetime, horizon_days: float = 364.0, yearly_discount: float = 0.10
) -> pa.Table:
    """What each customer with a purchase before as_of is expected to order and spend in the days after it.

    Returns a table of LIFETIME in order of customer_id. Spending is revenue, not margin: multiply by a margin rate for
    profit. Raises InputError if fewer than 20 customers have come again, which is too few to learn from.
    """
    known = summarise(purchases, as_of)
    frequency, recency, age, value = (known[name].to_numpy() for name in ("frequency", "recency", "age", "value"))
    repeaters = (frequency > 0) & (value > 0)
    if repeaters.sum() < LEAST_REPEATERS:
        raise InputError(
            f"purchases: {int(repeaters.sum())} customers bought on a second day before {as_of.isoformat()}, too few "
            f"to estimate lifetime values from (at least {LEAST_REPEATERS})"
        )
    orders, money = fit_bg_nbd(frequency, recency, age), fit_gamma_gamma(frequency[repeaters], value[repeaters])
    horizon = horizon_days / WEEK
    worth = customer_lifetime_value(
        orders, money, frequency, recency, age, value, horizon, (1 + yearly_discount) ** (WEEK / 365.25) - 1
    )
    columns = [
        known["customer_id"],
        pa.array(expected_purchases(orders, horizon, frequency, recency, age)),
        pa.array(alive(orders, frequency, recency, age)),
        pa.array(np.rint(worth), mask=~np.isfinite(worth)).cast(pa.int64()),
    ]
    return pa.table(columns, schema=LIFETIME)


def summarise(purchases: pa.Table, as_of: datetime) -> pa.Table:
    """customer_id, frequency, recency, age (weeks) and value of everybody who bought before as_of, returns netted.

    Purchases of one day (UTC) are one. value: mean rupiah per repeat purchase, 0 where there is none; as usual the
    first purchase does not count, since it is what made them customers.
    """
    net = net_purchases(purchases, as_of)
    instant = pc.cast(net["occurred_at"].cast(INSTANT), pa.int64())
    days = pa.table(
        {"customer_id": net["customer_id"], "day": pc.divide(instant, DAY), "amount": net["amount"]},
    )
    days = days.group_by(["customer_id", "day"]).aggregate([("amount", "sum")])
    days = days.sort_by([("customer_id", "ascending"), ("day", "ascending")])
    encoded = days["customer_id"].combine_chunks().dictionary_encode()
    customer, day = encoded.indices.to_numpy(), days["day"].to_numpy()
    bought = np.bincount(customer, minlength=len(encoded.dictionary))
    end = np.cumsum(bought)
    first = end - bought
    spent = np.bincount(customer, days["amount_sum"].to_numpy(), minlength=len(bought))
    frequency = bought - 1
    today = pa.scalar(as_of, INSTANT).value / DAY
    repeat_value = (spent - days["amount_sum"].to_numpy()[first]) / np.maximum(frequency, 1)
    return pa.table(
        {
            "customer_id": encoded.dictionary,
            "frequency": frequency.astype(np.float64),
            "recency": (day[end - 1] - day[first]) / WEEK,
            "age": (today - day[first]) / WEEK,
            "value": repeat_value,
        }
    )


def fit_bg_nbd(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> BgNbd:
    """Maximum likelihood, equation (6) of the 2005 paper. Raises ValueError for numbers that cannot be a history."""
    x, tx, T = _history(frequency, recency, age)
    rows, count = np.unique(np.column_stack([x, tx, T]), axis=0, return_counts=True)
    x, tx, T = rows.T
    scale = max(float(T.mean()), 1e-9)  # fitted in units of the mean age, so that the start suits every unit

    def loss(log_parameters: Floats) -> float:
        r, alpha, a, b = np.exp(log_parameters)
        return -float(count @ _log_likelihood(r, alpha, a, b, x, tx / scale, T / scale)) / float(count.sum())

    r, alpha, a, b = np.exp(_minimum(loss, [(-12, 12)] * 4)).tolist()
    return BgNbd(r, alpha * scale, a, b)


def fit_gamma_gamma(frequency: ArrayLike, value: ArrayLike) -> GammaGamma:
    """Maximum likelihood, equation (1a) of the 2013 note, over customers who came again.

    value: [customers], mean of a customer's `frequency` repeat purchases. q is kept above 1, below which there is no
    mean over all customers. Raises ValueError unless frequencies and values are positive.
    """
    x, mean = np.asarray(frequency, np.float64), np.asarray(value, np.float64)
    if not (len(x) and (x > 0).all() and (mean > 0).all() and np.isfinite(x + mean).all()):
        raise ValueError("values are learned from customers who came again, all of them positive")
    scale = float(mean.mean())

    def loss(log_parameters: Floats) -> float:
        p, q, gamma = np.exp(log_parameters)
        m = mean / scale
        likelihood = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(gamma) + (p * x - 1) * np.log(m)
        likelihood += p * x * np.log(x) - (p * x + q) * np.log(gamma + x * m)
        return -float(likelihood.mean())

    p, q, gamma = np.exp(_minimum(loss, [(-12, 12), (0.01, 12), (-12, 12)])).tolist()
    return GammaGamma(p, q, gamma * scale)


def expected_purchases(model: BgNbd, time: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
    """E[purchases in (T, T + time] | x, t_x, T], equation (10) of the 2005 paper. float64 [customers]."""
    x, tx, T = _history(frequency, recency, age)
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    if abs(a - 1) < NUDGE or abs(a + b - 1) < NUDGE:  # a factor and what it is multiplied by: nought times infinity
        a += 2 * NUDGE
    z = time / (alpha + T + time)
    # By Euler's transformation no parameter of the series but the last grows with x, so long histories do not overflow.
    first, second, third = a + b - 1 - r, a - 1, a + b + x - 1
    found = hyp2f1(first, second, third, z)
    # Where the parameters differ by whole numbers scipy may find nothing near 1; a hair beside them it does.
    found = np.where(np.isfinite(found), found, hyp2f1(first + NUDGE, second, third, z))
    series = (1 - z) ** second * found
    return np.maximum(0.0, (a + b + x - 1) / (a - 1) * (1 - series) * alive(model, x, tx, T))


def alive(model: BgNbd, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
    """The chance of not having left for good, 0–1 [customers]; 1 for whoever never came again, as nobody leaves before.

    From the two terms of the likelihood: their ratio, in logarithms, so that long histories do not overflow.
    """
    x, tx, T = _history(frequency, recency, age)
    odds = np.log(model.a / (model.b + np.maximum(x, 1) - 1))
    odds = odds + (model.r + x) * np.log((model.alpha + T) / (model.alpha + tx))
    return np.where(x > 0, expit(-odds), 1.0)


def expected_value(model: GammaGamma, frequency: ArrayLike, value: ArrayLike) -> Floats:
    """E[value of a purchase | x, m], equation (5) of the 2013 note: the own mean drawn to that of all; [customers]."""
    x, mean = np.asarray(frequency, np.float64), np.asarray(value, np.float64)
    return model.p * (model.gamma + np.where(x > 0, x * mean, 0.0)) / (model.p * x + model.q - 1)


def customer_lifetime_value(
    orders: BgNbd,
    money: GammaGamma,
    frequency: ArrayLike,
    recency: ArrayLike,
    age: ArrayLike,
    value: ArrayLike,
    horizon: float,
    discount: float,
    step: float = 4.0,
) -> Floats:
    """Expected spending within the horizon, discounted; [customers], in the unit of the values.

    horizon, step: in the histories' unit of time; discount: per unit of time. What is spent in a step is discounted as
    of its middle.
    """
    total = np.zeros(len(np.asarray(frequency)))
    before = np.zeros_like(total)
    edges = np.append(np.arange(step, horizon, step), horizon)
    for start, end in zip(np.append(0.0, edges[:-1]), edges, strict=True):
        by_then = expected_purchases(orders, float(end), frequency, recency, age)
        total += (by_then - before) * (1 + discount) ** (-(start + end) / 2)
        before = by_then
    return total * expected_value(money, frequency, value)


def _log_likelihood(r: float, alpha: float, a: float, b: float, x: Floats, tx: Floats, T: Floats) -> Floats:
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
    stayed = betaln(a, b + x) - (r + x) * np.log(alpha + T)
    left = betaln(a + 1, b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + tx)
    return common + np.where(x > 0, np.logaddexp(stayed, left), stayed)


def _minimum(loss: Callable[[Floats], float], bounds: Sequence[tuple[float, float]]) -> Floats:
    """The best logarithms found from a few starts; beyond e^±12 a parameter has no meaning left."""
    starts = (np.clip(np.full(len(bounds), start), *np.transpose(bounds)) for start in (0.0, -1.0, 1.0))
    found = [minimize(loss, start, method="L-BFGS-B", bounds=bounds, tol=1e-12) for start in starts]
    return min(found, key=lambda result: result.fun).x


def _history(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> tuple[Floats, Floats, Floats]:
    x, tx, T = np.broadcast_arrays(*(np.asarray(column, np.float64) for column in (frequency, recency, age)))
    fine = (x >= 0) & (tx >= 0) & (tx <= T) & ((x > 0) | (tx == 0)) & np.isfinite(x + T)
    if not fine.all():
        raise ValueError(
            f"{np.count_nonzero(~fine)} histories are impossible: expected 0 ≤ recency ≤ age, and 0 ≤ frequency"
        )
    return x, tx, T
