"""A run decides from what was known, within all limits, writes numbers that agree, and is there whole or not at all."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import flows.decide
from campaigns.audience import REASONS
from campaigns.spec import load_campaign
from flows.deciding.considered import BEATEN, CHOSEN
from flows.settings import Consent
from flows.workspace import folder_digest, read_json, read_table
from recsys.tables import InputError

LATER = datetime(2017, 12, 5, 0, 0, 0, tzinfo=UTC)  # the shop's as_of: the first instant that is not known any more

MAIL = [("channel", "=", "email")]


def files(run):
    """Every file of a run by its name, as bytes."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def treated(shop):
    return shop.rows("decisions", arm="treatment")


def campaign_of(shop):
    return load_campaign(shop.workspace.campaigns / "panen.yaml")


# --- what is known ---------------------------------------------------------------------------------------------------


def test_what_happens_from_as_of_on_changes_no_byte_of_what_is_decided(shop, copied):
    before = files(copied.decide().run)
    bought = pq.read_table(copied.source("purchases")).to_pylist()
    last = max(bought, key=lambda row: row["occurred_at"])
    known = [row for row in bought if row["occurred_at"] < LATER]
    back = {"kind": "return", "occurred_at": LATER}
    copied.append(
        "purchases",
        [
            *({**last, "line_id": f"n{k}", "order_id": f"n{k}", "occurred_at": LATER} for k in range(50)),
            *({**row, **back, "line_id": f"r{k}", "returned_line_id": row["line_id"]} for k, row in enumerate(known)),
        ],
    )
    people = [f"c{k:06d}" for k in range(150)]
    consent = {"purpose": "promotion", "granted": False, "changed_at": LATER, "source": "call"}
    copied.append(
        "consents", [{**consent, "customer_id": c, "channel": ch} for c in people for ch in ("email", "push")]
    )
    copied.append("service_cases", [{"customer_id": c, "kind": "complaint", "opened_at": LATER} for c in people])
    newcomer = {"customer_id": "c999999", "email": "baru@pelanggan.example", "tier": "gold", "joined_at": LATER}
    copied.append("customers", [newcomer])
    counts = copied.ingest()
    assert {name: counts[name]["accepted"] for name in ("consents", "service_cases", "customers")} == {
        "consents": 300,
        "service_cases": 150,
        "customers": 1,
    }
    assert counts["purchases"]["accepted"] == 50 + len(known)
    assert files(copied.decide().run) == before


def test_a_purchase_before_as_of_changes_the_inputs_that_the_manifest_names(shop, copied):
    row = pq.read_table(copied.source("purchases")).slice(0, 1).to_pylist()[0]
    copied.append("purchases", [{**row, "line_id": "n", "occurred_at": LATER - timedelta(microseconds=1)}])
    copied.ingest()
    inputs, before = copied.decide().manifest["inputs"], shop.manifest["inputs"]
    assert {name for name in inputs if inputs[name] != before[name]} == {"purchases"}
    assert inputs["purchases"]["rows"] == before["purchases"]["rows"] + 1
    known = read_table(shop.workspace, "purchases", as_of=shop.as_of)
    assert before["purchases"]["rows"] == known.num_rows


def test_two_runs_give_the_same_bytes_of_every_file_and_hindsight_changes_the_report_alone(shop, copied):
    again = files(copied.decide(hindsight=True).run)
    assert again == files(shop.run)
    assert any(name.startswith("mails/") for name in again)
    without = files(copied.decide().run)
    assert {name for name in again if again[name] != without[name]} == {"manifest.json", "report.html"}


def test_another_order_of_rows_in_the_sources_changes_nothing_that_is_decided(shop, copied):
    for name in ("purchases", "customers", "consents", "items"):
        table = pq.read_table(copied.source(name))
        pq.write_table(table.take(pa.array(range(table.num_rows)[::-1])), copied.source(name))
    for name in ("tables", "models", "runs"):
        (copied.workspace.root / name).rename(copied.workspace.root / f"{name}-before")
    copied.ingest()
    copied.train()
    assert files(copied.decide(hindsight=True).run) == files(shop.run)


