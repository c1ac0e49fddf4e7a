"""The decisions of a campaign, or of all that are due in a night, from what was known as of an instant; a run each."""

import logging
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from campaigns.calendar import Occurrence, due_occurrence
from campaigns.codes import assign_codes
from campaigns.firing import campaign_at, greets, offer_ends
from campaigns.hijri import Moon
from campaigns.message import Sender
from campaigns.policy import judged, with_references
from campaigns.spec import Campaign
from campaigns.tables import MESSAGES
from flows.announcements import workspace_moon
from flows.approving.agreements import NOTHING_ASKED, Funding, funding, held_back
from flows.approving.approvals import MEANING, meaning
from flows.campaign_files import find_campaign, load_campaigns
from flows.catalogue import items_for, read_category_names, workspace_policy
from flows.champion import Champion, load_champion
from flows.codes import Free, codes_left, within_codes
from flows.controls import record_controls
from flows.deciding.chances import Past
from flows.deciding.choice import Choice, Together, choose
from flows.deciding.considered import CONSIDERED, considered_table, losing_counts
from flows.deciding.due import Due, due_on, has_begun, not_begun
from flows.deciding.greeting import greeting_decisions, greeting_facts, not_greeted
from flows.deciding.held import held_runs, local_day
from flows.deciding.messages import render_messages, sending_times
from flows.deciding.plan import Known, Plan, plan_campaign
from flows.deciding.run import (
    SHOWN,
    decisions_table,
    file_checksums,
    left_out_table,
    look_back,
    run_facts,
    run_manifest,
    sample_messages,
    shown_items,
)
from flows.deciding.starting import PRICES, former_prices, named_prices
from flows.deciding.taken import what_is_left
from flows.instants import flow_instant
from flows.people import People, audience_of, read_people
from flows.reporting.certificate import certificate_words, night_manifest
from flows.reporting.report import write_report
from flows.settings import Settings, load_settings
from flows.workspace import (
    Workspace,
    open_workspace,
    publishing,
    read_json,
    read_table,
    table_digest,
    write_json,
    write_parquet,
    write_parquet_blocks,
)
from recsys.interactions import net_purchases
from recsys.tables import ITEMS, InputError

