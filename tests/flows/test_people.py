"""Who may be addressed as a workspace knows it: its history, its settings, its pages."""

import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.audience import REASONS
from campaigns.ledger import opt_out
from campaigns.predicates import ON_THE_DAY, PEOPLE, bind_predicate, check_predicate
from campaigns.tables import CONTACTS, FEEDBACK, SEGMENTS
from flows.campaign_files import check_campaigns, find_campaign
from flows.contacts import read_history
from flows.controls import controls_at, controls_history, record_controls
from flows.delivering.ledgers import open_for
from flows.people import audience_of, coming, count_audience, read_people
from flows.settings import Settings
from flows.workspace import folder_digest
from recsys.tables import InputError

PAGE = (Path(__file__).parents[2] / "docs" / "people.md").read_text(encoding="utf-8")


def add(shop, contract, *entries):
    """Puts a table into the shop's sources and ingests all."""
    rows = [dict.fromkeys(contract.schema.names) | entry for entry in entries]
    pq.write_table(pa.Table.from_pylist(rows, schema=contract.schema), shop.source(contract.name))
    path = shop.workspace.settings_file
    path.write_text(f'{path.read_text()}[sources.{contract.name}]\npath = "sources/{contract.name}.parquet"\n')
    from flows.settings import load_settings

    changed = replace(shop, settings=load_settings(shop.workspace))
    changed.ingest()
    return changed


def audience(shop, as_of=None, **settings):
    campaign = find_campaign(shop.workspace, "panen")
    as_of = as_of or shop.as_of
    occurrence = coming(campaign, as_of)
    chosen = shop.settings.model_copy(update=settings)
    people = read_people(shop.workspace, chosen, [(campaign, occurrence)], as_of)
    return audience_of(campaign, occurrence, people, chosen, as_of)


# --- history ---------------------------------------------------------------------------------------------------------


def test_a_run_is_the_contacts_of_the_weeks_around_it_but_not_of_itself(shop):
    firing = ("panen", shop.manifest["occurrence"])
    sent = {(row["customer_id"], row["channel"]) for row in shop.rows("messages")}
    history = read_history(shop.workspace, shop.as_of)
    assert {(row["customer_id"], row["channel"]) for row in history.contacts.to_pylist()} == sent
    ghosts = {row["customer_id"] for row in shop.rows("decisions", arm="control")}
    assert {row["customer_id"] for row in history.ghosts.to_pylist()} == ghosts
    assert [run["campaign"] for run in history.runs] == ["panen"]
    own = read_history(shop.workspace, shop.as_of, deciding={firing})
    assert own.contacts.num_rows == own.ghosts.num_rows == len(own.runs) == 0


def test_a_run_decided_later_or_sent_months_away_is_not_known_or_does_not_count(shop):
    before = read_history(shop.workspace, shop.as_of - timedelta(seconds=1))
    assert before.contacts.num_rows == 0
    assert read_history(shop.workspace, shop.as_of + timedelta(days=60)).contacts.num_rows == 0


def test_what_others_sent_counts_and_a_message_that_is_told_of_counts_once(copied):
    run = {row["customer_id"]: row for row in copied.rows("messages")}
    (first, row), *_ = run.items()
    told = [
        {"customer_id": first, "campaign_id": "panen", "channel": row["channel"],
         "sent_at": row["send_after"] + timedelta(minutes=3), "opened_at": row["send_after"] + timedelta(hours=1)},
        {"customer_id": first, "campaign_id": "lama", "channel": "email", "sent_at": datetime(2017, 12, 1, tzinfo=UTC)},
    ]  # fmt: skip
    later = add(copied, CONTACTS, *told)
    found = read_history(later.workspace, later.as_of + timedelta(days=5)).contacts.to_pylist()
    assert len(found) == len(run) + 1
    mine = sorted(
        (entry["campaign_id"], entry["opened_at"] is not None) for entry in found if entry["customer_id"] == first
    )
    assert mine == [("lama", False), ("panen", True)]