# --- limits, as counted from what was written ------------------------------------------------------------------------


def test_no_budget_is_overspent_by_the_costs_as_written(shop):
    spent = Counter()
    for row in treated(shop):
        spent.update({cost["funder"]: cost["amount"] for cost in row["costs"]})
        assert all(cost["amount"] > 0 for cost in row["costs"])
    budgets = campaign_of(shop).budgets
    assert all(0 < spent[funder] <= limit for funder, limit in budgets.items())
    assert spent["retailer"] > 0.95 * budgets["retailer"]  # and it binds


def test_capacities_places_groups_and_quotas_hold(shop):
    campaign, rows = campaign_of(shop), treated(shop)
    by_customer = {}
    for row in rows:
        by_customer.setdefault(row["customer_id"], []).append(row)
    channels = Counter()
    for offers in by_customer.values():
        (channel,) = {row["channel"] for row in offers}
        channels[channel] += 1
        groups = [campaign.offer(row["offer_id"]).group or row["offer_id"] for row in offers]
        assert len(set(groups)) == len(groups)
        placed = [(row["placement"], row["position"]) for row in offers]
        assert placed == [("hero", 1), ("grid", 1)][: len(offers)] if channel == "email" else placed == [("push", 1)]
    assert channels["email"] == campaign.channels["email"].capacity  # binds
    assert 0 < channels["push"] <= campaign.channels["push"].capacity
    given = Counter(row["offer_id"] for row in rows)
    assert given["teh"] <= 20
    redeemed = sum(
        min(1.0, row["propensity"] * (1 + 0.5 * campaign.channels[row["channel"]].response))
        for row in rows
        if row["offer_id"] == "kopi"
    )
    assert 0 < redeemed <= 9


def test_an_offer_goes_only_to_those_whom_its_rule_names(shop):
    customers = {row["customer_id"]: row for row in read_table(shop.workspace, "customers").to_pylist()}
    soap = shop.rows("decisions", offer_id="sabun")
    assert soap
    assert {customers[row["customer_id"]]["tier"] for row in soap} == {"gold"}


def test_items_are_of_the_offer_s_scope_in_stock_and_never_restricted_ones(shop):
    items = {row["item_id"]: row for row in read_table(shop.workspace, "items").to_pylist()}
    within = {"kopi": "Dapur > Kopi", "teh": "Dapur > Teh", "sabun": "Rumah > Sabun", "semua": ""}
    for row in shop.rows("decisions"):
        assert 0 < len(row["item_ids"]) == len(set(row["item_ids"])) <= 4
        for item in row["item_ids"]:
            assert items[item]["category"].startswith(within[row["offer_id"]])
            assert items[item]["restriction"] not in ("formula", "tobacco", "alcohol", "medicine")
            assert items[item]["stock"] != 0


def test_an_offer_none_of_whose_items_the_model_knows_shows_those_ordered_most_without_an_invented_reason(copied):
    titles = ("Satu", "satu ", "Dua", "Tiga", "Empat", "Lima")  # the first two look alike to readers: one is shown
    new = [{"item_id": f"x{k}", "title": title, "category": "Baru", "price": 5000} for k, title in enumerate(titles)]
    copied.append("items", [*new, {**new[0], "item_id": "x9", "restriction": "tobacco"}])
    line = pq.read_table(copied.source("purchases")).slice(0, 1).to_pylist()[0]
    copied.append("purchases", [{**line, "line_id": "n", "item_id": "x4"}])
    copied.edit_campaign('categories: ["Dapur > Teh"]', 'categories: ["Baru"]')
    copied.ingest()
    rows = copied.decide().rows("decisions", offer_id="teh")
    assert rows
    assert all(row["item_ids"] == ["x4", "x0", "x2", "x3"] and row["reason"] == "popular" for row in rows)


