import hashlib
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.audience import REASONS, Audience, check_audience, eligible, select_audience
from campaigns.contact import ContactPolicy
from campaigns.control import Controls, campaign_salt, global_salt, in_group
from campaigns.spec import Campaign
from campaigns.tables import (
    CHANNELS,
    CONSENTS,
    CUSTOMERS,
    PARENT,
    RESPONSES,
    SEGMENTS,
    SERVICE_CASES,
    SILENCES,
    CampaignError,
)
from recsys.tables import InputError, Table, conform

AS_OF = datetime(2017, 12, 4, 17, tzinfo=UTC)  # 5 December, 00.00 WIB
BEFORE, AFTER = AS_OF - timedelta(days=1), AS_OF + timedelta(days=1)


def make_campaign(*, predicates: tuple[str | None, ...] = (None,), **parts: Any) -> Campaign:
    """A campaign with an offer for each predicate of eligibility."""
    channel = {"capacity": 10, "placements": {"push": 1}}
    offer = {
        "id": "kopi",
        "benefit": {"kind": "amount_off", "amount": 1000},
        "scope": {"everything": True},
        "uplift": 0.1,
        "text": {"id": {"title": "Kopi"}},
    }
    base = {
        "id": "harbolnas",
        "name": "Harbolnas",
        "schedule": {"occasion": "harbolnas"},
        "window_days": 20,
        "control": {"share": 0},
        "channels": {"email": channel, "push": channel},
        "budgets": {"retailer": 1000},
        "offers": [{**offer, "id": f"offer-{n}", "eligibility": text} for n, text in enumerate(predicates)],
        "content": {"id": {}},
    }
    return Campaign.model_validate({**base, **parts})


def rows(contract: Table, *entries: dict[str, Any]) -> pa.Table:
    """A table of the contract; what an entry does not say is null."""
    return pa.Table.from_pylist([dict.fromkeys(contract.schema.names) | entry for entry in entries], contract.schema)


def person(name: str, **parts: Any) -> dict[str, Any]:
    return {"customer_id": name, "email": f"{name}@toko.example", "push_tokens": ["token"], **parts}


def word(name: str, channel: str, granted: bool, at: datetime = BEFORE, purpose: str = "promotion") -> dict[str, Any]:
    return {"customer_id": name, "channel": channel, "purpose": purpose, "granted": granted, "changed_at": at}


def select(
    *people: dict[str, Any],
    campaign: Campaign | None = None,
    consents: list[dict[str, Any]] | None = None,
    cases: list[dict[str, Any]] | None = None,
    silences: list[dict[str, Any]] | None = None,
    **options: Any,
) -> Audience:
    """Without a list of consents, everyone is taken to consent."""
    options.setdefault("assume_consent", ("email", "push") if consents is None else ())
    options.setdefault("control_salt", "salt")
    return select_audience(
        campaign or make_campaign(),
        rows(CUSTOMERS, *people),
        rows(CONSENTS, *(consents or [])),
        rows(SERVICE_CASES, *(cases or [])),
        rows(SILENCES, *(silences or [])),
        as_of=options.pop("as_of", AS_OF),
        **options,
    )


def reached(audience: Audience) -> dict[str, tuple[bool, bool]]:
    return {entry["customer_id"]: (entry["email"], entry["push"]) for entry in audience.people.to_pylist()}


def reasons(audience: Audience) -> dict[str, str]:
    return {entry["customer_id"]: entry["reason"] for entry in audience.left_out.to_pylist()}


def test_no_word_about_consent_is_a_no_unless_it_is_assumed() -> None:
    assert reasons(select(person("a"), consents=[])) == {"a": "no consent"}
    assert reached(select(person("a"), consents=[], assume_consent=["push"])) == {"a": (False, True)}


def test_the_latest_word_about_consent_before_as_of_wins() -> None:
    consents = [
        word("a", "email", True, BEFORE - timedelta(days=9)),
        word("a", "email", False),
        word("b", "email", False, BEFORE - timedelta(days=9)),
        word("b", "email", True),
        word("b", "email", False, AS_OF),
        word("c", "email", True, AS_OF),
    ]
    audience = select(*map(person, "abc"), consents=consents)
    assert reached(audience) == {"b": (True, False)}
    assert reasons(audience) == {"a": "no consent", "c": "no consent"}


def test_of_two_words_at_one_instant_the_no_counts() -> None:
    for order in ([True, False], [False, True]):
        consents = [word("a", "email", granted) for granted in order]
        assert reasons(select(person("a"), consents=consents)) == {"a": "no consent"}


