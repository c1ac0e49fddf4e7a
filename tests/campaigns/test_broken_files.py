"""Files as marketers break them: each fault is named with line, place, value and what to do; all of a file at once."""

from pathlib import Path

import pyarrow as pa
import pytest

from campaigns.checking import check_file
from campaigns.policy import load_policy
from recsys.tables import ITEMS

FILE = Path("lebaran.yaml")
TEXT = """\
id: lebaran
name: Sambut Lebaran
schedule:
  occasion: lebaran
  time: "10:00"
  phases:
    - {id: thr, days: -7}
    - {id: hari-raya, time: "08:00", estimate: wait}
window_days: 14
audience: "tier = 'gold' and age >= 18"
control: {share: 0.1}
channels:
  email: {capacity: 100, message_cost: 50, placements: {hero: 1, grid: 2}}
  push: {capacity: 50, placements: {push: 1}}
budgets:
  retailer: 1000000
  mitra: 500000
last_order:
  reguler: {days: 7, provinces: {Papua: 14}}
offers:
  - id: kopi
    benefit: {kind: percent_off, percent: 10, max_discount: 20000}
    scope: {categories: [Dapur > Kopi], merchants: [m-01]}
    funders: {retailer: 0.5, mitra: 0.5}
    quota: {redeemed: 40}
    per_customer: 2
    payment_methods: [QRIS]
    delivery: [reguler]
    valid: {days: 3}
    uplift: 0.3
    phases: [thr]
    text:
      id: {title: Kopi untuk tamu, push: {title: Kopi hemat}}
      en: {title: Coffee for guests}
  - id: pulsa
    benefit: {kind: cashback, percent: 5}
    scope: {brands: [Sari]}
    quota: {sent: 30}
    delivery: [digital]
    uplift: 0.2
    phases: [thr]
    text:
      id: {title: Pulsa}
      en: {title: Credit}
content:
  id:
    subject: "{{ offer.title }}"
    heading: Halo
    intro: Untuk Anda
    push_title: Halo
    push_body: "{{ offer.benefit }}"
    phases:
      hari-raya: {subject: Selamat, push_title: Selamat, push_body: Mohon maaf}
  en:
    subject: "{{ offer.title }}"
    heading: Hi
    intro: For you
    push_title: Hi
    push_body: "{{ offer.benefit }}"
    phases:
      hari-raya: {subject: Eid, push_title: Eid, push_body: Eid}
"""
SHOP = pa.Table.from_pylist(
    [
        {"item_id": f"i{n}", "category": category, "brand": brand, "merchant_id": merchant}
        for n, (category, brand, merchant) in enumerate(
            [("Dapur > Kopi", "Sari", "m-01")] * 3
            + [("Dapur > Teh", "Murni", "m-02")] * 2
            + [("Rumah > Sabun", None, None)]
        )
    ],
    schema=ITEMS.schema,
)


def faults(text: str) -> list[str]:
    return check_file(FILE, SHOP, load_policy(), text)[1]


def test_the_file_itself_has_no_fault() -> None:
    assert faults(TEXT) == []