def test_a_repeat_tells_its_rhythm_and_a_newcomer_what_is_popular(shop):
    lines = read_table(shop.workspace, "purchases", as_of=shop.as_of).to_pylist()
    bought = {}
    for line in lines:
        bought.setdefault((line["customer_id"], line["item_id"]), {})[line["order_id"]] = line["occurred_at"]
    regular = 0
    for row in shop.rows("decisions"):
        orders = sorted(bought.get((row["customer_id"], row["item_ids"][0]), {}).values())
        if row["reason"].startswith("repeat:") or (row["reason"] == "repeat" and len(orders) > 2):
            every = round((orders[-1] - orders[0]) / timedelta(days=1) / (len(orders) - 1))
            assert row["reason"] == f"repeat:{every}:{(shop.as_of - orders[-1]).days}"
            regular += 1
        if not any(customer == row["customer_id"] for customer, _ in bought):
            assert row["reason"].startswith("popular")
    assert regular


# --- who -------------------------------------------------------------------------------------------------------------


def test_messages_go_to_the_treatment_arm_alone_with_consent_and_address_on_that_channel(shop):
    customers = {row["customer_id"]: row for row in read_table(shop.workspace, "customers").to_pylist()}
    said = {}
    for row in read_table(shop.workspace, "consents", as_of=shop.as_of).to_pylist():
        key = row["customer_id"], row["channel"]
        said[key] = max(said.get(key, (datetime(1970, 1, 1, tzinfo=UTC), False)), (row["changed_at"], row["granted"]))
    messages = shop.rows("messages")
    controls = {row["customer_id"] for row in shop.rows("left_out", reason="control group")}
    for message in messages:
        person = customers[message["customer_id"]]
        assert person["tier"] is not None
        assert person["joined_at"] < shop.as_of
        assert person["email"] if message["channel"] == "email" else person["push_tokens"]
        assert said[person["customer_id"], message["channel"]][1] is True
        assert person["customer_id"] not in controls | {"c000007", "c000008"}  # a complaint, a silence
    written = [row["customer_id"] for row in messages]
    assert len(set(written)) == len(written)
    assert set(written) == {row["customer_id"] for row in treated(shop)}
    ghosts = {row["customer_id"] for row in shop.rows("decisions", arm="control")}
    assert ghosts
    assert ghosts <= controls


def test_the_funnel_adds_up_and_is_what_the_tables_say(shop):
    (total, everybody), *steps = shop.manifest["funnel"]
    assert (total, everybody) == ("customers", sum(people for _, people in steps))
    assert everybody == read_table(shop.workspace, "customers", as_of=shop.as_of).num_rows
    addressed = {row["customer_id"] for row in shop.rows("messages")}
    left_out = shop.rows("left_out")
    assert dict(steps) == {**Counter(row["reason"] for row in left_out), "addressed": len(addressed)}
    assert len({row["customer_id"] for row in left_out}) == len(left_out) == everybody - len(addressed)
    assert addressed.isdisjoint(row["customer_id"] for row in left_out)


def test_every_allowed_pair_was_considered_with_a_reason_and_the_chosen_are_those_decided(shop):
    customers = {row["customer_id"]: row for row in read_table(shop.workspace, "customers").to_pylist()}
    considered, offers = shop.rows("considered"), campaign_of(shop).offers
    addressed = {row["customer_id"] for row in shop.rows("messages")}
    people = addressed | {row["customer_id"] for row in shop.rows("left_out") if row["reason"] not in REASONS}
    allowed = {
        (person, offer.id)
        for person in people
        for offer in offers
        if offer.id != "sabun" or customers[person]["tier"] == "gold"
    }
    assert [(row["customer_id"], row["offer_id"]) for row in considered] == sorted(allowed)
    chosen = {(row["customer_id"], row["offer_id"]) for row in considered if row["reason"] == CHOSEN}
    assert chosen == {(row["customer_id"], row["offer_id"]) for row in shop.rows("decisions")}
    named = {f"quota of {offer.id}" for offer in offers} | {f"{BEATEN}{offer.id}" for offer in offers}
    named |= {"budget of retailer", "budget of sari-murni", "capacity of email", "capacity of push"}
    assert {row["reason"] for row in considered} <= named | {CHOSEN, "not worth sending", "no address"}
    assert all(row["price"] == 0 for row in considered if row["reason"] == CHOSEN)


