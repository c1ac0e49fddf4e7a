"""Lists of events: columns and words are recognised; a bad line is refused by itself."""

import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.feedback.event import BOUNCED, KINDS, SOFT, Returned, UnreadableError
from campaigns.feedback.listed import LONGEST_LINE, columns_of, read_events

WIB = ZoneInfo("Asia/Jakarta")
MESSAGE = "0123456789abcdef0123456789abcdef"


def read(text):
    return [told for _, _, told in read_events(io.StringIO(text), WIB)]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("event,message_id,timestamp", f"Bounce,{MESSAGE},1797008700"),
        ("Event Type;Message-ID;Event Time", f"hard_bounce;<{MESSAGE}@panen.toko.example>;2026-12-11T17:05:00+00:00"),
        ('"type"\t"custom_args.message_id"\t"ts"', f'"bounced"\t"{MESSAGE}"\t"1797008700123"'),
        ("\ufeffkind|messageId|date", f"Permanent Fail|{MESSAGE}|2026-12-12 00:05:00"),
    ],
)
def test_columns_and_words_are_known_by_many_names(header, line):
    (event,) = read(f"{header}\n{line}\n")
    assert (event.kind, event.message_ids) == (BOUNCED, (MESSAGE,))
    assert event.at.replace(microsecond=0) == datetime(2026, 12, 11, 17, 5, tzinfo=UTC)


def test_an_address_or_a_customer_will_do():
    listed = read("event,email,customer_id,campaign_id\nopen,BUDI@Pelanggan.example,,\nclicked,,c7,panen\n")
    assert listed == [
        Returned("opened", addresses=("budi@pelanggan.example",)),
        Returned("clicked", customer_id="c7", campaign_id="panen"),
    ]


@pytest.mark.parametrize(
    ("type_", "status", "kind"),
    [("", "", BOUNCED), ("Permanent", "5.1.1", BOUNCED), ("Transient", "", SOFT), ("", "4.2.2", SOFT),
     ("blocked", "", SOFT), ("", "550 5.7.1 refused", SOFT), ("hard", "550", BOUNCED)],
)  # fmt: skip
def test_a_bounce_is_soft_where_its_type_or_status_says_so(type_, status, kind):
    (event,) = read(f"event,email,bounce_type,status\nbounce,a@b.example,{type_},{status}\n")
    assert event.kind == kind


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("meledak,a@b.example,", "not known"), ("open,bukan alamat,", "neither a message"), ("open", "neither"),
        ("open,a@b.example,kemarin", "a time that is none"), ("open,a@b.example,-1", "a time that is none"),
        ("open,a@b.example,9999999999999999999", "a time that is none"), ('"open,a@b.example,', "not closed"),
        ("open," + "x" * LONGEST_LINE, "too long"), ("," * 900, "no row"), ("open,a@b.example\0,1\0", "time"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_by_itself(line, reason):
    first, bad, last = read(f"event,email,at\nopen,x@b.example,\n{line}\nclick,y@b.example,\n")
    assert (first.addresses, last.addresses) == (("x@b.example",), ("y@b.example",))
    assert reason in bad
    assert "@" not in bad


def test_a_quoted_cell_may_hold_line_ends_and_lines_keep_their_numbers():
    text = 'event,email,reason\nopen,a@b.example,"satu\ndua"\nclick,c@d.example,\nmeledak,e@f.example,\n'
    told = list(read_events(io.StringIO(text), WIB))
    assert [(number, isinstance(one, Returned)) for number, _, one in told] == [(2, True), (4, True), (5, False)]


def test_what_is_of_no_use_is_left_out_and_empty_lines_are_nothing():
    assert read("event,email\nprocessed,a@b.example\n\n   \n") == [None]


@pytest.mark.parametrize("header", ["", "a,b", "event", "email,name", "event," * 600, "event,reason"])
def test_a_list_without_the_needed_columns_is_refused(header):
    assert columns_of(header) is None
    with pytest.raises(UnreadableError):
        read(header + "\nopen,x\n")


@given(st.text(max_size=400))
def test_random_lines_name_nobody_who_is_not_in_them(text):
    for number, line, told in read_events(io.StringIO("event,email,at\n" + text), WIB):
        assert number >= 2
        if isinstance(told, Returned):
            assert told.kind in KINDS
            assert all(one in line.lower() for one in told.addresses)
