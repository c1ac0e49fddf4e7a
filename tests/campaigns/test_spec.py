from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.spec import CampaignError, json_schema, load_campaign
from recsys.tables import InputError

FILE = Path("harbolnas.yaml")
TEXT = """\
id: harbolnas
name: Harbolnas 12.12
schedule: {occasion: harbolnas, days: 0, time: "00:00", lead_days: 7}
window_days: 20
audience: "tier is not null"
control: {share: 0.10}
channels:
  email: {capacity: 1500, message_cost: 50, placements: {hero: 1, grid: 2}, response: 1.0}
  push: {capacity: 600, message_cost: 10, placements: {push: 1}, response: 0.6}
budgets: {retailer: 50000000, sari-murni: 20000000}
offers:
  - id: kopi-20
    benefit: {kind: percent_off, percent: 20, max_discount: 30000}
    scope: {categories: ["Grocery > Coffee"]}
    min_spend: 50000
    funders: {retailer: 0.5, sari-murni: 0.5}
    quota: {redeemed: 200}
    uplift: 0.30
    group: minuman
    priority: 0
    eligibility: "tier in ('gold','silver')"
    text: {id: {title: Kopi, body: Hemat}, en: {title: Coffee, body: Save}}
fallback: kopi-20
content:
  id: {subject: Halo, heading: Halo, intro: Halo, push_title: Halo, push_body: Halo}
  en: {subject: Hi, heading: Hi, intro: Hi, push_title: Hi, push_body: Hi}
"""


def faults(text: str | bytes, file: Path = FILE) -> list[str]:
    with pytest.raises(CampaignError) as raised:
        load_campaign(file, text)
    return str(raised.value).splitlines()