# --- the manifest ----------------------------------------------------------------------------------------------------


def test_the_manifest_says_what_is_counted_from_the_tables(shop):
    manifest, rows = shop.manifest, treated(shop)
    assert manifest == read_json(shop.run / "manifest.json")
    by_channel = Counter({row["customer_id"]: row["channel"] for row in rows}.values())
    assert {name: channel["sent"] for name, channel in manifest["channels"].items()} == dict(by_channel)
    assert manifest["counts"] == {
        "decisions": len(shop.rows("decisions")),
        "messages": len(shop.rows("messages")),
        "controls": len(shop.rows("left_out", reason="control group")),
    }
    for offer in manifest["offers"]:
        own = [row for row in rows if row["offer_id"] == offer["offer_id"]]
        assert offer["decisions"] == len(own)
        assert offer["expected_spend"] == sum(cost["amount"] for row in own for cost in row["costs"])
        assert offer["expected_value"] == sum(row["value"] for row in own)
        if offer["quota"]:
            wanted = len(own) if offer["quota"]["kind"] == "sent" else offer["expected_redemptions"]
            assert offer["quota"]["used"] == pytest.approx(wanted)
            assert offer["quota"]["used"] <= offer["quota"]["limit"]
    for budget in manifest["budgets"]:
        paid = [cost["amount"] for row in rows for cost in row["costs"] if cost["funder"] == budget["funder"]]
        assert budget["used"] == sum(paid) <= budget["limit"]
    lost = Counter(row["reason"] for row in shop.rows("considered", arm="treatment") if row["reason"] != CHOSEN)
    beaten = sum(count for reason, count in lost.items() if reason.startswith(BEATEN))
    named = {reason: count for reason, count in lost.items() if not reason.startswith(BEATEN)}
    assert manifest["losing_reasons"] == named | ({"beaten by a better offer": beaten} if beaten else {})


def test_the_certificate_is_of_the_decisions_as_written(shop):
    certificate, rows = shop.manifest["certificate"], treated(shop)
    sent = {row["customer_id"]: row["channel"] for row in rows}.values()
    channels = campaign_of(shop).channels
    postage = sum(channels[channel].message_cost for channel in sent)
    assert certificate["value"] == pytest.approx(sum(row["value"] for row in rows) - postage, abs=len(rows))
    assert shop.manifest["first_come"]["value"] <= certificate["value"] <= certificate["bound"]
    assert certificate["gap"] < 0.05
    assert certificate["worst_violation"] == 0
    assert certificate["pairs"] == len(shop.rows("considered", arm="treatment"))


def test_hindsight_is_of_the_offers_that_were_given(shop):
    seen = shop.manifest["hindsight"]
    assert seen["days"] == 20
    assert seen["pairs"] == len(treated(shop))
    assert {row["choice"] for row in seen["rows"]} == {"larisma", "random", "biggest buyers"}
    assert {row["customers"] for row in seen["rows"]} == {len(shop.rows("messages"))}


# --- edges -----------------------------------------------------------------------------------------------------------


def test_without_a_control_group_there_are_no_ghosts(copied):
    copied.edit_campaign("control: {share: 0.15}", "control: {share: 0}")
    run = copied.decide()
    assert run.rows("decisions", arm="control") == []
    assert run.manifest["counts"]["controls"] == 0
    assert run.manifest["counts"]["messages"] > 0


