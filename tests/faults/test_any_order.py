"""Whatever happens in whatever order: schedule, claim, crash, restart, refusal, a budget that changes, a clock."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from amounts import many
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import text

from campaigns.ledger import (
    Account,
    Claim,
    Firing,
    LedgerError,
    Outcome,
    change,
    claim,
    finish,
    mark,
    open_ledger,
    opt_out,
    plan,
    recover,
    renew,
    sent,
    settle,
    state_of,
)
from campaigns.ledger.schema import BOUNCED, CANCELLED, FAILED, PAUSED, PENDING, RUNNING, SENT, UNKNOWN
from campaigns.ledger.store import milliseconds

START = datetime(2026, 12, 11, 17, tzinfo=UTC)
LEASE, DAY = timedelta(seconds=60), timedelta(days=1)
PEOPLE, PRICE, NIGHT = 5, 100, "2026-12-11"
SENDERS = st.sampled_from("abc")
FIRINGS = st.sampled_from([("panen", "1"), ("panen", "2"), ("gajian", "1")])


class Delivery(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = open_ledger(str(self.folder / "ledger.db"), START)
        self.now = START
        self.hand: dict[str, list[Claim]] = {name: [] for name in "abc"}
        self.arrived: Counter[str] = Counter()
        self.refused: set[str] = set()

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    # --- what people and schedulers do -------------------------------------------------------------------------------

    @rule(firing=FIRINGS)
    def schedule(self, firing: tuple[str, str]) -> None:
        def rows(ids: Mapping[Any, int]) -> Iterator[list[Any]]:
            uses, due = json.dumps([[ids["budget", "retailer"], PRICE]]), milliseconds(START)
            name = "-".join(firing)
            yield [
                (f"{name}-{k}", f"c{k}", f"p{k}", "email", "x.example", due, due + 86_400_000, "[]", uses)
                for k in range(PEOPLE)
            ]

        known = state_of(self.ledger, *firing)
        account = Account("budget", "retailer", 8 * PRICE, NIGHT)
        assert plan(self.ledger, Firing(*firing, "run", live=True), [account], rows, self.now) is (known is None)
        if known is None:
            change(self.ledger, *firing, RUNNING, self.now)

    @rule(firing=FIRINGS, state=st.sampled_from([PAUSED, RUNNING, RUNNING, CANCELLED]))
    def steer(self, firing: tuple[str, str], state: str) -> None:
        try:
            change(self.ledger, *firing, state, self.now)
        except LedgerError:
            assert state_of(self.ledger, *firing) in (None, CANCELLED, "finished")

    @rule(who=st.integers(0, PEOPLE - 1))
    def say_no(self, who: int) -> None:
        opt_out(self.ledger, f"c{who}", "email", "link", self.now)
        self.refused.add(f"c{who}")

    @rule(more=st.integers(-4, 4))
    def change_budget(self, more: int) -> None:
        """Up, or down as far as it is not spent yet."""
        with self.ledger.writing() as connection:
            least = "update accounts set ceiling = max(used, ceiling + :more)"
            connection.execute(text(least), {"more": more * PRICE})

    @rule(seconds=st.sampled_from([1, 30, 61, 600, 7_200, 90_000, -30, -7_200]))
    def pass_time(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # --- what senders do ---------------------------------------------------------------------------------------------

    @rule(who=SENDERS, firing=FIRINGS, most=st.integers(1, 4))
    def take(self, who: str, firing: tuple[str, str], most: int) -> None:
        claims = claim(self.ledger, *firing, "email", who, most, self.now, LEASE)
        assert not claims or state_of(self.ledger, *firing) == RUNNING
        assert not {one.customer_id for one in claims} & self.refused
        assert all(self.arrived[one.message_id] == 0 for one in claims)
        assert all(one.send_before > milliseconds(self.now) for one in claims)
        self.hand[who] += claims

    @precondition(lambda self: any(self.hand.values()))
    @rule(who=SENDERS, how=st.sampled_from(["taken", "taken", "later", "nobody", "no", "silent", "silent and taken"]))
    def send(self, who: str, how: str) -> None:
        if not self.hand[who]:
            return
        one = self.hand[who].pop(0)
        if not mark(self.ledger, one):
            return
        if how in ("taken", "silent and taken"):
            self.arrived[one.message_id] += 1
        if how == "taken":
            assert sent(self.ledger, one, self.now, "250")
            return
        states = {"later": PENDING, "nobody": BOUNCED, "no": FAILED}
        told = Outcome(one.message_id, one.fence, states.get(how, UNKNOWN), how, due_at=self.now)
        assert settle(self.ledger, [told], self.now) == 1

    @precondition(lambda self: any(self.hand.values()))
    @rule(who=SENDERS, arrives=st.booleans())
    def crash(self, who: str, arrives: bool) -> None:
        """While it has a message on its way."""
        if self.hand[who] and mark(self.ledger, self.hand[who][0]):
            self.arrived[self.hand[who][0].message_id] += arrives
        self.hand[who] = []

    @precondition(lambda self: any(self.hand.values()))
    @rule(who=SENDERS)
    def put_back_or_renew(self, who: str) -> None:
        if len(self.hand[who]) % 2:
            renew(self.ledger, self.hand[who], self.now, LEASE)
            return
        settle(self.ledger, [Outcome(one.message_id, one.fence, PENDING) for one in self.hand[who]], self.now)
        self.hand[who] = []

    @rule(firing=FIRINGS)
    def restart(self, firing: tuple[str, str]) -> None:
        if state_of(self.ledger, *firing) is None:
            return
        recover(self.ledger, *firing, self.now)
        if finish(self.ledger, *firing, self.now):
            with self.ledger.reading() as connection:
                query = text(
                    "select count(*) from messages where campaign_id = :c and occurrence = :o "
                    "and state in ('pending', 'claimed', 'writing')"
                )
                assert connection.execute(query, {"c": firing[0], "o": firing[1]}).scalar() == 0

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def nobody_gets_anything_twice(self) -> None:
        assert max(self.arrived.values(), default=0) <= 1

    @invariant()
    def the_ledger_knows_what_may_have_arrived_and_what_was_spent(self) -> None:
        with self.ledger.reading() as connection:
            messages = connection.execute(text("select message_id, state, uses from messages")).all()
            accounts = connection.execute(text("select id, used, ceiling from accounts")).all()
        states = {message: state for message, state, _ in messages}
        assert all(states[message] in (SENT, UNKNOWN, "writing") for message in self.arrived if self.arrived[message])
        spent = sum(state in ("claimed", "writing", SENT, UNKNOWN) for state in states.values())
        assert all(used == spent * PRICE <= ceiling for _, used, ceiling in accounts)


Delivery.TestCase.settings = settings(max_examples=many(15, 1_500), stateful_step_count=40, deadline=None)
TestDelivery = Delivery.TestCase
