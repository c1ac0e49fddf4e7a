"""What a run's manifest says of its offers and limits, and of the night that it was decided in."""

from dataclasses import asdict
from typing import Any

from campaigns.allocation import Certificate
from campaigns.content import compile_texts
from campaigns.firing import offer_ends
from campaigns.message import Sender, offer_titles
from campaigns.tables import CHANNELS
from campaigns.value import written_value
from flows.deciding.caution import is_uncertain
from flows.deciding.choice import Choice, Together, used_of_rows
from flows.deciding.limits import Row
from flows.deciding.plan import Plan


def channel_facts(choice: Choice) -> dict[str, dict[str, Any]]:
    """Channel → messages, room, what one more message would earn, and what a message costs."""
    used, prices = choice.solution.used.capacity, choice.solution.prices.channel
    return {
        channel: {
            "sent": int(used[CHANNELS.index(channel)]),
            "capacity": limits.capacity,
            "price": float(prices[CHANNELS.index(channel)]),
            "message_cost": limits.message_cost,
            "response": limits.response,
        }
        for channel, limits in choice.plan.campaign.channels.items()
    }


def said_titles(plan: Plan, j: int, shop: str) -> dict[str, str]:
    """Language → an offer's title, filled in as it would read for somebody of whom nothing is known."""
    campaign, offer = plan.campaign, plan.campaign.offers[j]
    titles = {language: offer.text[language].title for language in campaign.languages if language in offer.text}
    if not any("{" in title for title in titles.values()):
        return titles
    sent_at = plan.occurrence.send_at
    content = compile_texts(campaign.model_copy(update={"offers": (offer,)}))
    ends = offer_ends(campaign, sent_at)
    return offer_titles(content, Sender(shop, ""), sent_at=sent_at, until=ends, home=campaign.schedule.zone)[offer.id]


def offer_facts(choice: Choice, j: int, shop: str = "") -> dict[str, Any]:
    """What is given of an offer, and what is expected of that."""
    offer, chosen = choice.plan.campaign.offers[j], choice.treatment.chosen
    own, titles = chosen.offer == j, said_titles(choice.plan, j, shop)
    return {
        "offer_id": offer.id,
        "title": titles["id"],
        "titles": titles,
        "decisions": int(own.sum()),
        "expected_redemptions": float(chosen.p1[own].sum()),
        "expected_spend": int(chosen.costs[own].sum()),
        "expected_value": int(written_value(chosen.value[own]).sum()),
        "uplift": offer.uplift,
        "uplift_source": "assumed",
        "reach": float(choice.plan.reach[j]),
        "benefit": float(choice.plan.offers.benefit[j]),
        "quota": quota_facts(choice, j),
        "eligibility": offer.eligibility,
        "waits_for": list(choice.plan.agreed.waiting.get(offer.id, ())),
        "items_in_scope": int(choice.plan.scopes[:, j].sum()),
        "base_rate": float(choice.plan.base_rates[j]),
        "recipients_rate": float(choice.treatment.propensity[chosen.customer[own], j].mean()) if own.any() else None,
        "margin_assumed": float(1 - choice.plan.margin_known[j]),
    }


def budget_facts(choice: Choice, f: int) -> dict[str, Any]:
    """A funder's budget: its limit, what is expected to be spent, and what one more rupiah would earn."""
    plan, solution = choice.plan, choice.solution
    funder = plan.funders[f]
    return {
        "funder": funder,
        "limit": plan.campaign.budgets[funder],
        "used": int(solution.used.budgets[f]),
        "price": float(solution.prices.budget[f]),
        **_caution(plan.campaign.budget_confidence, choice.limits.budgets[f]),
    }


def quota_facts(choice: Choice, j: int) -> dict[str, Any] | None:
    offer, solution = choice.plan.campaign.offers[j], choice.solution
    if offer.quota is None:
        return None
    facts = {
        "kind": offer.quota.kind,
        "limit": offer.quota.limit,
        "used": float(solution.used.quota[j]),
        "price": float(solution.prices.quota[j]),
    }
    if offer.quota.kind == "redeemed":
        facts |= _caution(choice.plan.campaign.quota_confidence, choice.offers.quota[j])
    return facts


def limit_facts(choice: Choice) -> list[dict[str, Any]]:
    """The campaign's limits on groups, and its guaranteed minimums."""
    used, campaign = used_of_rows(choice), choice.plan.campaign
    return [
        {
            **_row_facts(row, row.amount, used[r], choice.solution.prices.further[r]),
            **(
                _caution(
                    campaign.budget_confidence if row.kind == "budget" else campaign.quota_confidence,
                    choice.further[r].amount,
                )
                if is_uncertain(row)
                else {}
            ),
        }
        for r, row in enumerate(choice.plan.rows)
    ]


def night_facts(choice: Choice, together: Together) -> dict[str, Any]:
    """own: this campaign's part of what the night uses."""
    own_funders, own_rows = len(choice.funders), len(choice.plan.rows)
    mine, my_rows = choice.solution.used.budgets[own_funders:], used_of_rows(choice)[own_rows:]
    facts = together_facts(together)
    for budget, amount in zip(facts["budgets"], mine.tolist(), strict=True):
        budget["own"] = int(amount)
    for limit, amount in zip(facts["limits"], my_rows.tolist(), strict=True):
        limit["own"] = float(amount)
    return facts


def together_facts(together: Together) -> dict[str, Any]:
    """The night's certificate, its budgets and limits, and the runs that were held fixed."""
    return {
        "certificate": certificate_facts(together.certificate),
        "first_come": {
            "value": together.first_come,
            "lost": together.certificate.value - together.first_come,
        },
        "held": [
            {"campaign": run.campaign_id, "occurrence": run.occurrence, "sha256": run.digest}
            for run in together.left.held
        ],
        "budgets": [
            {
                "funder": funder,
                "limit": float(together.budgets[f]),
                "used": float(together.used_budgets[f]),
                "price": float(together.budget_prices[f]),
            }
            for f, funder in enumerate(together.funds)
        ],
        "limits": [
            _row_facts(row, row.limit.amount, together.used_limits[r], together.limit_prices[r])
            for r, row in enumerate(together.limits)
        ],
    }


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    return {**asdict(certificate), "left_on_the_table": certificate.left_on_the_table}


def _row_facts(row: Row, amount: float, used: float, price: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "unit": row.unit,
        "limit": float(amount),
        "used": float(used),
        "price": float(price),
    }


def _caution(confidence: float, planned: float) -> dict[str, Any]:
    """Of a limit on what is uncertain: the confidence asked for, and the expected use that it was planned with."""
    return {"confidence": confidence, "planned": float(planned) if confidence > 0.5 else None}
