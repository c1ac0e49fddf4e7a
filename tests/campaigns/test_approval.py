"""A fingerprint says what a campaign means: all of it, and nothing of how it is written."""

import copy
import random
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from campaigns.approval import PARTS, differences, fingerprint
from campaigns.marked_yaml import read_yaml
from campaigns.offer import Offer
from campaigns.spec import Campaign, load_campaign

TEXT = """\
id: raya
name: Pesta Raya
schedule:
  occasion: lebaran
  time: "16:00"
  lead_days: 3
  phases:
    - {id: jelang, days: [-7, -5]}
    - {id: hari, time: "08:00", estimate: wait}
window_days: 20
purpose: promotion
audience: "tier = 'gold'"
control: {share: 0.15}
channels:
  email: {capacity: 450, message_cost: 50, placements: {hero: 1, grid: 2}, response: 0.9}
  push: {capacity: 200, placements: {push: 1}}
budgets: {retailer: 150000, sari-murni: 12000}
budget_confidence: 0.9
quota_confidence: 0.8
forecast_error: 0.1
limits:
  - {id: kota, offers: [kopi, teh], for_each: city, quota: {sent: 90}}
last_order:
  jne: {days: 5, provinces: {Papua: 14}}
fallback: teh
offers:
  - id: kopi
    benefit: {kind: percent_off, percent: 15, max_discount: 18000}
    scope: {categories: ["Dapur > Kopi", "Dapur > Teh"], brands: [Sari Murni]}
    min_spend: 60000
    funders: {retailer: 0.4, sari-murni: 0.6}
    quota: {redeemed: 160}
    minimum: {sent: 40}
    uplift: 0.35
    group: minuman
    priority: 2
    valid: {days: 3}
    phases: [jelang]
    per_customer: 1
    combinable: false
    payment_methods: [QRIS, Kartu Mitra]
    delivery: [jne, digital]
    eligibility: "age >= 18"
    code: {shared: NGOPI12}
    text: &text
      id: {title: Kopi hemat, body: Untuk pagi Anda., push: {title: Kopi}}
      en: {title: Coffee for less}
  - id: teh
    benefit: {kind: cashback, percent: 3}
    scope: {everything: true}
    uplift: 0.2
    per_unit: 0.5
    code: {pool: teh}
    text: *text
content:
  id: {subject: Halo, heading: Hai, intro: Pilihan pekan ini., push_title: Kopi, push_body: Teh, phases: {hari: {heading: Selamat}}}
  en: {subject: Hello, heading: Hi, intro: Our picks., push_title: Coffee, push_body: Tea}
"""  # noqa: E501
PLAIN = read_yaml(TEXT).value
CAMPAIGN = load_campaign(Path("raya.yaml"), TEXT)

