"""What is put into the ledger: every message once, with what it uses of budgets and quotas."""

import json
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from campaigns.ledger import MILLIONTHS, LedgerError
from campaigns.ledger.exchange import account_ids
from campaigns.ledger.history import balances
from campaigns.ledger.schema import MESSAGES
from flows.campaign_files import find_campaign
from flows.delivering.mending import decided, uses_of
from flows.delivering.plan import OF_THE_NIGHT, accounts, message_rows, night_of, put_in
from flows.settings import Night


@pytest.fixture
def planned(going: Any) -> Any:
    ledger = going.ledger()
    put_in(ledger, going.workspace, going.settings, going.run, approval=None, live=True, now=going.clock.at)
    yield ledger
    ledger.close()


def rows(ledger: Any) -> list[Any]:
    with ledger.reading() as connection:
        return list(connection.execute(select(MESSAGES)).all())


def test_each_message_is_there_with_its_person_domain_and_deadline(going: Any, planned: Any) -> None:
    messages = {row["message_id"]: row for row in going.shop.rows("messages")}
    found = rows(planned)
    assert {row.message_id for row in found} == set(messages)
    for row in found:
        message = messages[row.message_id]
        assert (row.customer_id, row.person_id, row.channel) == (message["customer_id"],) * 2 + (message["channel"],)
        assert row.domain == ("pelanggan.example" if row.channel == "email" else "")
        assert row.send_before == message["send_before"].timestamp() * 1000
        assert row.due_at >= message["send_after"].timestamp() * 1000


def test_what_was_decided_fits_its_budgets_and_quotas_exactly(going: Any, planned: Any) -> None:
    total: Counter[int] = Counter()
    for row in rows(planned):
        total.update(dict(json.loads(row.uses)))
    ids = account_ids(planned, *going.run.firing)
    ceilings = {(one.kind, one.name): one.ceiling for one in balances(planned)}
    assert ceilings["budget", "retailer"] == 150_000
    assert ceilings["quota", "kopi"] == 9 * MILLIONTHS
    for key, number in ids.items():
        assert 0 < total[number] <= ceilings[key]
    for budget in going.run.manifest["budgets"]:
        spent = sum(
            cost["amount"]
            for row in going.shop.rows("decisions", arm="treatment")
            for cost in row["costs"]
            if cost["funder"] == budget["funder"]
        )
        assert total[ids["budget", budget["funder"]]] == spent
    sent = len(going.shop.rows("decisions", arm="treatment", offer_id="teh"))
    assert total[ids["quota", "teh"]] == sent * MILLIONTHS
    kopi = next(row for row in going.run.manifest["offers"] if row["offer_id"] == "kopi")
    assert total[ids["quota", "kopi"]] == pytest.approx(kopi["expected_redemptions"] * MILLIONTHS, abs=50)


def test_a_message_counts_the_same_when_it_is_written_anew(going: Any, planned: Any) -> None:
    ids = account_ids(planned, *going.run.firing)
    about = decided(going.workspace, going.settings, going.run, find_campaign(going.workspace, "panen"), ids)
    table = pq.read_table(going.run.folder / "decisions.parquet").to_pylist()
    for row in rows(planned):
        own = [one for one in table if one["customer_id"] == row.customer_id and one["arm"] == "treatment"]
        assert uses_of(own, about) == dict(json.loads(row.uses))
        assert json.loads(row.offers) == sorted({one["offer_id"] for one in own})


def test_it_is_put_in_once(going: Any, planned: Any) -> None:
    again = put_in(planned, going.workspace, going.settings, going.run, approval=None, live=True, now=going.clock.at)
    assert again is False
    with pytest.raises(LedgerError, match="live"):
        put_in(planned, going.workspace, going.settings, going.run, approval=None, live=False, now=going.clock.at)


def test_a_funder_s_budget_for_the_night_is_an_account_that_the_night_shares(going: Any) -> None:
    going.set(night=Night(budgets={"retailer": 500_000}))
    manifest = {**going.run.manifest, "night": {"budgets": [{"funder": "retailer", "limit": 200_000.0}]}}
    shared = [one for one in accounts(manifest, going.settings) if one.night]
    assert [(one.name, one.ceiling, one.night) for one in shared] == [
        ("retailer" + OF_THE_NIGHT, 500_000, night_of(manifest, going.settings))
    ]


def test_what_a_funder_spends_counts_in_the_campaign_s_account_and_in_the_night_s(going: Any) -> None:
    ids = {("budget", "retailer"): 1, ("budget", "retailer" + OF_THE_NIGHT): 2, ("budget", "sari-murni"): 3}
    ids |= {("quota", "kopi"): 4, ("quota", "teh"): 5}
    due = going.run.instants("send_after")
    rows = [row for block in message_rows(going.workspace, going.run, due, ids) for row in block]
    for *_, uses in rows:
        used = dict(json.loads(uses))
        assert used.get(1) == used.get(2)
    assert any(3 in dict(json.loads(row[-1])) for row in rows)
