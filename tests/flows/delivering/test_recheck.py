"""Every reason for which a claimed message does not go, or goes later."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from campaigns.contact import Caps, ChannelPolicy, ContactPolicy, PushPolicy, Quiet, nothing_blocked
from campaigns.ledger import Claim, address_hash
from campaigns.ledger.store import milliseconds
from campaigns.tables import CUSTOMERS
from flows.delivering.facts import Facts, Told
from flows.delivering.recheck import Contact, Rules, Seen, judge

NOW = datetime(2026, 12, 11, 3, tzinfo=UTC)  # ten in the morning in Jakarta
KEY = b"k" * 32
POLICY = ContactPolicy(most=Caps(day=2, week=5, month=15))
RULES = Rules("panen", "20261211t030000z", POLICY, 0, nothing_blocked, KEY)
PERSON = {
    **dict.fromkeys(CUSTOMERS.schema.names),
    "customer_id": "c1",
    "email": "siti@pelanggan.example",
    "push_tokens": ["t1", "t2"],
}
CLAIM = Claim("m1", "c1", "p1", "email", "pelanggan.example", ("kopi",), milliseconds(NOW + timedelta(hours=30)), 1, 1)
FACTS = Facts(
    pa.table({}), {}, {"email": {}, "push": {}}, {"email": frozenset(), "push": frozenset()}, {}, {}, frozenset()
)
SEEN = Seen({}, {}, {})
PUSH = replace(CLAIM, channel="push", domain="")


def what(
    claim: Claim = CLAIM, person: Any = PERSON, facts: Facts = FACTS, seen: Seen = SEEN, rules: Rules = RULES, now=NOW
) -> tuple[str, str]:
    verdict = judge(claim, person, facts, seen, rules, now)
    return verdict.what, verdict.reason


def sent(*ago: timedelta, channel: str = "email") -> Seen:
    return Seen({}, {"p1": [Contact(channel, "other", NOW - span) for span in ago]}, {})


def test_what_still_holds_is_sent_to_the_address_as_it_is_now():
    verdict = judge(CLAIM, {**PERSON, "email": " baru@pelanggan.example "}, FACTS, SEEN, RULES, NOW)
    assert (verdict.what, verdict.recipients) == ("send", ("baru@pelanggan.example",))


def test_who_is_not_known_any_more_gets_nothing():
    assert what(person=None) == ("skip", "customer not known any more")


@pytest.mark.parametrize("reason", ["no consent", "silence", "open complaint", "late delivery", "hard bounce"])
def test_what_the_tables_say_now_is_heeded_on_the_channel_that_it_is_said_of(reason):
    facts = replace(FACTS, refused={"email": {"c1": reason}, "push": {}})
    assert what(facts=facts) == ("skip", reason)
    assert what(PUSH, facts=facts)[0] == "send"


def test_who_refused_in_the_ledger_of_what_is_really_sent_gets_no_rehearsed_message_either():
    assert what(rules=replace(RULES, refused=frozenset({"c1"}))) == ("skip", "opted out")


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        (None, "no address"),
        ("", "no address"),
        ("siti", "not one valid address"),
        ("siti@pelanggan.example, budi@pelanggan.example", "not one valid address"),
        ("siti@pelanggan.example\r\nBcc: x@y.example", "not one valid address"),
    ],
)
def test_an_address_that_is_none_gets_nothing(email, reason):
    assert what(person={**PERSON, "email": email}) == ("skip", reason)


def test_a_suppressed_address_gets_nothing_and_says_why():
    seen = replace(SEEN, dead={address_hash(PERSON["email"], KEY): "complaint"})
    assert what(seen=seen) == ("skip", "complaint")


def test_a_push_goes_to_the_devices_that_are_left():
    seen = replace(SEEN, dead={address_hash("t1", KEY): "dead token"})
    assert judge(PUSH, PERSON, FACTS, seen, RULES, NOW).recipients == ("t2",)
    both = replace(SEEN, dead={address_hash(token, KEY): "dead token" for token in ("t1", "t2")})
    assert what(PUSH, seen=both) == ("skip", "dead token")
    assert what(PUSH, {**PERSON, "push_tokens": None}) == ("skip", "no address")


# --- hours -----------------------------------------------------------------------------------------------------------

AT_NIGHT = datetime(2026, 12, 11, 15, tzinfo=UTC)  # 22.00 in Jakarta


def test_a_push_waits_for_the_morning_unless_its_reader_agreed_to_the_night():
    verdict = judge(PUSH, PERSON, FACTS, SEEN, RULES, AT_NIGHT)
    assert (verdict.what, verdict.at) == ("later", datetime(2026, 12, 12, 0, tzinfo=UTC))  # 07.00 in Jakarta
    assert what(PUSH, facts=replace(FACTS, night={"email": frozenset(), "push": frozenset({"c1"})}), now=AT_NIGHT) == (
        "send",
        "",
    )
    east = {**PERSON, "timezone": "Asia/Jayapura"}
    assert judge(PUSH, east, FACTS, SEEN, RULES, AT_NIGHT).at == datetime(2026, 12, 11, 22, tzinfo=UTC)


def test_a_push_whose_morning_comes_after_its_deadline_is_not_sent():
    late = replace(PUSH, send_before=milliseconds(AT_NIGHT + timedelta(hours=2)))
    assert what(late, now=AT_NIGHT) == ("skip", "quiet hours")


def test_quiet_hours_that_discard_send_nothing():
    policy = ContactPolicy(push=PushPolicy(quiet=Quiet(**{"from": "21:00", "to": "07:00", "then": "discard"})))
    assert what(PUSH, rules=replace(RULES, policy=policy), now=AT_NIGHT) == ("skip", "quiet hours")


def test_hours_of_prayer_are_waited_for():
    window = (NOW - timedelta(minutes=5), NOW + timedelta(minutes=40))
    rules = replace(RULES, blocked=lambda province, zone: [window])
    assert judge(CLAIM, PERSON, FACTS, SEEN, rules, NOW).at == window[1]


# --- caps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        ([1], "send"),
        ([1, 2], "skip"),
        ([1, 30], "send"),  # yesterday's does not count for the day
        ([24, 48, 72, 96, 120], "skip"),
        ([24, 48, 72, 96, 170], "send"),
        (list(range(24, 24 * 30, 46)), "skip"),
    ],
)
def test_a_person_gets_no_more_than_the_policy_allows_in_a_day_a_week_and_a_month(ago, expected):
    assert what(seen=sent(*(timedelta(hours=n) for n in ago)))[0] == expected


def test_a_channel_s_own_cap_counts_that_channel_alone():
    rules = replace(RULES, policy=POLICY.model_copy(update={"email": ChannelPolicy(most=Caps(day=1))}))
    assert what(seen=sent(timedelta(hours=1)), rules=rules) == ("skip", "frequency cap")
    assert what(seen=sent(timedelta(hours=1), channel="push"), rules=rules)[0] == "send"


def test_a_campaign_that_may_exceed_the_caps_does_by_so_many():
    assert what(seen=sent(timedelta(hours=1), timedelta(hours=2)), rules=replace(RULES, more=1))[0] == "send"


def test_a_contact_that_both_the_table_and_the_ledger_know_counts_once():
    told = {"p1": [Told("email", "other", NOW - timedelta(hours=1)), Told("push", "third", NOW - timedelta(hours=30))]}
    facts = replace(FACTS, told=told)
    assert what(facts=facts, seen=sent(timedelta(hours=1, minutes=1)))[0] == "send"
    assert what(facts=facts, seen=sent(timedelta(hours=1), timedelta(hours=2)))[0] == "skip"
    own = replace(FACTS, told={"p1": [Told("email", "other", NOW), Told("push", "third", NOW)]})
    assert what(facts=own) == ("skip", "frequency cap")


def test_a_person_whom_another_campaign_is_writing_to_waits_only_where_one_place_is_left():
    busy = {"p1": Counter({"push": 1})}
    assert what(seen=replace(SEEN, busy=busy))[0] == "send"
    seen = replace(sent(timedelta(hours=1)), busy=busy)
    verdict = judge(CLAIM, PERSON, FACTS, seen, RULES, NOW)
    assert (verdict.what, verdict.soon) == ("later", True)


# --- offers and items ------------------------------------------------------------------------------------------------


def test_a_message_with_a_paused_offer_or_an_item_that_is_gone_is_changed():
    assert what(rules=replace(RULES, paused=frozenset({"kopi"}))) == ("change", "offer paused")
    assert what(rules=replace(RULES, paused=frozenset({"teh"})))[0] == "send"
    assert what(facts=replace(FACTS, touched=frozenset({"c1"})))[0] == "change"
