"""How often, when and when not a person may be written to."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_matrix

from campaigns.audience import Audience, select_audience
from campaigns.contact import ContactPolicy, Quiet, bought_lately, night_allowance, slot
from campaigns.spec import Campaign
from campaigns.tables import CONSENTS, CONTACTS, CUSTOMERS, RESPONSES, SERVICE_CASES, SILENCES
from recsys.tables import PURCHASES, Table

NOON = datetime(2017, 12, 12, 5, tzinfo=UTC)  # noon WIB, 13.00 WITA, 14.00 WIT
DAY = timedelta(days=1)
ZONES = ("Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura")


def make_campaign(**parts: Any) -> Campaign:
    channel = {"capacity": 10, "placements": {"push": 1}}
    base = {
        "id": "harbolnas",
        "name": "Harbolnas",
        "schedule": {"occasion": "harbolnas"},
        "window_days": 20,
        "control": {"share": 0},
        "channels": {"email": channel, "push": channel},
        "budgets": {"retailer": 1000},
        "offers": [
            {
                "id": "kopi",
                "benefit": {"kind": "amount_off", "amount": 1000},
                "scope": {"everything": True},
                "uplift": 0.1,
                "text": {"id": {"title": "Kopi"}},
            }
        ],
        "content": {"id": {}},
    }
    return Campaign.model_validate({**base, **parts})


def rows(contract: Table, *entries: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(contract.schema.names) | entry for entry in entries], contract.schema)


def person(name: str, **parts: Any) -> dict[str, Any]:
    return {"customer_id": name, "email": f"{name}@toko.example", "push_tokens": ["token"], **parts}


def contact(name: str, at: datetime, channel: str = "email", opened: datetime | None = None) -> dict[str, Any]:
    return {"customer_id": name, "campaign_id": "lama", "channel": channel, "sent_at": at, "opened_at": opened}


def select(
    *people: dict[str, Any],
    policy: dict[str, Any] | None = None,
    contacts: list[dict[str, Any]] | None = None,
    campaign: Campaign | None = None,
    at: datetime = NOON,
    consents: list[dict[str, Any]] | None = None,
    **more: Any,
) -> Audience:
    for name in ("ghosts", "responses"):
        if name in more:
            more[name] = rows(CONTACTS if name == "ghosts" else RESPONSES, *more[name])
    return select_audience(
        campaign or make_campaign(),
        rows(CUSTOMERS, *people),
        rows(CONSENTS, *(consents or [])),
        rows(SERVICE_CASES),
        rows(SILENCES),
        as_of=more.pop("as_of", at),
        send_at=at,
        control_salt="salt",
        assume_consent=("email", "push"),
        policy=ContactPolicy.model_validate(policy or {}),
        contacts=rows(CONTACTS, *(contacts or [])),
        **more,
    )


def facts(audience: Audience, *columns: str) -> dict[str, Any]:
    found = audience.people.to_pylist()
    return {row["customer_id"]: tuple(row[name] for name in columns) for row in found}


def left_out(audience: Audience) -> dict[str, str]:
    return {row["customer_id"]: row["reason"] for row in audience.left_out.to_pylist()}


# --- how often -------------------------------------------------------------------------------------------------------


def test_a_person_gets_no_more_in_a_day_than_the_cap_over_all_campaigns_and_channels() -> None:
    contacts = [contact("a", NOON - timedelta(hours=h), channel) for h, channel in ((3, "email"), (2, "push"))]
    found = select(person("a"), person("b"), contacts=contacts, policy={"most": {"day": 2}})
    assert left_out(found) == {"a": "frequency cap"}
    assert facts(found, "messages") == {"b": (2,)}


def test_a_channel_has_a_cap_of_its_own() -> None:
    policy = {"most": {"day": 5}, "email": {"most": {"week": 1}}}
    found = select(person("a"), person("b"), contacts=[contact("a", NOON - 6 * DAY)], policy=policy)
    assert facts(found, "email", "push", "messages") == {"a": (False, True, 5), "b": (True, True, 1)}


@pytest.mark.parametrize(("days", "capped"), [(-29, True), (-30, False), (0, True), (29, True), (30, False)])
def test_thirty_days_are_those_in_a_row_with_the_day_of_sending_among_them(days: int, capped: bool) -> None:
    """Also with messages that are planned for days to come."""
    found = select(person("a"), contacts=[contact("a", NOON + days * DAY)], policy={"most": {"month": 1}})
    assert bool(left_out(found)) is capped


def test_a_message_between_two_others_must_not_fill_a_week_beyond_its_cap() -> None:
    contacts = [contact("a", NOON + days * DAY) for days in (-4, -3, 3, 4)]
    policies = [{"most": {"week": most}} for most in (2, 3)]
    none, one = (select(person("a"), contacts=contacts, policy=policy) for policy in policies)
    assert left_out(none) == {"a": "frequency cap"}  # days −4 to 2 hold two, and so do −3 to 3
    assert facts(one, "messages") == {"a": (1,)}


@pytest.mark.parametrize("zone", ZONES)
def test_the_day_of_a_cap_is_the_customers_own(zone: str) -> None:
    midnight = datetime(2017, 12, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    second = timedelta(seconds=1)
    people = [person(name, timezone=zone) for name in "ab"]
    contacts = [contact("a", midnight - second), contact("b", midnight)]
    found = select(*people, contacts=contacts, policy={"most": {"day": 1}}, at=midnight + timedelta(hours=12))
    assert left_out(found) == {"b": "frequency cap"}
    assert facts(found, "messages") == {"a": (1,)}


def test_a_person_with_several_accounts_is_written_to_once_and_capped_once() -> None:
    people = [person("a", person_id="p", email=None), person("b", person_id="p"), person("c", person_id="p")]
    found = select(*people)
    assert list(facts(found)) == ["b"]  # reached on both channels; then the first id
    assert left_out(found) == {"a": "other account", "c": "other account"}
    capped = select(*people, contacts=[contact("a", NOON - DAY)], policy={"most": {"week": 1}})
    assert set(left_out(capped).values()) == {"frequency cap"}


def test_services_may_exceed_the_caps_by_rule_and_no_more_than_it_says() -> None:
    sent = [contact("a", NOON - timedelta(hours=1)), *(contact("b", NOON - timedelta(hours=h)) for h in (1, 2))]
    for campaign, allowed in ((make_campaign(), {}), (make_campaign(purpose="service"), {"a": (1,)})):
        found = select(person("a"), person("b"), contacts=sent, policy={"most": {"day": 1}}, campaign=campaign)
        assert facts(found, "messages") == allowed
    policy = {"most": {"day": 1}, "above": {"campaigns": ["harbolnas"], "more": 2}}
    assert facts(select(person("a"), person("b"), contacts=sent, policy=policy), "messages") == {"a": (2,), "b": (1,)}


def test_what_controls_would_have_been_sent_takes_up_their_patience_too() -> None:
    found = select(person("a"), ghosts=[contact("a", NOON)], policy={"most": {"day": 1}})
    assert left_out(found) == {"a": "frequency cap"}


contacts_of_a = st.lists(st.tuples(st.integers(-40, 40), st.sampled_from(["email", "push"])), max_size=12)


@settings(deadline=None, max_examples=60)
@given(contacts_of_a, st.integers(1, 4), st.integers(1, 6), st.integers(1, 8))
def test_the_messages_allowed_reach_the_caps_and_never_exceed_them(sent, day: int, week: int, month: int) -> None:
    contacts = [contact("a", NOON + days * DAY, channel) for days, channel in sent]
    caps = {1: day, 7: week, 30: month}
    allowed = facts(select(person("a"), contacts=contacts, policy={"most": {"day": day, "week": week, "month": month}}),
                    "messages").get("a", (0,))[0]  # fmt: skip

    def exceeded(messages: int) -> bool:
        """Whether a span of days with the day of sending in it holds too many."""
        by_day = Counter(days for days, _ in sent) + Counter({0: messages})
        return any(
            sum(by_day[start + n] for n in range(span)) > cap
            for span, cap in caps.items()
            for start in range(1 - span, 1)
        )

    assert not (allowed and exceeded(allowed))
    assert exceeded(allowed + 1)


def test_unopened_messages_of_thirty_days_make_the_next_dearer() -> None:
    policy = {"most": {}, "email": {"fatigue": 150}, "push": {"fatigue": 40}}
    contacts = [
        *(contact("a", NOON - days * DAY) for days in (1, 10, 31)),
        contact("a", NOON - 3 * DAY, opened=NOON - 2 * DAY),
        contact("a", NOON - 4 * DAY, opened=NOON + DAY),  # as of now it is not opened
        contact("a", NOON + DAY),  # nor can this one be
        contact("a", NOON - DAY, "push"),
    ]
    found = select(person("a"), person("b"), contacts=contacts, policy=policy)
    assert facts(found, "email_fatigue", "push_fatigue") == {"a": (450, 0), "b": (0, 0)}
    # Of push nobody has ever opened one: then openings are not counted, and nobody is tired.


def test_a_night_leaves_each_person_the_least_of_what_its_days_leave() -> None:
    contacts = [contact("a", NOON), contact("b", NOON + 8 * DAY)]
    policy = {"most": {"week": 3}}
    one = select(person("a"), person("b"), contacts=contacts, policy=policy)
    other = select(person("b"), person("c", person_id="z"), contacts=contacts, policy=policy, at=NOON + 5 * DAY)
    ids, persons, messages = night_allowance([one.people, other.people])
    assert ids.to_pylist() == ["a", "b", "z"]
    assert [list(row) for row in persons] == [[0, 1], [1, 2]]
    assert messages.tolist() == [2, 2, 3]


# --- when ------------------------------------------------------------------------------------------------------------

MIDNIGHT = datetime(2017, 12, 11, 17, tzinfo=UTC)  # 00.00 WIB, 02.00 WIT


def test_at_midnight_messages_go_to_who_agreed_and_wait_for_the_others_own_morning() -> None:
    night = {"channel": "push", "purpose": "night", "granted": True, "changed_at": MIDNIGHT - DAY}
    people = [person(name, timezone=zone) for name, zone in (("a", ZONES[0]), ("b", ZONES[0]), ("c", ZONES[2]))]
    found = select(*people, at=MIDNIGHT, consents=[{"customer_id": "a", **night}])
    assert facts(found, "email_at", "push_at") == {
        "a": (MIDNIGHT, MIDNIGHT),
        "b": (MIDNIGHT, datetime(2017, 12, 12, 0, tzinfo=UTC)),
        "c": (MIDNIGHT, datetime(2017, 12, 11, 22, tzinfo=UTC)),
    }


def test_what_is_discarded_in_quiet_hours_does_not_go_on_that_channel() -> None:
    policy = {"push": {"quiet": {"from": "21:00", "to": "07:00", "then": "discard"}}}
    assert facts(select(person("a"), at=MIDNIGHT, policy=policy), "email", "push") == {"a": (True, False)}
    assert left_out(select(person("a", email=None), at=MIDNIGHT, policy=policy)) == {"a": "quiet hours"}


def test_a_message_that_waits_until_morning_counts_on_that_day() -> None:
    evening = datetime(2017, 12, 11, 15, tzinfo=UTC)  # 22.00 WIB
    contacts = [contact("a", evening + timedelta(hours=10)), contact("b", evening - timedelta(hours=1))]
    policy = {"most": {"day": 1}}
    found = select(person("a"), person("b"), contacts=contacts, policy=policy, at=evening)
    assert facts(found, "email", "push") == {"a": (True, False), "b": (False, True)}


@pytest.mark.parametrize(
    ("hour", "minute", "second", "waits"), [(20, 59, 59, False), (21, 0, 0, True), (6, 59, 59, True), (7, 0, 0, False)]
)
@pytest.mark.parametrize("zone", ZONES)
def test_quiet_hours_begin_and_end_to_the_second_in_each_zone(zone, hour, minute, second, waits) -> None:
    due = datetime(2017, 12, 12, hour, minute, second, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = slot(Quiet(), zone, due)
    assert found.at_once == due
    assert (found.otherwise != due) is waits
    if waits:
        assert found.otherwise.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S") == "07:00:00"


def test_quiet_hours_join_with_other_windows_also_for_who_agreed_to_the_night() -> None:
    prayer = (NOON - timedelta(hours=1), datetime(2017, 12, 12, 14, 30, tzinfo=UTC))  # until 21.30
    found = slot(Quiet(), "Asia/Jakarta", NOON, [prayer])
    assert found.at_once == prayer[1]
    assert found.otherwise == datetime(2017, 12, 13, 0, tzinfo=UTC)
    discarding = slot(Quiet.model_validate({"then": "discard"}), "Asia/Jakarta", NOON, [prayer])
    assert (discarding.at_once, discarding.otherwise) == (prayer[1], None)


def test_hours_from_and_to_alike_are_no_hours() -> None:
    assert slot(Quiet.model_validate({"from": "00:00", "to": "00:00"}), "Asia/Jakarta", MIDNIGHT).otherwise == MIDNIGHT


# --- to whom ---------------------------------------------------------------------------------------------------------


def response(name: str, event: str, days: int, channel: str | None = None) -> dict[str, Any]:
    return {"customer_id": name, "channel": channel, "event": event, "at": NOON + days * DAY}


def test_an_address_that_bounced_is_left_until_it_takes_a_message_again() -> None:
    responses = [
        response("a", "bounced", -5),  # of what, is not known: of mail
        response("b", "bounced", -5, "email"), response("b", "delivered", -4, "email"),
        response("c", "bounced", -5, "push"),
        response("d", "bounced", 1, "email"),
    ]  # fmt: skip
    found = select(*map(person, "abcd"), responses=responses)
    assert facts(found, "email", "push") == {
        "a": (False, True),
        "b": (True, True),
        "c": (True, False),
        "d": (True, True),
    }
    assert left_out(select(person("a", push_tokens=None), responses=responses)) == {"a": "hard bounce"}


def test_an_opt_out_by_a_link_or_a_complaint_is_a_word_about_consent_of_its_day() -> None:
    yes = {"purpose": "promotion", "granted": True}
    consents = [
        {"customer_id": name, "channel": channel, "changed_at": NOON + days * DAY, **yes}
        for name, days in (("a", -9), ("b", -9), ("c", -1))
        for channel in ("email", "push")
    ]
    responses = [response("a", "unsubscribed", -3, "email"), response("b", "complained", -3),
                 response("c", "unsubscribed", -3)]  # fmt: skip
    found = select(*map(person, "abc"), consents=consents, responses=responses)
    assert facts(found, "email", "push") == {"a": (False, True), "c": (True, True)}
    assert left_out(found) == {"b": "no consent"}


@pytest.mark.parametrize(("born", "child"), [(date(1999, 12, 13), True), (date(1999, 12, 12), False), (None, False)])
def test_a_child_is_written_to_only_with_a_parents_consent(born: date | None, child: bool) -> None:
    word = {"customer_id": "a", "channel": "email", "purpose": "parent", "changed_at": NOON - DAY}
    found = select(person("a", birth_date=born))
    assert left_out(found) == ({"a": "no parent's consent"} if child else {})
    agreed = select(person("a", birth_date=born), consents=[{**word, "granted": True}])
    assert facts(agreed, "email", "push") == {"a": (True, not child)}
    taken_back = [{**word, "granted": True}, {**word, "granted": False, "changed_at": NOON - timedelta(hours=1)}]
    assert bool(left_out(select(person("a", birth_date=born), consents=taken_back))) is child


def test_who_bought_an_item_of_the_scope_lately_does_not_get_the_offer() -> None:
    lines = [
        {"line_id": str(n), "order_id": "o", "customer_id": who, "item_id": item, "occurred_at": NOON - days * DAY,
         "kind": "purchase", "quantity": 1, "amount": 1}
        for n, (who, item, days) in enumerate([("a", "kopi", 3), ("a", "teh", 30), ("b", "teh", 3), ("zz", "kopi", 1)])
    ]  # fmt: skip
    scopes = csr_matrix(np.array([[1, 0, 1], [0, 1, 1]], np.float32))  # items × offers: kopi, teh, everything
    found = bought_lately(
        pa.array(["a", "b", "c"]), rows(PURCHASES, *lines), scopes, pa.array(["kopi", "teh"]),
        np.array([True, True, False]), since=NOON - 14 * DAY,
    )  # fmt: skip
    assert found.tolist() == [[True, False, False], [False, True, False], [False, False, False]]


@pytest.mark.parametrize(
    "wrong",
    [{"most": {"day": -1}}, {"most": {"days": 1}}, {"push": {"quiet": {"from": "25:00"}}},
     {"push": {"quiet": {"then": "later"}}}, {"complaint_days": -1}, {"unknown": 1}],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ContactPolicy.model_validate(wrong)


def test_a_part_of_a_channels_policy_leaves_the_rest_as_it_is() -> None:
    assert ContactPolicy.model_validate({"push": {"fatigue": 5}}).push.quiet == Quiet()