def test_consent_is_for_a_channel_and_a_purpose() -> None:
    consents = [word("a", "email", True, purpose="transaction"), word("a", "push", True)]
    assert reached(select(person("a"), consents=consents)) == {"a": (False, True)}


def test_a_withdrawal_overrides_what_is_assumed() -> None:
    consents = [word("a", "email", False)]
    assert reached(select(person("a"), consents=consents, assume_consent=["email", "push"])) == {"a": (False, True)}


def test_a_channel_needs_an_address() -> None:
    audience = select(
        person("a", email=None),
        person("b", push_tokens=[]),
        person("c", push_tokens=None, email="c"),
        person("d", push_tokens=["", None], email="d@x.example\r\nBcc: e@x.example"),
    )
    assert reached(audience) == {"a": (False, True), "b": (True, False)}
    assert reasons(audience) == {"c": "no address", "d": "no address"}


def test_an_address_without_consent_is_no_address() -> None:
    audience = select(person("a", email=None), consents=[word("a", "email", True)])
    assert reasons(audience) == {"a": "no address"}


def test_only_the_campaigns_channels_count() -> None:
    campaign = make_campaign(channels={"push": {"capacity": 1, "placements": {"push": 1}}})
    audience = select(person("a"), person("b", push_tokens=[]), campaign=campaign)
    assert reached(audience) == {"a": (False, True)}
    assert reasons(audience) == {"b": "no address"}
    assert reasons(select(person("a"), campaign=campaign, consents=[word("a", "email", True)])) == {"a": "no consent"}


def test_an_open_case_keeps_a_customer_out_until_it_is_closed() -> None:
    cases = [
        {"customer_id": "a", "kind": "complaint", "opened_at": BEFORE},
        {"customer_id": "b", "kind": "complaint", "opened_at": BEFORE, "closed_at": BEFORE + timedelta(hours=1)},
        {"customer_id": "c", "kind": "late_delivery", "opened_at": BEFORE, "closed_at": AFTER},
        {"customer_id": "d", "kind": "complaint", "opened_at": AFTER},
        {"customer_id": "e", "kind": "return", "opened_at": BEFORE},
    ]
    audience = select(*map(person, "abcde"), cases=cases, policy=ContactPolicy(complaint_days=0))
    assert reasons(audience) == {"a": "open complaint", "c": "late delivery"}
    assert set(reached(audience)) == {"b", "d", "e"}
    waiting = select(*map(person, "abcde"), cases=cases, policy=ContactPolicy(complaint_days=1))
    assert reasons(waiting) == {"a": "open complaint", "b": "open complaint", "c": "late delivery"}
    later = select(*map(person, "abcde"), cases=cases, send_at=AS_OF + timedelta(days=9))  # it may be open even then
    assert reasons(later) == {"a": "open complaint", "c": "late delivery"}


def test_a_silence_holds_for_a_customer_or_a_city_until_its_end() -> None:
    silences = [
        {"customer_id": "a", "reason": "bereavement", "until": AFTER},
        {"customer_id": "b", "reason": "bereavement", "until": AS_OF},
        {"city": "Palu ", "reason": "earthquake", "until": AFTER},
    ]
    people = [person("a"), person("b"), person("c", city="palu"), person("d", city="Poso"), person("e", city=None)]
    audience = select(*people, silences=silences)
    assert reasons(audience) == {"a": "silence", "c": "silence"}
    assert set(reached(audience)) == {"b", "d", "e"}


def test_a_null_predicate_is_everybody_and_an_unknown_value_is_not_true() -> None:
    people = [person("a", tier="gold"), person("b", tier="silver"), person("c", tier=None)]
    assert set(reached(select(*people))) == {"a", "b", "c"}
    audience = select(*people, campaign=make_campaign(audience="tier <> 'silver'"))
    assert set(reached(audience)) == {"a"}
    assert reasons(audience) == {"b": "outside the audience", "c": "outside the audience"}


def test_age_is_in_whole_years_on_the_local_day() -> None:
    people = [person(f"p{day}", birth_date=date(1999, 12, day)) for day in (4, 5, 6)]
    audience = select(*people, campaign=make_campaign(audience="age >= 18"))
    assert set(reached(audience)) == {"p4", "p5"}