log = logging.getLogger("larisma")

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

    What the published runs of other campaigns have been given on the same night is held fixed.
    hindsight: once everything is decided, also read what was bought afterwards, for the report.
    Raises InputError for what is wrong with the campaign, the settings or the tables; RunError if no model can serve.
    """
    campaign = find_campaign(workspace, campaign_id)
    occurrence = due_occurrence(campaign.schedule, as_of, moon=workspace_moon(workspace))
    if has_begun(workspace, campaign, occurrence):
        raise InputError(
            f"{campaign_id} {occurrence.name}: its sending has begun, and what people got may not be decided anew"
        )
    return decide_together(workspace, settings, [(campaign, occurrence)], as_of, hindsight=hindsight)[0]


def decide_night(
    workspace: Workspace,
    settings: Settings,
    day: date,
    due: Due,
    as_of: datetime,
    *,
    hindsight: bool = False,
    skipped: list[Exception] | None = None,
) -> dict[str, Any]:
    """Decides what is due in a night as one problem, publishes a run for each campaign, then the night.

    Returns the night's manifest: {"day", "as_of", "campaigns": a row for each, "certificate" …}; where nothing is due,
    without campaigns, and nothing is written. skipped: takes up what keeps a campaign from being decided, so that the
    others are; without it, it is raised. What is being sent stays as it is. Raises as decide_campaign.
    """
    due = not_begun(workspace, due)
    if not due:
        return {"day": day.isoformat(), "as_of": as_of.isoformat(), "campaigns": []}
    runs = decide_together(workspace, settings, due, as_of, hindsight=hindsight, skipped=skipped)
    manifest = night_manifest(day, runs)
    write_json(workspace.night(day) / "manifest.json", manifest)
    return manifest


def decide_together(
    workspace: Workspace,
    settings: Settings,
    due: Due,
    as_of: datetime,
    *,
    hindsight: bool = False,
    skipped: list[Exception] | None = None,
) -> list[dict[str, Any]]:
    """Decides some occurrences as one problem and publishes a run for each; returns their manifests, greetings last.

    Greetings have no offers, so that they go first and the others heed whom they reach.
    """
    record_controls(workspace, settings, as_of)
    greetings = [one for one in due if greets(*one)]
    offering = [one for one in due if not greets(*one)]
    greeted = []
    for k, one in enumerate(greetings):
        undecided = [*greetings[k:], *offering]
        greeted.append(publish_greeting(workspace, settings, *one, as_of, undecided))
    if not offering:
        return greeted
    solved = solve_together(workspace, settings, offering, as_of, skipped)
    runs = [publish_run(workspace, settings, solved, k, as_of, hindsight=hindsight) for k in range(len(solved.choices))]
    return runs + greeted


@dataclass(frozen=True, eq=False)
class Solved:
    """A night before anything of it is written."""

    champion: Champion
    choices: list[Choice]
    together: Together
    codes: Free


def solve_together(
    workspace: Workspace,
    settings: Settings,
    due: Due,
    as_of: datetime,
    skipped: list[Exception] | None = None,
    *,
    as_if_agreed: bool = False,
) -> Solved:
    """Who gets what of some occurrences, decided as one problem. Reads, and writes nothing. skipped: as decide_night's;
    where it leaves no campaign at all, the last of it is raised. as_if_agreed: offers do not wait for their funders."""
    champion = load_champion(workspace, as_of)
    log.info("reading what is known")
    known = read_known(workspace, as_of)
    people = read_people(workspace, settings, due, as_of)
    known = replace(known, inputs={**known.inputs, **people.inputs})
    moon = workspace_moon(workspace)
    past = Past(known.purchases, known.items, as_of, settings.train.seed)
    free = codes_left(workspace, due)
    plans = []
    for one in due:
        try:
            agreed = NOTHING_ASKED if as_if_agreed else funding(workspace, settings, one[0], known.items)
            plans.append(plan_for(*one, known, people, past, as_of, settings, moon, free, agreed))
        except InputError as error:
            if skipped is None or (one is due[-1] and not plans):
                raise
            skipped.append(error)
    night = local_day(settings, min(occurrence.decide_at for _, occurrence in due))
    firing = [(campaign.id, occurrence.name) for campaign, occurrence in due]
    left = what_is_left(plans, held_runs(workspace, settings, firing, night, as_of))
    starts = [former_prices(workspace, plan, as_of) for plan in plans]
    log.info("choosing offers for %s people", len(left.messages))
    return Solved(champion, *choose(plans, left, settings.night, settings.train.seed, starts), free)


def plan_for(
    campaign: Campaign,
    occurrence: Occurrence,
    known: Known,
    people: People,
    past: Past,
    as_of: datetime,
    settings: Settings,
    moon: Moon,
    free: Free,
    agreed: Funding,
) -> Plan:
    """Raises InputError for a campaign of whose offers the day, or the funders, leave none."""
    known = replace(known, items=items_for(campaign, known.items))
    log.info("%s: finding who may be addressed", campaign.id)
    stated, campaign = campaign, campaign_at(campaign, occurrence, known.items)
    if not campaign.offers:
        raise InputError(f"{campaign.id}: no offer is left on {occurrence.day}: no stock, or past the last order")
    campaign = within_codes(held_back(campaign, agreed.waiting), free)
    audience = audience_of(campaign, occurrence, people, settings, as_of, moon)
    return plan_campaign(stated, campaign, occurrence, known, audience, past, as_of, settings, people.segments, agreed)


def publish_run(
    workspace: Workspace, settings: Settings, solved: Solved, k: int, as_of: datetime, *, hindsight: bool
) -> dict[str, Any]:
    """Writes one campaign's decisions, messages, report and manifest; returns the manifest."""
    champion, together, choice = solved.champion, solved.together, solved.choices[k]
    plan = choice.plan
    campaign, occurrence, known = plan.campaign, plan.occurrence, plan.known
    decisions = decisions_table(campaign, occurrence, champion, known, choice, as_of)
    codes = assign_codes(decisions, campaign.offers, {pool: free for pool, (_, free) in solved.codes.items()})
    decisions = decisions.set_column(decisions.column_names.index("code"), "code", codes)
    considered = considered_table(choice, together)
    manifest = run_manifest(
        workspace, settings, campaign, occurrence, champion, known, plan.audience, choice, together, decisions, as_of
    )
    manifest["night"]["campaigns"] = [other.plan.campaign.id for other in solved.choices]
    manifest["policy"] = workspace_policy(workspace).version
    manifest["losing_reasons"] = losing_counts(considered)
    if hindsight:
        log.info("%s: looking at what was bought afterwards", campaign.id)
        after = read_table(workspace, "purchases")
        manifest["hindsight"] = look_back(
            campaign, known, choice, decisions, after, occurrence.send_at, settings.train.seed
        )
    manifest["certificate"]["words"] = certificate_words(manifest)
    with publishing(workspace.run(campaign.id, occurrence.name)) as folder:
        log.info("%s: writing messages", campaign.id)
        write_parquet(folder / "decisions.parquet", decisions)
        write_parquet(folder / "considered.parquet", considered)
        write_parquet(folder / "left_out.parquet", left_out_table(plan.audience, choice))
        write_parquet(folder / "shown.parquet", shown_items(decisions, known.items))
        blocks = render_messages(
            campaign,
            decisions,
            known.customers,
            known.items,
            sender=Sender(settings.shop, settings.shop_url, settings.shop_address),
            optout_url=settings.optout_url,
            send_at=occurrence.send_at,
            until=offer_ends(campaign, occurrence.send_at),
            times=sending_times(plan.audience),
            names=read_category_names(workspace),
        )
        manifest["counts"]["messages"] = write_parquet_blocks(folder / "messages.parquet", MESSAGES.schema, blocks)
        samples = sample_messages(folder)
        log.info("%s: drawing the report", campaign.id)
        write_report(folder, manifest, samples, language=settings.language)
        write_json(folder / PRICES, named_prices(plan, choice.solution.prices, together.funds, together.limits))
        write_json(folder / MEANING, {"values": meaning(settings, plan.stated).values})
        manifest["files"] = file_checksums(folder)
        write_json(folder / "manifest.json", manifest)
    return manifest