BROKEN = [
    # what the file is
    ("id: lebaran", "id: lebarann", "1: id: expected 'lebaran', as the file is named, got 'lebarann'"),
    ("name: Sambut Lebaran", "nama: Sambut Lebaran", "2: nama: unknown key; did you mean 'name'?"),
    ("name: Sambut Lebaran", "name: Promo: Lebaran", "2: not valid YAML: a colon too many"),
    ("name: Sambut Lebaran", "name: @lebaran", "2: not valid YAML: text that begins with"),
    ("name: Sambut Lebaran", "name: *lebaran", "2: not valid YAML"),
    ("window_days: 14", "window_days: empat belas", "9: window_days: expected a number of days, 1 to 366, got 'empat"),
    ("window_days: 14", "window_days: 14\nwindow_days: 7", "10: window_days: the key stands here a second time"),
    ("window_days: 14", "\twindow_days: 14", "9: a tab stands where YAML wants spaces"),
    # when
    ("occasion: lebaran", "occasion: idul-fitri", "4: schedule.occasion: expected one of harbolnas, double_day, rama"),
    ("occasion: lebaran", "occasion: date\n  date: 2026-02-30", "5: schedule.date: expected a date that exists, as "
     "2026-12-12, got '2026-02-30'"),
    ("occasion: lebaran", "occasion: date\n  date: 31/12/2026", "5: schedule.date: expected a date that exists"),
    ("occasion: lebaran", "occasion: date", "3: schedule: occasion date needs its day; add date: 2026-12-12"),
    ("occasion: lebaran", "occasion: lebaran\n  month: 9", "3: schedule: month belongs to occasion double_day, not to "
     "lebaran; remove it"),
    ("occasion: lebaran", "occasion: lebaran\n  leap_day: march", "3: schedule: leap_day belongs to occasion birthday"),
    ("occasion: lebaran", "occasion: double_day\n  month: 13", "5: schedule.month: expected a month, 1 to 12, got 13"),
    ("occasion: lebaran", "occasion: payday\n  day: 32", "5: schedule.day: expected a day of the month, 1 to 31"),
    ("occasion: lebaran", "occasion: lebaran\n  days: -400", "5: schedule.days: expected a number of days, -180 to 1"),
    ("occasion: lebaran", "occasion: lebaran\n  local: true\n  timezone: Asia/Jayapura", "3: schedule: timezone stands "
     "beside local: true"),
    ("occasion: lebaran", "occasion: lebaran\n  estimate: maybe", "5: schedule.estimate: expected one of wait, both,"),
    ('time: "10:00"', 'time: "25:00"', '5: schedule.time: expected a time of day, as "07:30", got \'25:00\''),
    ('time: "10:00"', "time: 10.00", '5: schedule.time: expected a time of day, as "07:30", got 10.0'),
    ("{id: thr, days: -7}", "{id: thr, days: seminggu}", "7: schedule.phases[thr].days"),
    ("{id: thr, days: -7}", "{id: thr, days: [-7, 200]}", "7: schedule.phases[thr].days[1]: expected a number of days"),
    ("{id: thr, days: -7}", "{id: hari-raya, days: -7}", "3: schedule: two phases are named 'hari-raya'"),
    ("{id: thr, days: -7}", "{id: thr, hari: -7}", "7: schedule.phases[thr].hari: unknown key; expected one of id"),
    # who
    ("tier = 'gold'", "tir = 'gold'", "10: audience: position 1: no column 'tir'; did you mean 'tier'?"),
    ("tier = 'gold'", "tier = gold", "10: audience: position 8: no column 'gold'"),
    ("tier = 'gold'", "tier = 'gold", "10: audience: not a predicate"),
    ("age >= 18", "age >= '18 tahun'", "10: audience: does not fit the columns"),
    ("share: 0.1", "share: 10%", "11: control.share: expected a share from 0 to less than 1, got '10%'"),
    # channels and money
    ("  push: {", "  sms: {", "14: channels.sms: expected one of email, push, got 'sms'"),
    ("capacity: 100", "capacity: seratus", "13: channels.email.capacity: expected a whole number of 1 or more"),
    ("hero: 1, grid: 2", "hero: 1, banner: 2", "13: channels.email.placements.banner: email has no such placement"),
    ("retailer: 1000000", "retailer: Rp1.000.000", "16: budgets.retailer: expected a positive amount in rupiah, as 5"),
    ("retailer: 1000000", "retailer: -1", "16: budgets.retailer: expected a positive amount in rupiah, as 50000, got"),
    ("  mitra: 500000\n", "", "23: offers[kopi].funders.mitra: funder 'mitra' has no budget; add budgets.mitra"),
    ("budgets:\n  retailer: 1000000\n  mitra: 500000\n", "", "1: budgets: is missing; say what each funder spends"),
    # couriers
    ("Papua: 14", "Papoa: 14", "19: last_order.reguler.provinces.Papoa: no such province; did you mean 'Papua'?"),
    ("days: 7, provinces", "days: -7, provinces", "19: last_order.reguler.days: expected a number of days before the"),
    ("delivery: [reguler]", "delivery: [regular]", "28: offers[kopi].delivery[0]: no courier is named 'regular'; did"),
    ("delivery: [digital]", "delivery: [jne]", "39: offers[pulsa].delivery[0]: no courier is named 'jne'; expected"),
    # offers
    ("  - id: pulsa", "  - id: kopi", "35: offers[kopi].id: another offer is named 'kopi' already"),
    ("kind: percent_off", "kind: diskon", "22: offers[kopi].benefit.kind: expected one of amount_off, cashback"),
    ("percent: 10", "percent: 0", "22: offers[kopi].benefit.percent: expected a percentage above 0, to 100, got 0"),
    ("percent: 10", "percent: 10%", "22: offers[kopi].benefit.percent: expected a percentage above 0, to 100, got '1"),
    ("max_discount: 20000", "max_diskon: 20000", "22: offers[kopi].benefit.max_diskon: unknown key; did you mean 'ma"),
    ("Dapur > Kopi]", "Dapur > Kopo]", "23: offers[kopi].scope.categories[0]: no item has the category 'Dapur > Kopo"),
    ("Dapur > Kopi]", "Elektronik]", "23: offers[kopi].scope.categories[0]: no item has the category 'Elektronik'; the "
     "largest of 5 are 'Dapur'"),
    ("merchants: [m-01]", "merchants: [m-09]", "23: offers[kopi].scope.merchants[0]: no item has the merchant 'm-09'"),
    ("brands: [Sari]", "brands: [Sarii]", "37: offers[pulsa].scope.brands[0]: no item has the brand 'Sarii'; did you"),
    ("scope: {brands: [Sari]}", "scope: {}", "37: offers[pulsa].scope: names no item; give categories"),
    ("scope: {brands: [Sari]}", "scope: {green: true}", "37: offers[pulsa].scope.green: no item is marked green; map"),
    ("scope: {brands: [Sari]}", "scope: {brands: [Sari]}\n    per_unit: 3", "38: offers[pulsa].per_unit: no item has"),
    ("retailer: 0.5, mitra: 0.5", "retailer: 0.5, mitra: 0.4", "24: offers[kopi].funders: the shares add up to 0.9"),
    ("quota: {redeemed: 40}", "quota: {redeemed: 40, sent: 9}", "25: offers[kopi].quota: expected either redeemed or"),
    ("quota: {redeemed: 40}", "quota: {redeemed: 1}", "26: offers[kopi].per_customer: 2 is more than the whole quota"),
    ("quota: {sent: 30}", "quota: {sent: 300}", "38: offers[pulsa].quota.sent: 300 is more than the channels can car"),
    ("quota: {redeemed: 40}", "quota: {redeemed: 40}\n    per_unit: 2", "26: offers[kopi].per_unit: stands beside a "),
    ("valid: {days: 3}", "valid: {days: 3, hours: 2}", "29: offers[kopi].valid: expected either hours or days"),
    ("valid: {days: 3}", "valid: {hours: 200}", "29: offers[kopi].valid.hours: expected a number of hours, 1 to 72"),
    ("uplift: 0.3", "uplift: 30%", "30: offers[kopi].uplift: expected a relative uplift from 0 to 10"),
    ("phases: [thr]\n    text:\n      id: {title: Kopi", "phases: [thrr]\n    text:\n      id: {title: Kopi", "31: "
     "offers[kopi].phases[0]: the schedule has no phase 'thrr'; did you mean 'thr'?"),
    # words
    ("title: Kopi untuk tamu", "title: Kopi, teh dan gula", "33: offers[kopi].text.id.teh dan gula: stands alone, wi"),
    ("title: Kopi untuk tamu", "title: [Kopi] untuk tamu", "33: not valid YAML"),
    ("title: Kopi untuk tamu", "title: Kopi {hemat", "33: not valid YAML"),
    ("title: Kopi untuk tamu", 'title: "Kopi {{ offer.titel }}"', "33: offers[kopi].text.id.title: unknown field off"),
    ("title: Kopi hemat", 'title: "{{ ofer.benefit }}"', "33: offers[kopi].text.id.push.title: unknown field ofer; d"),
    ("      en: {title: Coffee for guests}\n", "", "32: offers[kopi].text: content speaks 'en', the offer does not"),
    ("      id: {title: Pulsa}\n", "", "42: offers[pulsa].text: the words in Indonesian (id) are missing"),
    ("    heading: Halo\n", "", "46: content.id.heading: is missing; a campaign by email needs it"),
    ('    push_title: Hi\n', "", "54: content.en.push_title: is missing; a campaign by push needs it"),
    ("intro: Untuk Anda", 'intro: "Untuk {{ customer.nama }}"', "49: content.id.intro: unknown field customer.nama"),
    ("intro: Untuk Anda", 'intro: "Untuk {{ customer.name"', "49: content.id.intro: not a valid template"),
    ("intro: Untuk Anda", 'intro: "{{ customer.name | shout }}"', "49: content.id.intro: unknown filter shout"),
    ("push_body: Mohon maaf", 'push_body: "{{ offer.title }}"', "53: content.id.phases.hari-raya.push_body: unknown "),
    ("hari-raya: {subject: Selamat", "hariraya: {subject: Selamat", "53: content.id.phases.hariraya: the schedule ha"),
]  # fmt: skip