words = st.text("abcdefgh ", min_size=1, max_size=20).map(lambda text: f"x{text.strip()}")
counts, shares = st.integers(1, 10**6), st.floats(0.01, 0.94)
# (part, path in the file, what may stand there): every key of a campaign and of an offer is here, see below
CHANGES = [
    ("audience", ("audience",), st.integers(0, 99).map("points > {}".format) | st.none()),
    ("audience", ("purpose",), st.sampled_from(["greeting", "service"])),
    ("audience", ("control", "share"), shares),
    ("limits", ("channels", "email", "capacity"), counts.map(lambda n: n + 1000)),
    ("limits", ("channels", "email", "message_cost"), counts),
    ("limits", ("channels", "email", "placements", "grid"), st.integers(3, 9)),
    ("limits", ("channels", "push", "response"), shares),
    ("limits", ("budget_confidence",), st.floats(0.5, 0.89)),
    ("limits", ("quota_confidence",), st.floats(0.5, 0.79)),
    ("limits", ("forecast_error",), shares),
    ("limits", ("limits", 0, "quota", "sent"), counts),
    ("limits", ("limits", 0, "for_each"), st.sampled_from(["province", "tier", None])),
    ("limits", ("limits", 0, "offers"), st.sampled_from([["kopi"], ["teh"], []])),
    ("limits", ("offers", 0, "quota", "redeemed"), counts),
    ("limits", ("offers", 0, "quota"), counts.map(lambda n: {"sent": n}) | st.none()),
    ("limits", ("offers", 0, "minimum", "sent"), counts),
    ("limits", ("offers", 1, "per_unit"), shares | st.none()),
    ("funders", ("budgets", "sari-murni"), counts),
    ("funders", ("budgets", "retailer"), counts),
    ("funders", ("offers", 0, "funders"), shares.map(lambda share: {"retailer": 1 - share, "sari-murni": share})),
    ("offers", ("fallback",), st.sampled_from(["kopi", None])),
    ("offers", ("offers", 0, "benefit", "percent"), st.floats(1, 14)),
    ("offers", ("offers", 0, "benefit", "max_discount"), counts | st.none()),
    ("offers", ("offers", 0, "benefit"), counts.map(lambda n: {"kind": "amount_off", "amount": n})),
    ("offers", ("offers", 0, "scope", "categories"), st.lists(words, min_size=1, max_size=3)),
    ("offers", ("offers", 0, "scope", "brands"), st.lists(words, min_size=1, max_size=3)),
    ("offers", ("offers", 0, "min_spend"), counts),
    ("offers", ("offers", 0, "uplift"), shares),
    ("offers", ("offers", 0, "group"), st.sampled_from(["lain", None])),
    ("offers", ("offers", 0, "priority"), st.integers(3, 99)),
    ("offers", ("offers", 0, "per_customer"), st.integers(2, 99) | st.none()),
    ("offers", ("offers", 0, "combinable"), st.sampled_from([True, None])),
    ("offers", ("offers", 0, "payment_methods"), st.sampled_from([["Kartu Mitra", "QRIS"], ["QRIS"], []])),
    ("offers", ("offers", 0, "delivery"), st.sampled_from([["jne"], ["pickup"], []])),
    ("offers", ("offers", 0, "eligibility"), st.integers(1, 99).map("points > {}".format) | st.none()),
    ("offers", ("offers", 0, "code", "shared"), counts.map("K{}".format)),
    ("schedule", ("schedule", "time"), st.integers(17, 23).map("{}:00".format)),
    ("schedule", ("schedule", "days"), st.integers(1, 99)),
    ("schedule", ("schedule", "lead_days"), st.integers(4, 60)),
    ("schedule", ("schedule", "occasion"), st.sampled_from(["ramadan", "nyepi", "harbolnas"])),
    ("schedule", ("schedule", "phases", 0, "days"), st.sampled_from([[-7], [-7, -4]])),
    ("schedule", ("schedule", "phases", 1, "time"), st.sampled_from(["09:00", None])),
    ("schedule", ("window_days",), st.integers(21, 300)),
    ("schedule", ("last_order", "jne", "days"), st.integers(6, 50)),
    ("schedule", ("last_order", "jne", "provinces", "Papua"), st.integers(15, 50)),
    ("schedule", ("offers", 0, "valid"), st.sampled_from([{"days": 4}, {"hours": 3}, None])),
    ("schedule", ("offers", 0, "phases"), st.sampled_from([["hari"], ["jelang", "hari"], []])),
    ("content", ("name",), words),
    ("content", ("content", "id", "subject"), words),
    ("content", ("content", "en", "intro"), words),
    ("content", ("content", "id", "phases", "hari", "heading"), words),
    ("content", ("content", "id", "reviewed_by"), words),
    ("content", ("offers", 0, "text", "id", "title"), words),
    ("content", ("offers", 0, "text", "id", "push", "title"), words),
    ("content", ("offers", 1, "text", "en", "body"), words),
]


def changed(path, value):
    """The campaign with another value there."""
    plain = copy.deepcopy(PLAIN)
    inner = plain
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return Campaign.model_validate(plain)


@pytest.mark.parametrize(("part", "path", "values"), CHANGES, ids=[".".join(map(str, path)) for _, path, _ in CHANGES])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_change_changes_the_hash_of_exactly_its_part_and_the_whole(part, path, values, data):
    other = changed(path, data.draw(values))
    assume(other != CAMPAIGN)
    before, after = fingerprint(CAMPAIGN), fingerprint(other)
    assert [name for name in PARTS if before.parts[name] != after.parts[name]] == [part]
    assert before.whole != after.whole
    assert differences(before.values, after.values)


