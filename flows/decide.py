"""One campaign's decisions for its next occurrence, from what was known as of an instant, published as one run."""

import logging
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prefect import flow
from prefect.artifacts import create_table_artifact

from campaigns.audience import select_audience
from campaigns.calendar import Occurrence, due_occurrence
from campaigns.message import Sender
from campaigns.policy import judged, keep_ramadan, with_references
from campaigns.spec import Campaign
from campaigns.tables import MESSAGES
from flows.campaign_files import find_campaign
from flows.catalogue import workspace_policy
from flows.champion import load_champion
from flows.deciding.choice import Known, choose
from flows.deciding.considered import considered_table, losing_counts
from flows.deciding.messages import render_messages
from flows.deciding.run import decisions_table, left_out_table, look_back, run_manifest, sample_messages
from flows.instants import flow_instant
from flows.reporting.report import write_report
from flows.settings import Settings, load_settings
from flows.workspace import (
    Workspace,
    open_workspace,
    publishing,
    read_table,
    table_digest,
    write_json,
    write_parquet,
    write_parquet_blocks,
)
from recsys.interactions import net_purchases
from recsys.tables import InputError

log = logging.getLogger("larisma")

OF_RAMADAN = ("ramadan", "lebaran")  # occasions whose campaigns show nothing unfit for Ramadan
KNOWN = ("customers", "items", "purchases", "consents", "service_cases", "silences")


def decide_campaign(
    workspace: Workspace,
    settings: Settings,
    campaign_id: str,
    as_of: datetime,
    *,
    hindsight: bool = False,
) -> dict[str, Any]:
    """Decides the campaign's next occurrence and publishes the run; returns its manifest.

    hindsight: once everything is decided, also read what was bought afterwards, for the report.
    Raises InputError for what is wrong with the campaign, the settings or the tables; RunError if no model can serve.
    """
    campaign = find_campaign(workspace, campaign_id)
    occurrence = due_occurrence(campaign.schedule, as_of)
    champion = load_champion(workspace, as_of)
    log.info("reading what is known")
    known = read_known(workspace, as_of)
    if campaign.schedule.occasion in OF_RAMADAN:
        known = replace(known, items=keep_ramadan(known.items))
    log.info("finding who may be addressed")
    audience = select_audience(
        campaign,
        known.customers,
        known.consents,
        known.service_cases,
        known.silences,
        as_of=as_of,
        control_salt=settings.control_salt,
        assume_consent=settings.consent.assume,
    )
    log.info("choosing offers for %s people", audience.people.num_rows)
    choice = choose(campaign, known, audience, champion, as_of, settings)
    decisions = decisions_table(campaign, occurrence, champion, known, choice)
    considered = considered_table(campaign, choice)
    manifest = run_manifest(
        workspace, settings, campaign, occurrence, champion, known, audience, choice, decisions, as_of
    )
    manifest["policy"] = workspace_policy(workspace).version
    manifest["losing_reasons"] = losing_counts(considered)
    if hindsight:
        log.info("looking at what was bought afterwards")
        after = read_table(workspace, "purchases")
        manifest["hindsight"] = look_back(
            campaign, known, choice, decisions, after, occurrence.send_at, settings.train.seed
        )
    with publishing(workspace.run(campaign.id, occurrence.name)) as folder:
        log.info("writing messages")
        write_parquet(folder / "decisions.parquet", decisions)
        write_parquet(folder / "considered.parquet", considered)
        write_parquet(folder / "left_out.parquet", left_out_table(audience, choice))
        blocks = render_messages(
            campaign,
            decisions,
            known.customers,
            known.items,
            sender=Sender(settings.shop, settings.shop_url, settings.shop_address),
            send_at=occurrence.send_at,
            until=offers_end(campaign, occurrence),
        )
        manifest["counts"]["messages"] = write_parquet_blocks(folder / "messages.parquet", MESSAGES.schema, blocks)
        samples = sample_messages(folder)
        log.info("drawing the report")
        write_report(folder, manifest, samples, language=settings.language)
        write_json(folder / "manifest.json", manifest)
    return manifest


def offers_end(campaign: Campaign, occurrence: Occurrence) -> datetime:
    """Midnight after the last of the window's days, counted from the day of sending, in the campaign's zone."""
    zone = ZoneInfo(campaign.schedule.timezone)
    after = occurrence.send_at.astimezone(zone).date() + timedelta(days=campaign.window_days)
    return datetime.combine(after, time(), zone)


def read_known(workspace: Workspace, as_of: datetime) -> Known:
    """Every table as of an instant. Raises InputError where there are no customers to decide for."""
    tables = {name: read_table(workspace, name, as_of=as_of) for name in KNOWN}
    policy = workspace_policy(workspace)
    history = read_table(workspace, "price_history", as_of=as_of)
    tables["items"] = with_references(judged(tables["items"], policy), history, as_of, policy)
    if not tables["customers"].num_rows:
        raise InputError("customers: there are none yet; add [sources.customers] to larisma.toml and ingest")
    inputs = {name: {"rows": table.num_rows, "sha256": table_digest(table)} for name, table in tables.items()}
    return Known(**{**tables, "purchases": net_purchases(tables["purchases"], as_of)}, inputs=inputs)


@flow(name="decide")
def decide(workspace: str, campaign: str, as_of: str | None = None, hindsight: bool = False) -> dict[str, Any]:
    """Decides a campaign's next occurrence as of an instant (the run's scheduled start); shows the offers chosen."""
    place = open_workspace(Path(workspace))
    manifest = decide_campaign(place, load_settings(place), campaign, flow_instant(as_of), hindsight=hindsight)
    create_table_artifact(
        key=f"offers-{campaign}".replace("_", "-"),
        table=[{key: value for key, value in offer.items() if key != "quota"} for offer in manifest["offers"]],
        description=f"{manifest['campaign']['name']}, occurrence {manifest['occurrence']}",
    )
    return manifest
