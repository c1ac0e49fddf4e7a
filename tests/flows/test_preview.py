"""What a customer is sent can be seen as it goes, and so can that of people who differ most."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from campaigns.optout import unsigned_url
from campaigns.tables import CUSTOMERS, DECISIONS, MESSAGES
from flows.delivering.parcels import as_sent
from flows.keys import workspace_keys
from flows.preview import differing, preview_messages, preview_samples
from flows.reporting.preview import in_light
from recsys.tables import InputError, conform

AT = datetime(2017, 12, 8, tzinfo=UTC)


def going(shop, message):
    return as_sent(message, workspace_keys(shop.workspace, shop.settings), shop.settings.optout_url)


def test_a_preview_is_the_message_as_it_goes_byte_for_byte(copied, tmp_path):
    mail = copied.rows("messages", channel="email")[0]
    wrote = preview_messages(
        copied.workspace, copied.settings, "panen", mail["customer_id"], tmp_path / "new" / "folder"
    )
    assert [path.rpartition(".")[2] for path in wrote] == ["html", "txt"]
    sent, name = going(copied, mail), f"panen-{mail['customer_id']}-email"
    for ending, text in ((".html", sent["body_html"]), (".txt", sent["body_text"])):
        written = (tmp_path / "new" / "folder" / f"{name}{ending}").read_text(encoding="utf-8")
        assert written == text
        assert f"{unsigned_url(copied.settings.optout_url, mail['message_id'])}." in written


def test_a_push_is_previewed_as_its_payload(copied, tmp_path):
    push = copied.rows("messages", channel="push")[0]
    wrote = preview_messages(copied.workspace, copied.settings, "panen", push["customer_id"], tmp_path)
    payload = tmp_path / f"panen-{push['customer_id']}-push.json"
    assert str(payload) in wrote
    assert json.loads(payload.read_text(encoding="utf-8")) == json.loads(going(copied, push)["payload"])


def test_a_preview_of_somebody_who_is_sent_nothing_says_where_the_reason_is(copied, tmp_path):
    ghost = copied.rows("decisions", arm="control")[0]["customer_id"]
    with pytest.raises(InputError, match=rf"{ghost}': panen sends them nothing; larisma explain panen {ghost}"):
        preview_messages(copied.workspace, copied.settings, "panen", ghost, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_id_with_slashes_stays_within_the_folder(copied, tmp_path):
    """Ids are the retailer's own."""
    for name in ("customers", "purchases", "consents", "service_cases", "silences"):
        table = pq.read_table(copied.source(name))
        ids = pc.replace_substring(table["customer_id"], "c0000", "../../../c/")
        place = table.column_names.index("customer_id")
        pq.write_table(table.set_column(place, table.field("customer_id"), ids), copied.source(name))
    for name in ("tables", "models", "runs"):
        (copied.workspace.root / name).rename(copied.workspace.root / f"{name}-before")
    copied.ingest()
    copied.train()
    run = copied.decide()
    customer = run.rows("messages", channel="email")[0]["customer_id"]
    assert "/" in customer
    assert run.manifest["counts"]["messages"] > 40
    assert {path.parent for path in run.run.rglob("*.html")} == {run.run, run.run / "mails"}
    wrote = preview_messages(copied.workspace, copied.settings, "panen", customer, tmp_path / "out")
    assert set((tmp_path / "out").iterdir()) == {Path(path) for path in wrote}


# --- people who differ most ------------------------------------------------------------------------------------------