def edited(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_reads_a_campaign() -> None:
    campaign = load_campaign(FILE, TEXT)
    assert campaign.schedule.lead_days == 7
    assert campaign.channels["email"].positions == 3
    assert campaign.budgets["sari-murni"] == 20_000_000
    offer = campaign.offer("kopi-20")
    assert offer.benefit.kind == "percent_off"
    assert (offer.quota.kind, offer.quota.limit) == ("redeemed", 200)
    assert offer.eligibility == "tier IN ('gold', 'silver')"


def test_reads_a_file_and_takes_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "harbolnas.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert load_campaign(path) == load_campaign(FILE, TEXT)


def test_a_campaign_cannot_be_changed() -> None:
    campaign = load_campaign(FILE, TEXT)
    with pytest.raises(ValueError, match="frozen"):
        campaign.name = "other"


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lebaran\.yaml: not readable: No such file"):
        load_campaign(tmp_path / "lebaran.yaml")


def test_what_is_left_out_has_a_default() -> None:
    text = edited('audience: "tier is not null"\n', "").replace("    group: minuman\n    priority: 0\n", "")
    text = text.replace("    funders: {retailer: 0.5, sari-murni: 0.5}\n    quota: {redeemed: 200}\n", "")
    campaign = load_campaign(FILE, text.replace("fallback: kopi-20\n", "").replace("control: {share: 0.10}\n", ""))
    offer = campaign.offers[0]
    assert (campaign.audience, campaign.fallback, campaign.control.share) == (None, None, 0.10)
    assert (offer.quota, offer.group, offer.priority, dict(offer.funders)) == (None, None, 0, {"retailer": 1.0})


@pytest.mark.parametrize(
    "benefit",
    [
        "{kind: percent_off, percent: 12.5}",
        "{kind: amount_off, amount: 20000}",
        "{kind: cashback, percent: 10, max_discount: 25000}",
        "{kind: free_shipping, amount: 15000}",
        "{kind: points_multiplier, factor: 2, point_rate: 0.01, breakage: 0.2}",
        "{kind: installment_0, months: 6, fee_percent: 3.5}",
    ],
)
def test_takes_every_kind_of_benefit(benefit: str) -> None:
    campaign = load_campaign(FILE, edited("{kind: percent_off, percent: 20, max_discount: 30000}", benefit))
    assert campaign.offers[0].benefit.kind in benefit


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("id: harbolnas\n", "id: harbolnass\n", "1: id: expected 'harbolnas', as the file is named, got 'harbolnass'"),
        ("id: harbolnas\n", "", "1: id: is missing (The same as the file's name without .yaml)"),
        ("id: harbolnas\n", "id: Harbolnas!\n", "1: id: expected small letters, digits, - and _, at most 64"),
        ("name: Harbolnas 12.12", "name:", "2: name: expected some text, got nothing"),
        ("name: Harbolnas 12.12", "name: 12.12", "2: name: expected some text, got 12.12"),
        ("occasion: harbolnas", "occasion: lebarann", "got 'lebarann'; did you mean 'lebaran'?"),
        ("days: 0", "days: 0.5", "3: schedule.days: expected a number of days, -180 to 180, got 0.5"),
        ('time: "00:00"', "time: 24:00", "3: schedule.time: expected a time of day, as \"07:30\", got '24:00'"),
        ("days: 0", "timezone: Asia/Jakata", "3: schedule.timezone: expected an IANA time zone, as Asia/Jakarta, got"),
        ("days: 0", "weekday: monday", "3: schedule: weekday belongs to occasion always or winback, not to harbolnas"),
        ("window_days: 20", "window_days: 0", "4: window_days: expected a number of days, 1 to 366, got 0"),
        ("window_days: 20", "windowdays: 20", "4: windowdays: unknown key; did you mean 'window_days'?"),
        ("window_days: 20", "xyz: 20", "4: xyz: unknown key; expected one of id, name, schedule"),
        ("tier is not null", "teir is not null", "5: audience: position 1: no column 'teir'; did you mean 'tier'?"),
        ("tier is not null", "tier > 3", "5: audience: does not fit the columns"),
        ("share: 0.10", "share: 1", "6: control.share: expected a share from 0 to less than 1, got 1"),
        ("share: 0.10", "share: .nan", "6: control.share: expected a share from 0 to less than 1, got nan"),
        ("  push: {", "  pish: {", "9: channels.pish: expected one of email, push, got 'pish'; did you mean 'push'?"),
        ("capacity: 1500", "capacity: yes", "8: channels.email.capacity: expected a whole number of 1 or more, got"),
        ("capacity: 1500", "capacity: true", "8: channels.email.capacity: expected a whole number of 1 or more"),
        ("{hero: 1, grid: 2}", "{}", "8: channels.email.placements: expected one entry at least, got an empty mapping"),
        ("hero: 1", "hreo: 1", "8: channels.email.placements.hreo: email has no such placement; expected hero or grid"),
        ("push: 1}", "push: 2}", "9: channels.push.placements.push: a push holds one offer, got 2"),
        ("retailer: 50000000", "retailer: -5", "10: budgets.retailer: expected a positive amount in rupiah"),
        ("retailer: 50000000", "retailer: 5e7", "10: budgets.retailer: expected a positive amount in rupiah"),
        ("sari-murni: 20000000", "sari-muri: 1", "16: offers[kopi-20].funders.sari-murni: "
         "funder 'sari-murni' has no budget; did you mean 'sari-muri'?"),
        ("kind: percent_off", "kind: percent_of", "13: offers[kopi-20].benefit.kind: expected one of amount_off"),
        ("kind: percent_off, ", "", "13: offers[kopi-20].benefit.kind: is missing; expected one of amount_off"),
        ("percent: 20", "percent: 120", "13: offers[kopi-20].benefit.percent: expected a percentage above 0, to 100"),
        ("percent: 20", "percnt: 20", "13: offers[kopi-20].benefit.percnt: unknown key; did you mean 'percent'?"),
        ('{categories: ["Grocery > Coffee"]}', "{}", "14: offers[kopi-20].scope: names no item; give categories"),
        ('{categories: ["Grocery > Coffee"]}', "{categories: Coffee}", "14: offers[kopi-20].scope.categories: "),
        ("scope: {", "scope: {everything: true, ", "14: offers[kopi-20].scope: everything: true stands beside lists"),
        ("min_spend: 50000", "min_spend: -1", "15: offers[kopi-20].min_spend: expected an amount in rupiah of 0"),
        ("{retailer: 0.5,", "{retailer: 0.6,", "16: offers[kopi-20].funders: the shares add up to 1.1, expected 1"),
        ("{redeemed: 200}", "{redeemed: 200, sent: 9}", "17: offers[kopi-20].quota: expected either redeemed or sent"),
        ("{redeemed: 200}", "{}", "17: offers[kopi-20].quota: expected either redeemed or sent"),
        ("{redeemed: 200}", "200", "17: offers[kopi-20].quota: expected `key: value` lines, got 200"),
        ("uplift: 0.30", "uplift: -0.1", "18: offers[kopi-20].uplift: expected a relative uplift from 0 to 10"),
        ("    uplift: 0.30\n", "", "12: offers[kopi-20].uplift: is missing (By how much"),
        ("tier in (", "tier like any(", "21: offers[kopi-20].eligibility: position 11: 'any' is not allowed"),
        ("text: {id: {title: Kopi, body: Hemat}, ", "text: {", "22: offers[kopi-20].text: the words in Indonesian"),
        (", en: {title: Coffee, body: Save}", "", "22: offers[kopi-20].text: content speaks 'en', the offer does not"),
        ("title: Kopi", 'title: "Kopi {{ 1"', "22: offers[kopi-20].text.id.title: not a valid template: "),
        ("fallback: kopi-20", "fallback: kopi-21", "23: fallback: no offer is named 'kopi-21'; did you mean"),
        ("  id: {subject", "  in: {subject", "24: content: the words in Indonesian (id) are missing"),
        ("subject: Halo, ", "", "25: content.id.subject: is missing; a campaign by email needs it"),
        (", push_body: Hi", "", "26: content.en.push_body: is missing; a campaign by push needs it"),
    ],
)  # fmt: skip
def test_names_the_line_path_value_and_remedy_of_a_fault(old: str, new: str, fault: str) -> None:
    found = faults(edited(old, new))
    assert any(line.startswith("harbolnas.yaml:") and fault in line for line in found), found
    assert len(found) <= 2, found