def test_customers_not_yet_known_are_nowhere() -> None:
    audience = select(person("a", joined_at=BEFORE), person("b", joined_at=AS_OF), person("c", joined_at=None))
    assert set(reached(audience)) == {"a", "c"}
    assert audience.funnel[0] == ("customers", 2)


def test_everyone_left_out_has_the_first_reason_that_holds() -> None:
    """One customer for whom every reason holds, relieved of them one by one in their order."""
    people = [person("0"), person("a", birth_date=date(2010, 1, 1), person_id="0")]
    responses = [{"customer_id": "a", "channel": channel, "event": "bounced", "at": BEFORE} for channel in CHANNELS]
    quiet = {"quiet": {"from": "21:00", "to": "07:00", "then": "discard"}}
    relief: list[dict[str, Any]] = [
        {"controls": Controls(test_accounts=("a",))},
        {"campaign": make_campaign(audience="tier = 'silver'")},
        {"silences": [{"customer_id": "a", "reason": "bereavement", "until": AFTER}]},
        {"cases": [{"customer_id": "a", "kind": "complaint", "opened_at": BEFORE}]},
        {"cases": [{"customer_id": "a", "kind": "late_delivery", "opened_at": BEFORE}]},
        {"consents": []},
        {"consents": [word("a", channel, True) for channel in CHANNELS]},
        {"people": [people[0], {**people[1], "email": None, "push_tokens": None}]},
        {"responses": rows(RESPONSES, *responses)},
        {"policy": ContactPolicy.model_validate({"email": quiet, "push": quiet})},
        {"policy": ContactPolicy.model_validate({"most": {"day": 0}})},
        {"people": people},
    ]
    parents = [word(name, channel, True, purpose=purpose) for name in "0a" for channel in CHANNELS
               for purpose in ("promotion", PARENT)]  # fmt: skip
    found = []
    for step in range(len(relief)):
        given = {"people": people[1:], "consents": parents}
        for later in reversed(relief[step:]):
            given = {**given, **later, "cases": [*given.get("cases", []), *later.get("cases", [])]}
        found.append(reasons(select(*given.pop("people"), **given))["a"])
    assert tuple(found) == REASONS


def test_buckets_are_the_stated_hash_and_controls_the_lowest() -> None:
    audience = select(*(person(f"c{n}") for n in range(300)), campaign=make_campaign(control={"share": 0.3}))
    for entry in audience.people.to_pylist():
        digest = hashlib.sha256(f"salt\nharbolnas\n{entry['customer_id']}".encode()).hexdigest()
        assert entry["bucket"] == int(digest[:15], 16) % 10_000
        assert entry["arm"] == ("control" if entry["bucket"] < 3000 else "treatment")
    controls = audience.people["arm"].to_pylist().count("control")
    assert dict(audience.funnel)["control group"] == controls > 0


def test_buckets_are_near_uniform_and_unlike_between_campaigns() -> None:
    people = [person(f"c{n}") for n in range(20_000)]
    first = select(*people).people["bucket"].to_numpy()
    second = select(*people, campaign=make_campaign(id="lebaran")).people["bucket"].to_numpy()
    counts = np.histogram(first, bins=20, range=(0, 10_000))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square, 19 degrees of freedom, p = 0.001
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_the_global_control_group_is_the_same_in_every_campaign() -> None:
    people = [person(f"c{n}") for n in range(500)]
    groups = [
        {entry["customer_id"] for entry in audience.people.to_pylist() if entry["arm"] == "control"}
        for name in ("harbolnas", "lebaran")
        for audience in [select(*people, campaign=make_campaign(id=name), controls=Controls(global_share=0.1))]
    ]
    assert groups[0] == groups[1]
    assert 20 < len(groups[0]) < 90


def test_no_customers_are_an_empty_audience() -> None:
    audience = select()
    assert audience.people.num_rows == audience.left_out.num_rows == 0
    assert audience.funnel == [("customers", 0), ("control group", 0), ("treatment", 0)]


def test_a_customer_who_is_there_twice_is_refused() -> None:
    with pytest.raises(InputError, match="customers: 1 rows repeat a customer_id"):
        select(person("a"), person("a"))


def test_an_as_of_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="expected a time zone"):
        select(person("a"), as_of=datetime(2017, 12, 5))  # noqa: DTZ001


def test_a_time_zone_that_there_is_not_is_named() -> None:
    with pytest.raises(InputError, match=r"customers.timezone: expected IANA zones such as Asia/Jakarta, got 'WIB'"):
        select(person("a", timezone="WIB"))