def test_feedback_is_of_the_customer_and_channel_of_its_message(copied):
    message = copied.rows("messages")[0]
    other = copied.rows("messages")[1]
    at, name = message["send_after"], other["customer_id"]
    later = add(
        copied, FEEDBACK,
        {"message_id": message["message_id"], "event": "opened", "at": at + timedelta(hours=2)},
        {"campaign_id": "panen", "customer_id": name, "event": "bounced", "at": at + timedelta(hours=1)},
        {"campaign_id": "entah", "customer_id": name, "event": "unsubscribed", "at": at},
    )  # fmt: skip
    history = read_history(later.workspace, at + timedelta(days=1))
    said = {(row["customer_id"], row["channel"], row["event"]) for row in history.responses.to_pylist()}
    assert said == {
        (message["customer_id"], message["channel"], "opened"),
        (other["customer_id"], other["channel"], "bounced"),
        (other["customer_id"], None, "unsubscribed"),
    }
    opened = {row["customer_id"] for row in history.contacts.to_pylist() if row["opened_at"]}
    assert opened == {message["customer_id"]}
    assert not any(
        row["opened_at"] for row in read_history(later.workspace, at + timedelta(hours=1)).contacts.to_pylist()
    )


def test_a_planned_run_of_another_campaign_leaves_its_people_alone(copied):
    """The second campaign goes to nobody whom the first has been given that day, nor to ghosts of its controls."""
    text = (copied.workspace.campaigns / "panen.yaml").read_text()
    copied.write_campaign(text.replace("id: panen", "id: kedua", 1).replace('time: "09:00"', 'time: "15:00"'), "kedua")
    settings = copied.settings.model_copy(
        update={"contact": copied.settings.contact.model_validate({"most": {"day": 1}})}
    )
    second = replace(copied, settings=settings)
    counts = count_audience(second.workspace, settings, find_campaign(second.workspace, "kedua"), second.as_of)
    steps = dict(counts["funnel"])
    planned = {row["customer_id"] for row in copied.rows("decisions")}
    assert steps["frequency cap"] == len(planned) > 20
    assert sum(steps.values()) == 2 * steps["customers"]


def test_the_tired_get_nothing_where_one_more_message_costs_too_much(copied):
    """Who got two unopened mails lately is left to others, and the certificate still holds."""
    at = copied.as_of - timedelta(days=9)
    tired = {row["customer_id"] for row in copied.rows("messages")[::2]}
    mails = [{"customer_id": name, "campaign_id": "lama", "channel": channel, "sent_at": at}
             for name in sorted(tired) for channel in ("email", "push")]  # fmt: skip
    opened = [{**mail, "customer_id": "c000149", "opened_at": at + timedelta(hours=1)} for mail in mails[:2]]
    later = add(copied, CONTACTS, *mails, *opened)
    dear = {"most": {}, "email": {"fatigue": 10**8}, "push": {"fatigue": 10**8}}
    contact = later.settings.contact.model_validate(dear)
    chosen = replace(later, settings=later.settings.model_copy(update={"contact": contact})).decide()
    written = {row["customer_id"] for row in chosen.rows("messages")}
    assert written
    assert written.isdisjoint(tired)
    certificate = chosen.manifest["certificate"]
    assert 0 <= certificate["gap"] < 0.02
    assert certificate["worst_violation"] == 0
    assert controls_at(later.workspace, later.as_of)["season"] == ""
    assert chosen.manifest["inputs"]["contacts"]["rows"] == len(mails) + len(opened)


# --- settings --------------------------------------------------------------------------------------------------------


def test_settings_say_who_is_left_out(copied):
    everybody = audience(copied).people["customer_id"].to_pylist()
    contact = copied.settings.contact.model_validate({"most": {"day": 0}})
    control = copied.settings.control.model_validate({"test_accounts": everybody[:2], "global_share": 0.15})
    assert set(dict(audience(copied, contact=contact).funnel)) == {
        *("customers", "outside the audience", "silence", "open complaint", "no consent", "no address"),
        *("frequency cap", "control group", "treatment"),
    } - ({"no address"} if "no address" not in dict(audience(copied).funnel) else set())
    found = audience(copied, control=control)
    assert dict(found.funnel)["test account"] == 2
    assert dict(found.funnel)["control group"] > dict(audience(copied).funnel)["control group"]