def test_every_key_of_a_campaign_and_of_an_offer_is_among_the_changes():
    keys = {path[0] for _, path, _ in CHANGES}
    of_offers = {path[2] for _, path, _ in CHANGES if path[0] == "offers"}
    assert set(Campaign.model_fields) - {"id"} == keys
    assert set(Offer.model_fields) - {"id"} == of_offers


def shuffled(value, order):
    """The same YAML value with its mappings' keys in another order."""
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(entry, order) for entry in value] if isinstance(value, list) else value


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), flow=st.booleans())
def test_comments_the_order_of_keys_and_the_style_change_nothing(seed, flow):
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = flow, False
    out = StringIO()
    yaml.dump(shuffled(PLAIN, random.Random(seed)), out)
    rewritten = load_campaign(Path("raya.yaml"), f"# a comment of {seed}\n{out.getvalue()}\n# and its end\n")
    assert fingerprint(rewritten).whole == fingerprint(CAMPAIGN).whole


def test_defaults_that_are_written_out_change_nothing():
    written = Campaign.model_validate(CAMPAIGN.model_dump(mode="json"))
    assert fingerprint(written).whole == fingerprint(CAMPAIGN).whole


@pytest.mark.parametrize(
    ("path", "same"),
    [
        (("offers",), list(reversed(PLAIN["offers"]))),
        (("schedule", "phases"), list(reversed(PLAIN["schedule"]["phases"]))),
        (("offers", 0, "scope", "categories"), ["Dapur>Teh", "Dapur > Kopi", "Dapur > Kopi"]),
        (("limits", 0, "offers"), ["teh", "kopi"]),
        (("schedule", "phases", 0, "days"), [-5, -7]),
        (("offers", 0, "benefit", "percent"), 15.0),
    ],
    ids=str,
)
def test_an_order_that_says_nothing_changes_nothing(path, same):
    assert fingerprint(changed(path, same)).whole == fingerprint(CAMPAIGN).whole


def test_a_campaign_of_another_name_is_another_one():
    other = CAMPAIGN.model_copy(update={"id": "lain"})
    assert fingerprint(other).whole != fingerprint(CAMPAIGN).whole
    assert fingerprint(other).parts == fingerprint(CAMPAIGN).parts


@pytest.mark.parametrize("part", PARTS)
def test_what_binds_it_from_outside_its_file_counts_for_its_part(part):
    around = {part: {"besides": {"day": 2, "campaigns": ["b", "a"]}}}
    before, after = fingerprint(CAMPAIGN), fingerprint(CAMPAIGN, around)
    assert [name for name in PARTS if before.parts[name] != after.parts[name]] == [part]
    assert [str(one) for one in differences(before.values, after.values)] == [
        "besides.campaigns: a, b is new",
        "besides.day: 2 is new",
    ]


def test_differences_name_the_place_what_was_and_what_is():
    other = changed(("offers", 0, "quota", "redeemed"), 90)
    (found,) = differences(fingerprint(CAMPAIGN).values, fingerprint(other).values)
    assert str(found) == "offers[kopi].quota.redeemed: was 160, is 90"


def test_an_offer_that_is_gone_is_told_value_by_value():
    other = CAMPAIGN.model_copy(update={"offers": CAMPAIGN.offers[:1], "fallback": None})
    told = [str(one) for one in differences(fingerprint(CAMPAIGN).values, fingerprint(other).values)]
    assert "offers[teh].benefit.percent: was 3.0, is gone" in told
    assert not [line for line in told if "offers[kopi]" in line]


def test_a_key_with_a_dot_is_no_path():
    one = fingerprint(CAMPAIGN, {"limits": {"night": {"a.b": 1}}})
    other = fingerprint(CAMPAIGN, {"limits": {"night": {"a": {"b": 1}}}})
    assert one.whole != other.whole