def test_a_predicate_that_fails_on_the_data_says_nothing_of_the_data() -> None:
    campaign = make_campaign(audience="points * points > 0")
    with pytest.raises(CampaignError, match="harbolnas: a predicate fails on the customers") as raised:
        select(person("secret", points=2**62), campaign=campaign)
    assert str(2**62) not in str(raised.value)


def test_eligibility_is_by_offer_in_the_order_asked_for() -> None:
    campaign = make_campaign(predicates=("tier = 'gold'", None, "points > 10"))
    customers = rows(CUSTOMERS, person("a", tier="gold"), person("b", points=11), person("c", tier="silver", points=3))
    found = eligible(campaign, customers, pa.array(["c", "a", "b"]), as_of=AS_OF)
    assert found.tolist() == [[False, True, False], [True, True, False], [False, True, True]]
    with pytest.raises(InputError, match="1 of 2 customers are not known"):
        eligible(campaign, customers, pa.array(["a", "zz"]), as_of=AS_OF)


def test_check_names_predicates_that_nobody_meets() -> None:
    customers = rows(CUSTOMERS, person("a", tier="gold"), person("b", tier="silver"))
    assert check_audience(make_campaign(audience="tier = 'gold'"), customers, as_of=AS_OF) == []
    (line,) = check_audience(make_campaign(audience="tier = 'emas'"), customers, as_of=AS_OF)
    assert line == "audience: none of 2 customers, \"tier = 'emas'\"; loosen the predicate"
    campaign = make_campaign(audience="tier = 'gold'", predicates=(None, "tier = 'silver'"))
    (line,) = check_audience(campaign, customers, as_of=AS_OF)
    assert line.startswith("offers[offer-1].eligibility: none of the 1 customers in the audience")


OF_THE_ZONES = """
import sys
from datetime import date, datetime, timedelta, timezone
sys.path.insert(0, sys.argv[1])
from test_audience import ContactPolicy, Controls, make_campaign, person, rows, select, word
from campaigns.tables import CONTACTS
at = datetime(2017, 12, 11, 17, tzinfo=timezone.utc)
zones = ["Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", None]
people = [person(f"p{n:02}", birth_date=date(1998, 12, 1) + timedelta(days=n), joined_at=at - timedelta(hours=n),
                 timezone=zones[n % 4]) for n in range(48)]
contacts = [{"customer_id": f"p{n:02}", "campaign_id": "x", "channel": "push", "sent_at": at + timedelta(hours=n - 30)}
            for n in range(48)]
campaign = make_campaign(audience="age >= 18 and joined_at < date '2017-12-12'", control={"share": 0.3})
found = select(*people, campaign=campaign, as_of=at, contacts=rows(CONTACTS, *contacts),
               controls=Controls(global_share=0.1), policy=ContactPolicy.model_validate({"most": {"day": 1}}))
print(found.funnel, found.people.to_pylist(), found.left_out.to_pylist())
"""


