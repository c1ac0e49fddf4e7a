"""What a campaign would do if it were decided now, and what more or less budget would change; nothing is sent."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from campaigns.allocation import MinimumsError
from campaigns.calendar import due_occurrence
from flows.announcements import workspace_moon
from flows.approving.agreements import waiting_offers
from flows.campaign_files import find_campaign
from flows.catalogue import read_items
from flows.decide import Solved, solve_together
from flows.deciding.choice import Choice, Together, choose
from flows.deciding.facts import (
    budget_facts,
    certificate_facts,
    channel_facts,
    limit_facts,
    night_facts,
    offer_facts,
)
from flows.deciding.starting import Start, named_prices
from flows.reporting.bars import LEAST_PRICE
from flows.reporting.certificate import certificate_words
from flows.reporting.forecast import write_forecast
from flows.settings import Settings
from flows.workspace import Workspace, write_json

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)  # of all budgets of the campaign together


def forecast_campaign(
    workspace: Workspace, settings: Settings, campaign_id: str, as_of: datetime, language: str
) -> dict[str, Any]:
    """The production path up to the decisions, and the same with half to twice the budget.

    Writes forecasts/CAMPAIGN/OCCURRENCE.html and .json beside the runs; returns what the latter holds, with "wrote".
    "curve" has a row for each factor: what all budgets come to, what is expected of them, and which limits bind. Those
    with which guarantees cannot be met are in "unmet" instead, with the share of each that can be.
    "as_if_agreed" has the offers that wait for a funder's agreement; all is as if they did not.
    Raises as decide_campaign.
    """
    campaign = find_campaign(workspace, campaign_id)
    occurrence = due_occurrence(campaign.schedule, as_of, moon=workspace_moon(workspace))
    solved = solve_together(workspace, settings, [(campaign, occurrence)], as_of, as_if_agreed=True)
    choice, together = solved.choices[0], solved.together
    waiting = waiting_offers(workspace, settings, campaign, read_items(workspace))
    rows, unmet = curve(solved, settings)
    forecast = {
        **facts(choice, together, as_of, settings.shop),
        "curve": rows,
        "unmet": unmet,
        "as_if_agreed": {offer: list(names) for offer, names in waiting.items()},
    }
    forecast["certificate"]["words"] = certificate_words(forecast)
    folder = workspace.root / "forecasts" / campaign.id
    page = write_forecast(folder / f"{occurrence.name}.html", forecast, language)
    figures = folder / f"{occurrence.name}.json"
    write_json(figures, forecast)
    return {**forecast, "wrote": [str(page), str(figures)]}


def facts(choice: Choice, together: Together, as_of: datetime, shop: str) -> dict[str, Any]:
    """What a run's manifest would say of its decisions."""
    plan = choice.plan
    return {
        "campaign": {"id": plan.campaign.id, "name": plan.campaign.name},
        "occurrence": plan.occurrence.name,
        "timezone": plan.campaign.schedule.timezone,
        "as_of": as_of.isoformat(),
        "channels": channel_facts(choice),
        "offers": [offer_facts(choice, j, shop) for j in range(len(plan.campaign.offers))],
        "budgets": [budget_facts(choice, f) for f in range(len(choice.funders))],
        "limits": limit_facts(choice),
        "night": night_facts(choice, together),
        "certificate": certificate_facts(choice.solution.certificate),
        "first_come": {"value": choice.first_come, "lost": choice.solution.value - choice.first_come},
    }


def curve(solved: Solved, settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(a row for each of FACTORS, solved anew from the prices that the campaign's own budget has; the factors with
    which guarantees cannot be met)"""
    choice, together = solved.choices[0], solved.together
    prices = named_prices(choice.plan, choice.solution.prices, together.funds, together.limits)
    start = Start(choice.plan.campaign.id, choice.plan.occurrence.name, prices, "")
    rows, unmet = [], []
    for factor in FACTORS:
        try:
            found, night = (choice, together) if factor == 1.0 else scaled(choice, together, factor, settings, start)
        except MinimumsError as error:
            budget = round(float(choice.plan.limits.budgets.sum()) * factor)
            unmet.append({"factor": factor, "budget": budget, "share": error.share})
        else:
            rows.append(row(found, night, factor))
    return rows, unmet


def scaled(
    choice: Choice, together: Together, factor: float, settings: Settings, start: Start
) -> tuple[Choice, Together]:
    """The same campaign with so many times its budgets."""
    limits = replace(choice.plan.limits, budgets=choice.plan.limits.budgets * factor)
    plan = replace(choice.plan, limits=limits)
    (found,), night = choose([plan], together.left, settings.night, settings.train.seed, [start])
    return found, night


def row(choice: Choice, together: Together, factor: float) -> dict[str, Any]:
    """slope: what the shadow prices say that one more rupiah of budget would earn, shared out as the budgets are."""
    own, solution = len(choice.funders), choice.solution
    budgets = choice.plan.limits.budgets
    total = float(budgets.sum())
    worth = float((solution.prices.budget[:own] * choice.limits.budgets[:own]).sum())
    return {
        "factor": factor,
        "budget": round(total),
        "spend": int(solution.used.budgets[:own].sum()),
        "messages": int(solution.used.capacity.sum()),
        "value": solution.value,
        "bound": solution.certificate.bound,
        "slope": worth / total if total else 0.0,
        "binding": binding(choice, together),
    }


def binding(choice: Choice, together: Together) -> list[str]:
    """The limits that have a price, by their ids: funders, channels, offers, limits on groups."""
    prices = named_prices(choice.plan, choice.solution.prices, together.funds, together.limits)
    kinds = ("budget", "night_budget", "channel", "quota", "limit", "night_limit")
    return [name for kind in kinds for name, price in prices[kind].items() if price >= LEAST_PRICE]