def test_reports_all_faults_at_once_in_the_order_of_lines() -> None:
    text = edited("window_days: 20", "window_days: -1")
    for old, new in (("share: 0.10", "share: 2"), ("percent: 20", "percent: 0"), ("uplift: 0.30", "uplift: lots")):
        text = text.replace(old, new)
    text = text.replace("fallback: kopi-20", "fallback: kopi-20\nfallback: kopi-20")
    found = faults(text)
    assert [line.split(":")[1] for line in found] == ["4", "6", "13", "18", "24"]


def test_two_offers_of_one_id_are_a_fault_of_the_second() -> None:
    offers = TEXT[TEXT.index("  - id: kopi-20") : TEXT.index("fallback:")]
    assert faults(TEXT.replace(offers, offers + offers)) == [
        "harbolnas.yaml:23: offers[kopi-20].id: another offer is named 'kopi-20' already; give each its own id"
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "harbolnas.yaml:1: the file is empty"),
        ("# nothing yet\n", "harbolnas.yaml:1: the file is empty"),
        ("- id: a\n", "harbolnas.yaml:1: expected `key: value` lines, got a list"),
        ("harbolnas", "harbolnas.yaml:1: expected `key: value` lines, got plain text"),
        (TEXT.replace("  email:", "\temail:"), "harbolnas.yaml:8: a tab stands where YAML wants spaces"),
        (TEXT.encode().replace(b"Halo", b"Hal\xff", 1), "harbolnas.yaml:25: byte 0xff is not UTF-8"),
        (TEXT.encode("utf-16"), "harbolnas.yaml:1: byte 0xff is not UTF-8"),
        ("id: a\nname: b\x00\n", "harbolnas.yaml:2: a character that YAML does not allow"),
        ("id: a\nname: Promo: hemat\n", "harbolnas.yaml:2: not valid YAML: a colon too many"),
        ("id: [a\nname: b\n", "harbolnas.yaml:2: not valid YAML"),
        ("id: !!python/name:os.system\n", "harbolnas.yaml:1: not valid YAML: could not determine a constructor"),
        ("id: *a\n", "harbolnas.yaml:1: not valid YAML: found undefined alias"),
        ("id: a\n---\nid: b\n", "harbolnas.yaml:2: a second document begins here"),
        ("x" * 300_000, "harbolnas.yaml:1: 300000 bytes; expected a campaign of 262144 at most"),
        ("[" * 2_000, "harbolnas.yaml:1: nested too deeply"),
        ("{[a]: 1}", "harbolnas.yaml:1: "),
    ],
)
def test_a_text_that_is_no_mapping_is_one_line(content: str | bytes, fault: str) -> None:
    assert faults(content)[0].startswith(fault)


def test_no_is_a_word_and_not_false() -> None:
    assert load_campaign(FILE, edited("name: Harbolnas 12.12", "name: NO")).name == "NO"


def test_the_schema_describes_every_key_that_is_not_self_evident() -> None:
    schema = json_schema()
    assert schema["properties"]["window_days"]["description"]
    offer = schema["$defs"]["Offer"]["properties"]
    assert all(offer[key]["description"] for key in ("min_spend", "funders", "quota", "uplift", "group", "eligibility"))
    assert set(schema["required"]) == {
        "id",
        "name",
        "schedule",
        "window_days",
        "channels",
        "offers",
        "content",
    }


@settings(deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_refused_with_lines_and_never_crashes(content: str | bytes) -> None:
    assert all(line.startswith("harbolnas.yaml:") for line in faults(content))


@settings(deadline=None)
@given(st.data())
def test_any_single_value_in_place_of_another_is_read_or_refused(data: st.DataObject) -> None:
    lines = TEXT.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    key, colon, _ = lines[number].partition(": ")
    value = data.draw(st.sampled_from(["", "1", "-1", "x", "[]", "{}", "[1, {a: b}]", "{x: {y: 1}}", "yes", ".inf"]))
    lines[number] = f"{key}{colon or ': '}{value}"
    try:
        load_campaign(FILE, "\n".join(lines))
    except CampaignError:
        assert all(line.startswith("harbolnas.yaml:") for line in faults("\n".join(lines)))