def test_a_run_in_which_nobody_may_be_addressed_is_a_run(copied):
    copied.edit_campaign("tier is not null", "tier = 'platinum'")
    run = copied.decide(hindsight=False)
    assert run.manifest["funnel"][-1] == ["addressed", 0]
    assert run.manifest["counts"] == {"decisions": 0, "messages": 0, "controls": 0}
    assert {row["reason"] for row in run.rows("left_out")} == {"outside the audience"}
    assert (run.run / "report.html").stat().st_size > 0


def test_consent_that_the_settings_assume_counts_where_no_word_was_given(copied):
    copied.edit_campaign("  push: {capacity: 20, message_cost: 10, placements: {push: 1}, response: 0.6}\n", "")
    settings = copied.settings.model_copy(update={"consent": Consent(assume=("email",))})
    assumed = replace(copied, settings=settings)
    said = {row["customer_id"] for row in pq.read_table(copied.source("consents"), filters=MAIL).to_pylist()}
    unsaid = {row["customer_id"] for row in copied.decide().rows("left_out", reason="no consent")} - said
    assert unsaid
    left_out = assumed.decide().rows("left_out", reason="no consent")
    assert unsaid.isdisjoint(row["customer_id"] for row in left_out)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_window_longer_than_what_is_known_before_it_is_an_error_that_names_both(copied):
    copied.edit_campaign("window_days: 20", "window_days: 366")
    with pytest.raises(InputError, match=r"panen: lead_days and window_days are 366 days .* for 39\d days; .* 394"):
        copied.decide()


def test_a_model_that_saw_what_came_after_as_of_decides_nothing(copied):
    with pytest.raises(InputError, match=r"every model saw purchases from after 2017-11-01T00:00:00\+00:00; .*--as-of"):
        replace(copied, as_of=datetime(2017, 11, 1, tzinfo=UTC)).decide()


def test_without_customers_there_is_nobody_to_decide_for(copied):
    (copied.workspace.root / "tables").rename(copied.workspace.root / "tables-before")
    sources = {"purchases": copied.settings.sources["purchases"]}
    bare = replace(copied, settings=copied.settings.model_copy(update={"sources": sources}))
    bare.ingest()
    with pytest.raises(InputError, match=r"customers: there are none yet; add \[sources.customers\] to larisma.toml"):
        bare.decide()


def test_without_a_model_the_error_says_how_to_make_one(copied):
    (copied.workspace.root / "models").rename(copied.workspace.root / "models-before")
    with pytest.raises(InputError, match=r"no model serves yet; make one with: larisma train"):
        copied.decide()


def test_an_unknown_campaign_is_an_error_with_the_one_that_was_meant(copied):
    with pytest.raises(InputError, match=r"campaign pannen: not in .*campaigns; did you mean panen\?"):
        copied.decide("pannen")


# --- whole or not at all ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", ["write_parquet", "write_parquet_blocks", "write_report", "write_json"])
def test_a_crash_while_writing_leaves_the_former_run_and_no_half_one(copied, monkeypatch, writer):
    before = folder_digest(copied.workspace.root)
    copied.edit_campaign("uplift: 0.4", "uplift: 0.45")
    changed = folder_digest(copied.workspace.root)
    assert changed != before

    def crash(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(flows.decide, writer, crash)
        with pytest.raises(OSError, match="No space left"):
            copied.decide()
    assert folder_digest(copied.workspace.root) == changed
    assert copied.rows("decisions")
    runs = copied.workspace.root / "runs" / "panen"
    assert sorted(path.name for path in runs.iterdir()) == [".versions", copied.manifest["occurrence"]]
    assert len(list((runs / ".versions").iterdir())) == 1
    copied.decide()
    assert len(list((runs / ".versions").iterdir())) == 1