def test_segments_are_worked_out_where_a_predicate_speaks_of_them(copied):
    copied.edit_campaign("tier is not null", "tier is not null and monetary_quintile = 5 and journey <> 'return'")
    all_of_them = dict(audience(copied).funnel)
    assert 5 < all_of_them["customers"] - all_of_them["outside the audience"] < 40


def test_lifetime_values_are_columns_too(copied):
    copied.edit_campaign("tier is not null", "lifetime_value >= 0 or lifetime_value is null")
    assert dict(audience(copied).funnel).get("outside the audience", 0) == 0


def test_a_check_says_which_columns_have_no_data(copied):
    copied.edit_campaign("tier is not null", "price_sensitivity > 0.5 and points_expire_in < 9")
    with pytest.raises(InputError) as raised:
        check_campaigns(copied.workspace, copied.settings, None, copied.as_of)
    said = str(raised.value)
    assert "points_expire_in: no data stand behind it: customers.points_expire_on has no value" in said
    assert "map it in [sources.customers]" in said


def test_counting_adds_up_says_the_smallest_lift_and_changes_nothing(copied):
    before = folder_digest(copied.workspace.root)
    campaign = find_campaign(copied.workspace, "panen")
    counts = count_audience(copied.workspace, copied.settings, campaign, copied.as_of)
    (_, total), *steps = counts["funnel"]
    assert total == sum(people for _, people in steps)
    effect, reached = counts["effect"], counts["channels"]
    assert effect["treated"] + effect["controls"] <= sum(reached.values())
    assert 0 < effect["rate"] < 1
    assert 0 < effect["smallest_lift"] < 1 - effect["rate"]
    assert folder_digest(copied.workspace.root) == before


def test_what_draws_the_control_groups_is_kept_with_every_change(copied):
    copied.workspace.root.joinpath("controls.json").unlink(missing_ok=True)
    as_of, later = copied.as_of, copied.as_of + timedelta(days=30)
    for _ in range(2):
        record_controls(copied.workspace, copied.settings, as_of)
    season = copied.settings.control.model_validate({"season": "2018-h1", "global_share": 0.1})
    record_controls(copied.workspace, copied.settings.model_copy(update={"control": season}), later)
    assert [entry["season"] for entry in controls_history(copied.workspace)] == ["", "2018-h1"]
    assert controls_at(copied.workspace, as_of - timedelta(seconds=1)) is None
    assert controls_at(copied.workspace, later - timedelta(seconds=1))["global_share"] == 0
    assert controls_at(copied.workspace, later)["global_share"] == 0.1


# --- pages -----------------------------------------------------------------------------------------------------------


def test_the_pages_settings_are_those_that_hold_anyway():
    contact, control = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    assert Settings(**contact).contact == Settings().contact
    assert Settings(**control).control.global_share == 0.05


def test_the_page_names_every_reason_and_every_column():
    for name in (*REASONS, *(field.name for field in ON_THE_DAY), *SEGMENTS.schema.names[1:]):
        assert name in PAGE, name


def test_the_pages_predicates_are_accepted():
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    for predicate in block.strip().splitlines():
        bind_predicate(check_predicate(predicate, PEOPLE.names), PEOPLE)


# --- what people said through links ----------------------------------------------------------------------------------


def test_who_said_no_in_the_ledger_has_not_consented(copied):
    before = audience(copied)
    first, second, third = [row["customer_id"] for row in before.people.to_pylist() if row["email"]][:3]
    ledger = open_for(copied.workspace, copied.settings, True, copied.as_of)
    opt_out(ledger, first, "all", "link", copied.as_of - timedelta(days=1))
    opt_out(ledger, second, "email", "link", copied.as_of - timedelta(days=1))
    opt_out(ledger, third, "all", "link", copied.as_of)
    ledger.close()
    now = audience(copied)
    rows = {row["customer_id"]: row for row in now.people.to_pylist()}
    assert first not in rows
    assert second not in rows or not rows[second]["email"]
    assert third in rows, "it was said at the instant itself, which is not yet known"
    assert dict(now.funnel)["no consent"] > dict(before.funnel)["no consent"]


def test_where_nothing_was_sent_no_ledger_is_made(copied):
    audience(copied)
    assert not (copied.workspace.root / "ledger.db").exists()
