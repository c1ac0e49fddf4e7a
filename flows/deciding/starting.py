"""Yesterday's shadow prices by name: written with each run, and where the next one starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from campaigns.allocation import Prices
from campaigns.tables import CHANNELS
from flows.deciding.limits import Row
from flows.deciding.plan import Plan
from flows.workspace import Workspace, checksum, read_json

PRICES = "prices.json"
Named = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Start:
    """The prices of a campaign's former run. digest: SHA-256 of its file."""

    campaign_id: str
    occurrence: str
    prices: Named
    digest: str

    @property
    def said(self) -> dict[str, str]:
        return {"campaign": self.campaign_id, "occurrence": self.occurrence, "sha256": self.digest}


def former_prices(workspace: Workspace, plan: Plan, as_of: datetime) -> Start | None:
    """Of the campaign's last occurrence before this one that was decided from what was known earlier; None for none."""
    runs = sorted(workspace.root.glob(f"runs/{plan.campaign.id}/*/{PRICES}"), reverse=True)
    for path in runs:
        occurrence = path.parent.name
        earlier = datetime.fromisoformat(read_json(path.parent / "manifest.json")["as_of"]) < as_of
        if occurrence < plan.occurrence.name and earlier:  # not one of the same night, decided again
            return Start(plan.campaign.id, occurrence, read_json(path), checksum(path))
    return None


def starting_prices(
    starts: Sequence[Start | None], plans: Sequence[Plan], funds: Sequence[str], shared: Sequence[Row]
) -> Prices | None:
    """The prices of the night's limits, in the order of the joined problem; 0 for one that is new. None, to start
    afresh, if any of the campaigns was never decided before."""
    known = [start for start in starts if start is not None]
    if len(known) < len(plans):
        return None
    latest = max(known, key=lambda start: (start.occurrence, start.campaign_id)).prices
    quota, budget, channel, further = [], [], [], []
    for start, plan in zip(known, plans, strict=True):
        own = start.prices
        quota += [own["quota"].get(offer.id, 0.0) for offer in plan.campaign.offers]
        budget += [own["budget"].get(funder, 0.0) for funder in plan.funders]
        channel += [own["channel"].get(name, 0.0) for name in CHANNELS]
        further += [own["limit"].get(row.name, 0.0) for row in plan.rows]
    budget += [latest["night_budget"].get(funder, 0.0) for funder in funds]
    further += [latest["night_limit"].get(row.name, 0.0) for row in shared]
    return Prices(*(np.array(column, np.float64) for column in (quota, budget, channel, further)))


def named_prices(plan: Plan, prices: Prices, funds: Sequence[str], shared: Sequence[Row]) -> dict[str, Any]:
    """prices: of one campaign, its own budgets and rows before the night's."""
    own = len(plan.funders)
    return {
        "quota": _named([offer.id for offer in plan.campaign.offers], prices.quota),
        "budget": _named(plan.funders, prices.budget[:own]),
        "channel": _named(CHANNELS, prices.channel),
        "limit": _named([row.name for row in plan.rows], prices.further[: len(plan.rows)]),
        "night_budget": _named(funds, prices.budget[own:]),
        "night_limit": _named([row.name for row in shared], prices.further[len(plan.rows) :]),
    }


def _named(names: Sequence[str], values: Any) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