def test_there_are_sixty_at_least_and_no_two_alike() -> None:
    assert len({(old, new) for old, new, _ in BROKEN}) == len(BROKEN) >= 60


@pytest.mark.parametrize(("old", "new", "fault"), BROKEN, ids=[f"{n}" for n in range(len(BROKEN))])
def test_a_broken_file_is_told_by_line_place_value_and_remedy(old: str, new: str, fault: str) -> None:
    assert old in TEXT
    found = faults(TEXT.replace(old, new, 1))
    assert any(line.startswith(f"lebaran.yaml:{fault}") for line in found), found
    assert len(found) <= 4, found


def test_all_faults_of_a_file_come_at_once_in_the_order_of_lines() -> None:
    text, wanted = TEXT, dict[str, str]()
    for old, new, fault in BROKEN:
        line = fault.partition(":")[0]
        apart = line in ("9", "11", "16", "23", "28", "49", "53") and line not in wanted
        if apart and "\n" not in old + new and text.count(old) == 1:
            text, wanted[line] = text.replace(old, new), fault
    found = faults(text)
    assert len(wanted) == 7
    for fault in wanted.values():
        assert any(line.startswith(f"lebaran.yaml:{fault.partition(': expected')[0]}") for line in found), (
            fault,
            found,
        )
    numbers = [int(line.split(":")[1]) for line in found]
    assert numbers == sorted(numbers)