class Frames(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.mails, self.tags = [], set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "iframe":
            self.mails.append(dict(attrs))


@pytest.mark.parametrize("language", ["id", "en"])
def test_samples_are_shown_on_one_page_in_the_light_and_in_the_dark(copied, tmp_path, language):
    found = preview_samples(copied.workspace, copied.settings, "panen", 8, tmp_path / "out", language)
    page = Path(found["wrote"][0]).read_text(encoding="utf-8")
    frames, people = Frames(page), [person["customer_id"] for person in found["people"]]
    assert len(set(people)) == 8
    mails = [row for who in people for row in copied.rows("messages", customer_id=who, channel="email")]
    assert [frame["srcdoc"] for frame in frames.mails] == [
        in_light(going(copied, mail)["body_html"], dark=dark) for mail in mails for dark in (False, True)
    ]
    assert all(frame["sandbox"] == "" for frame in frames.mails)
    assert "script" not in frames.tags
    assert {path.name for path in (tmp_path / "out").iterdir()} == {Path(path).name for path in found["wrote"]}


def test_a_sample_s_page_is_the_same_each_time(copied, tmp_path):
    first, again = (
        preview_samples(copied.workspace, copied.settings, "panen", 5, tmp_path / name, "id") for name in ("a", "b")
    )
    assert first["people"] == again["people"]
    assert Path(first["wrote"][0]).read_bytes() == Path(again["wrote"][0]).read_bytes()


@pytest.mark.parametrize("count", [0, -1, 201])
def test_a_sample_is_of_one_to_two_hundred_people(copied, tmp_path, count):
    with pytest.raises(InputError, match="--sample: expected 1 to 200 people"):
        preview_samples(copied.workspace, copied.settings, "panen", count, tmp_path, "id")


def crowd():
    """Forty people: alike but for one of each kind that a sample must have."""
    people = {f"c{k:02}": {"name": "Budi Santoso", "tier": "silver", "language": "id", "offers": 1} for k in range(40)}
    people["c31"] |= {"name": "X" * 60}
    people["c32"] |= {"name": None}
    people["c33"] |= {"language": "en"}
    people["c34"] |= {"language": "su"}
    people["c35"] |= {"tier": "gold"}
    people["c36"] |= {"offers": 3}
    people["c37"] |= {"cost": 90_000}
    people["c38"] |= {"cost": 1}
    people["c39"] |= {"joined_at": AT}
    customers = [
        {"customer_id": who, "name": one["name"], "tier": one["tier"], "timezone": "Asia/Jakarta",
         "joined_at": one.get("joined_at", AT - timedelta(days=400))}
        for who, one in people.items()
    ]  # fmt: skip
    messages = [
        {"message_id": who, "campaign_id": "p", "occurrence": "o", "customer_id": who, "channel": "email",
         "language": one["language"], "subject": "s", "body_html": "h", "body_text": "t", "send_after": AT,
         "send_before": AT}
        for who, one in people.items()
    ]  # fmt: skip
    decisions = [
        {"campaign_id": "p", "occurrence": "o", "customer_id": who, "arm": "treatment", "bucket": 1, "channel": "email",
         "placement": "hero" if not k else "grid", "position": k + 1, "offer_id": "kopi", "item_ids": ["i"],
         "propensity": 0.1, "value": 1, "costs": [{"funder": "retailer", "amount": one.get("cost", 100)}],
         "reason": "popular"}
        for who, one in people.items() for k in range(one["offers"])
    ]  # fmt: skip
    tables = ((MESSAGES, messages), (DECISIONS, decisions), (CUSTOMERS, customers))
    return [conform(pa.Table.from_pylist(rows, schema=table.schema), table) for table, rows in tables]


def test_who_differs_most_is_picked_whatever_the_order_of_rows():
    tables = crowd()
    picks = differing(*tables, 12)
    assert {"c31", "c32", "c33", "c34", "c35", "c36", "c37", "c38", "c39"} <= {pick.customer_id for pick in picks}
    why = {pick.customer_id: pick.why for pick in picks}
    assert (why["c31"], why["c39"], why["c37"]) == (("longest_name",), ("newest",), ("dearest",))
    assert "language=su" in why["c34"]
    assert len(picks) == 12
    turned = [table.take(pa.array(range(table.num_rows - 1, -1, -1))) for table in tables]
    assert differing(*turned, 12) == picks


@pytest.mark.parametrize(("count", "picked"), [(1, 1), (3, 3), (40, 40), (99, 40)])
def test_a_sample_is_as_large_as_asked_for_where_there_are_so_many(count, picked):
    assert len({pick.customer_id for pick in differing(*crowd(), count)}) == picked


def test_a_mail_is_forced_into_the_light_or_the_dark():
    html = (
        '<meta name="color-scheme" content="light dark" /><style>@media (prefers-color-scheme: dark) { a {} }</style>'
    )
    assert in_light(html, dark=True) == '<meta name="color-scheme" content="dark" /><style>@media all { a {} }</style>'
    assert in_light(html, dark=False).endswith('content="light" /><style>@media not all { a {} }</style>')