def publish_greeting(
    workspace: Workspace,
    settings: Settings,
    campaign: Campaign,
    occurrence: Occurrence,
    as_of: datetime,
    undecided: Due,
) -> dict[str, Any]:
    """Writes a greeting's decisions, messages, report and manifest; returns the manifest. It needs no model.

    undecided: of the night; what an earlier try has left of these does not count.
    """
    log.info("%s: finding who may be greeted", campaign.id)
    people, moon = read_people(workspace, settings, undecided, as_of), workspace_moon(workspace)
    stated, campaign = campaign, campaign_at(campaign, occurrence)
    audience = audience_of(campaign, occurrence, people, settings, as_of, moon)
    customers = read_table(workspace, "customers", as_of=as_of)
    decisions = greeting_decisions(campaign, occurrence, audience)
    manifest = run_facts(workspace, settings, campaign, occurrence, as_of, stated) | {
        "inputs": {"customers": {"rows": customers.num_rows, "sha256": table_digest(customers)}, **people.inputs},
        **greeting_facts(campaign, audience, decisions),
        "policy": workspace_policy(workspace).version,
    }
    manifest["night"]["campaigns"] = [campaign.id]
    manifest["certificate"]["words"] = certificate_words(manifest)
    with publishing(workspace.run(campaign.id, occurrence.name)) as folder:
        write_parquet(folder / "decisions.parquet", decisions)
        write_parquet(folder / "considered.parquet", CONSIDERED.empty_table())
        write_parquet(folder / "left_out.parquet", not_greeted(audience, decisions))
        write_parquet(folder / "shown.parquet", SHOWN.empty_table())
        blocks = render_messages(
            campaign,
            decisions,
            customers,
            ITEMS.schema.empty_table(),
            sender=Sender(settings.shop, settings.shop_url, settings.shop_address),
            optout_url=settings.optout_url,
            send_at=occurrence.send_at,
            until=offer_ends(campaign, occurrence.send_at),
            times=sending_times(audience),
        )
        manifest["counts"]["messages"] = write_parquet_blocks(folder / "messages.parquet", MESSAGES.schema, blocks)
        write_report(folder, manifest, sample_messages(folder), language=settings.language)
        write_json(folder / MEANING, {"values": meaning(settings, stated).values})
        manifest["files"] = file_checksums(folder)
        write_json(folder / "manifest.json", manifest)
    return manifest


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
    show_offers(manifest)
    return manifest


@flow(name="decide-date")
def decide_date(workspace: str, date: str, as_of: str | None = None, hindsight: bool = False) -> dict[str, Any]:
    """Decides all that is due on a local date as one problem, as of an instant (the run's scheduled start)."""
    place = open_workspace(Path(workspace))
    settings, instant, day = load_settings(place), flow_instant(as_of), local_date(date)
    due = due_on(load_campaigns(place), settings, day, instant, workspace_moon(place))
    return shown(place, decide_night(place, settings, day, due, instant, hindsight=hindsight))


def local_date(text: str) -> date:
    """Raises InputError for text that is no date."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--date: expected a date such as 2017-12-12, got {text!r}") from error


def shown(workspace: Workspace, night: dict[str, Any]) -> dict[str, Any]:
    """The night, its campaigns' offers put on the run's page."""
    for row in night["campaigns"]:
        show_offers(read_json(workspace.run(row["campaign"], row["occurrence"]) / "manifest.json"))
    return night


def show_offers(manifest: dict[str, Any]) -> None:
    create_table_artifact(
        key=f"offers-{manifest['campaign']['id']}".replace("_", "-"),
        table=[{key: value for key, value in offer.items() if key != "quota"} for offer in manifest["offers"]],
        description=f"{manifest['campaign']['name']}, occurrence {manifest['occurrence']}",
    )
