"""Schedules as Prefect deployments: the night (ingest, train, decide what is due), what is due to be sent, and each
campaign's by hand.

Prefect is a trigger only: it may fire late, twice or not at all. So what a run does depends on the campaigns' calendars
and on the run's own instant, never on how often it was fired.
"""

from typing import Any, cast

from prefect import Flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Schedule
from prefect.settings import PREFECT_API_URL

from flows.campaign_files import load_campaigns
from flows.decide import decide
from flows.deliver import deliver, deliver_due
from flows.night import night
from flows.settings import Settings
from flows.workspace import Workspace
from recsys.tables import InputError

SENDING = "*/5 * * * *"  # looks for what is due to be sent


def deployments(workspace: Workspace, settings: Settings) -> list[RunnerDeployment]:
    """One deployment for the night; one for what is due to be sent, where there is something to send by; and for each
    campaign two without a schedule, to decide and to deliver it. Parameters are plain values."""
    folder = str(workspace.root.resolve())
    found = [
        deployment(night, "nightly", {"workspace": folder}, [Cron(settings.nightly, timezone=settings.timezone)]),
    ]
    if settings.email or settings.push:
        often = [Cron(SENDING, timezone=settings.timezone)]
        found.append(deployment(deliver_due, "due", {"workspace": folder}, often, waits=False))
    for campaign in load_campaigns(workspace):
        own = {"workspace": folder, "campaign": campaign.id}
        found += [deployment(decide, campaign.id, own, []), deployment(deliver, campaign.id, own, [])]
    return found


def deployment(
    flow: Flow, name: str, parameters: dict[str, Any], schedules: list[Schedule], *, waits: bool = True
) -> RunnerDeployment:
    """One at a time: a run that is fired while another still goes on waits for it, or is dropped."""
    strategy = ConcurrencyLimitStrategy.ENQUEUE if waits else ConcurrencyLimitStrategy.CANCEL_NEW
    limit = ConcurrencyLimitConfig(limit=1, collision_strategy=strategy)
    made = flow.to_deployment(name, parameters=parameters, schedules=schedules, concurrency_limit=limit)
    return cast(RunnerDeployment, made)  # a coroutine only within a running event loop


def require_server() -> None:
    """Raises InputError if no server is set: the embedded one schedules nothing."""
    if not PREFECT_API_URL.value():
        raise InputError(
            "no Prefect server is set: start one with `prefect server start` in another terminal, "
            "then `export PREFECT_API_URL=http://127.0.0.1:4200/api` and run this again"
        )


def serve_deployments(found: list[RunnerDeployment]) -> None:
    """Registers the deployments and runs what the server fires, until interrupted."""
    serve(*found, print_starting_message=False)