def test_the_machines_zone_changes_nothing() -> None:
    here = Path(__file__).parent
    said = {
        subprocess.run(
            [sys.executable, "-c", OF_THE_ZONES, str(here)],
            env={**os.environ, "TZ": zone},
            cwd=here.parents[1],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for zone in ("UTC", "Asia/Jakarta", "America/New_York")
    }
    assert len(said) == 1
    assert "frequency cap" in said.pop()


def test_facts_in_files_choose_the_same_people_as_tables(tmp_path: Path) -> None:
    people = [person(f"c{n}", tier="gold" if n % 3 else None, joined_at=BEFORE) for n in range(50)]
    consents = [word(f"c{n}", "email", n % 4 > 0) for n in range(50)]
    campaign = make_campaign(audience="tier = 'gold'", control={"share": 0.2})
    expected = select(*people, campaign=campaign, consents=consents)
    read = []
    for contract, entries in ((CUSTOMERS, people), (CONSENTS, consents), (SERVICE_CASES, []), (SILENCES, [])):
        pq.write_table(rows(contract, *reversed(entries)), tmp_path / f"{contract.name}.parquet")
        read.append(ds.dataset(tmp_path / f"{contract.name}.parquet", schema=contract.schema))
    assert select_audience(campaign, *read, as_of=AS_OF, control_salt="salt", memory="100MB") == expected


BORN = {"a": date(1990, 3, 1), "b": date(1988, 2, 29), "c": date(1991, 2, 28), "d": date(1985, 12, 31), "e": None}
WIB = ZoneInfo("Asia/Jakarta")


@pytest.mark.parametrize(
    ("sent", "schedule", "celebrating"),
    [
        (datetime(2026, 2, 28, 8, tzinfo=WIB), {}, {"b", "c"}),
        (datetime(2026, 2, 28, 8, tzinfo=WIB), {"leap_day": "march"}, {"c"}),
        (datetime(2026, 3, 1, 8, tzinfo=WIB), {"leap_day": "march"}, {"a", "b"}),
        (datetime(2028, 2, 28, 8, tzinfo=WIB), {}, {"c"}),
        (datetime(2028, 2, 29, 8, tzinfo=WIB), {}, {"b"}),
        (datetime(2028, 2, 29, 8, tzinfo=WIB), {"leap_day": "march"}, {"b"}),
        (datetime(2026, 12, 31, 8, tzinfo=WIB), {}, {"d"}),
        (datetime(2026, 12, 30, 23, tzinfo=WIB), {}, set()),
    ],
)
def test_a_birthday_campaign_is_for_those_whose_birthday_it_is_where_they_are(sent, schedule, celebrating) -> None:
    people = [person(name, birth_date=born, timezone="Asia/Jakarta") for name, born in BORN.items()]
    campaign = make_campaign(schedule={"occasion": "birthday", "time": "08:00", **schedule})
    assert set(reached(select(*people, campaign=campaign, send_at=sent))) == celebrating


def test_a_birthday_begins_at_each_zones_own_midnight() -> None:
    zones = {"wib": "Asia/Jakarta", "wita": "Asia/Makassar", "wit": "Asia/Jayapura", "none": None}
    people = [person(name, birth_date=date(1990, 12, 12), timezone=zone) for name, zone in zones.items()]
    campaign = make_campaign(audience="birthday_in = 0")
    midnight = datetime(2017, 12, 12, tzinfo=WIB)
    for hours, names in ((-2, {"wit"}), (-1, {"wit", "wita"}), (0, set(zones)), (22, {"wib", "wita", "none"})):
        audience = select(*people, campaign=campaign, send_at=midnight + timedelta(hours=hours))
        assert set(reached(audience)) == names, hours
        before = select(*people, campaign=campaign, send_at=midnight + timedelta(hours=hours, seconds=-1))
        assert set(reached(before)) != names, hours


def test_days_to_a_birthday_are_counted_over_the_new_year_and_a_leap_day() -> None:
    people = [person(name, birth_date=born) for name, born in BORN.items()]
    sent = datetime(2027, 12, 30, 8, tzinfo=WIB)
    for days, names in ((1, {"d"}), (60, {"c"}), (61, {"b"}), (62, {"a"})):
        audience = select(*people, campaign=make_campaign(audience=f"birthday_in = {days}"), send_at=sent)
        assert set(reached(audience)) == names


def test_points_that_lapse_are_counted_from_the_day_of_sending() -> None:
    people = [person(name, points_expiring=500, points_expire_on=day) for name, day in
              (("a", date(2017, 12, 12)), ("b", date(2017, 12, 19)), ("c", date(2017, 12, 11)))]  # fmt: skip
    campaign = make_campaign(audience="points_expiring > 0 and points_expire_in between 0 and 6")
    sent = datetime(2017, 12, 12, 8, tzinfo=WIB)
    assert set(reached(select(*people, campaign=campaign, send_at=sent))) == {"a"}


def test_segments_are_columns_like_others() -> None:
    segments = rows(SEGMENTS, {"customer_id": "a", "monetary_quintile": 5}, {"customer_id": "b", "orders": 3})
    campaign = make_campaign(audience="monetary_quintile = 5 or orders > 2", predicates=("orders > 2",))
    people = [person("a"), person("b"), person("c")]
    assert set(reached(select(*people, campaign=campaign, segments=segments))) == {"a", "b"}
    found = eligible(campaign, rows(CUSTOMERS, *people), pa.array(["a", "b"]), as_of=AS_OF, segments=segments)
    assert found.tolist() == [[False], [True]]


def test_all_accounts_of_a_person_are_in_one_arm_and_a_past_group_is_known_again() -> None:
    people = [person(f"c{n}", person_id=f"p{n // 2}") for n in range(400)]
    campaign = make_campaign(control={"share": 0.2})
    audience = select(*people, campaign=campaign, controls=Controls(global_share=0.1, season="2017-h2"))
    entries = audience.people.to_pylist()
    assert len(entries) == 200
    ids = [entry["person_id"] for entry in entries]
    own = in_group(ids, campaign_salt("salt", "harbolnas"), 0.2)
    everywhere = in_group(ids, global_salt("salt", "2017-h2"), 0.1)
    assert [entry["arm"] == "control" for entry in entries] == [a or b for a, b in zip(own, everywhere, strict=True)]


def test_services_go_to_the_global_control_group_too() -> None:
    people = [person(f"c{n}") for n in range(200)]
    service = make_campaign(purpose="service")
    audience = select(*people, campaign=service, controls=Controls(global_share=0.15))
    assert dict(audience.funnel)["control group"] == 0


def test_consent_is_for_the_campaigns_purpose() -> None:
    consents = [word("a", "email", True, purpose="greeting"), word("b", "email", True)]
    campaign = make_campaign(purpose="greeting")
    assert set(reached(select(person("a"), person("b"), campaign=campaign, consents=consents))) == {"a"}


def test_a_silence_or_a_complaint_of_one_account_is_the_persons() -> None:
    people = [person("a", person_id="p"), person("b", person_id="p"), person("c")]
    silences = [{"customer_id": "a", "reason": "bereavement", "until": AFTER}]
    assert reasons(select(*people, silences=silences)) == {"a": "silence", "b": "silence"}
    cases = [{"customer_id": "b", "kind": "complaint", "opened_at": BEFORE}]
    assert reasons(select(*people, cases=cases)) == {"a": "open complaint", "b": "open complaint"}


moments = st.sampled_from([BEFORE - timedelta(days=9), BEFORE, AS_OF, AFTER])
names = st.sampled_from("abcdefgh")
everyone = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": names,
            "person_id": st.sampled_from([None, "a", "x"]),
            "birth_date": st.sampled_from([None, date(2010, 1, 1), date(1990, 1, 1)]),
            "email": st.sampled_from([None, "x@toko.example", "broken"]),
            "push_tokens": st.sampled_from([None, [], ["t"]]),
            "city": st.sampled_from([None, "Palu", "Solo"]),
            "tier": st.sampled_from([None, "gold", "silver"]),
            "joined_at": st.none() | moments,
        }
    ),
    unique_by=lambda entry: entry["customer_id"],
    max_size=8,
)
words = st.builds(word, names, st.sampled_from(["email", "push"]), st.booleans(), moments)
troubles = st.fixed_dictionaries(
    {
        "customer_id": names,
        "kind": st.sampled_from(["complaint", "late_delivery", "return"]),
        "opened_at": moments,
        "closed_at": st.none() | moments,
    }
)
pauses = st.fixed_dictionaries({"customer_id": names, "reason": st.just("bereavement"), "until": moments})


@settings(deadline=None, max_examples=60)
@given(
    everyone, st.lists(words, max_size=12), st.lists(troubles, max_size=4), st.lists(pauses, max_size=3), st.randoms()
)
def test_the_funnel_adds_up_and_the_order_of_rows_changes_nothing(people, consents, cases, silences, random) -> None:
    campaign = make_campaign(audience="tier is not null", control={"share": 0.5})
    audience = select(*people, campaign=campaign, consents=consents, cases=cases, silences=silences)
    known = sorted(entry["customer_id"] for entry in people if entry["joined_at"] is None or entry["joined_at"] < AS_OF)
    (first, total), *parts = audience.funnel
    assert (first, total) == ("customers", len(known))
    assert total == sum(count for _, count in parts)
    ids = audience.people["customer_id"].to_pylist() + audience.left_out["customer_id"].to_pylist()
    assert sorted(ids) == known
    entries = audience.people.to_pylist()
    assert all(entry["messages"] > 0 and (entry["email"] or entry["push"]) for entry in entries)
    assert len({entry["person_id"] for entry in entries}) == len(entries)
    for entries in (people, consents, cases, silences):
        random.shuffle(entries)
    assert select(*people, campaign=campaign, consents=consents, cases=cases, silences=silences) == audience


def test_the_tables_fit_their_contracts_where_columns_are_missing() -> None:
    customers = conform(pa.table({"customer_id": ["a"], "email": ["a@toko.example"]}), CUSTOMERS).select(
        ["customer_id", "email"]
    )
    empty = [contract.schema.empty_table() for contract in (CONSENTS, SERVICE_CASES, SILENCES)]
    audience = select_audience(
        make_campaign(), customers, *empty, as_of=AS_OF, control_salt="salt", assume_consent=["email"]
    )
    assert reached(audience) == {"a": (True, False)}
