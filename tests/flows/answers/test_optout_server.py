"""The pages of unsubscribe links: only a POST with the right body acts, at once; nothing else does; nothing leaks."""

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from campaigns.ledger import Firing, change, claim, open_ledger, opted_out, plan
from campaigns.ledger.people import refusals
from campaigns.ledger.planning import RUNNING
from campaigns.optout import token
from campaigns.tables import CUSTOMERS
from flows import cli
from flows.answers import optout_server
from flows.answers.optout_page import HEADERS, STYLE, page
from flows.answers.optout_server import MOST_BYTES, chosen, optout_app, server_of
from flows.keys import drop, rotate, workspace_keys
from flows.settings import load_settings
from flows.workspace import Workspace, publish_catalog, write_parquet

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
ONE_CLICK = {"List-Unsubscribe": "One-Click"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PEOPLE = [
    {"customer_id": "budi", "name": "Budi Canary", "email": "budi@pelanggan.example", "language": "id"},
    {"customer_id": "ann", "name": "Ann Canary", "email": "ann@pelanggan.example", "language": "en"},
]


@pytest.fixture
def shop(tmp_path):
    place = Workspace(tmp_path)
    place.settings_file.write_text('shop = "Toko <b>Uji</b>"\n')
    write_parquet(place.tables / "customers/all.parquet", pa.Table.from_pylist(PEOPLE, schema=CUSTOMERS.schema))
    publish_catalog(place, {"customers": {"rows": 2, "files": [{"part": "all", "path": "customers/all.parquet"}]}})
    ledger = open_ledger(str(tmp_path / "ledger.db"), NOW)
    due, until = int(NOW.timestamp() * 1000), int((NOW + timedelta(days=1)).timestamp() * 1000)
    rows = [
        ("m-budi", "budi", "budi", "email", "pelanggan.example", due, until, '["kopi"]', "[]"),
        ("m-ann", "ann", "ann", "push", "", due, until, '["kopi"]', "[]"),
    ]
    plan(ledger, Firing("panen", "20261211t170000z", "run"), [], lambda _: [rows], NOW)
    yield Shop(place, ledger)
    ledger.close()


class Http:
    """Requests to the application without a network."""

    def __init__(self, app):
        self.app = app

    def request(self, method, path, **more):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://toko.example") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, **more):
        return self.request("POST", path, **more)


class Shop:
    def __init__(self, place, ledger):
        self.place, self.ledger, self.settings = place, ledger, load_settings(place)
        app = optout_app(place, self.settings, ledger, lambda: NOW)
        self.http = Http(app)

    def link(self, message_id="m-budi"):
        return f"/berhenti/{token(message_id, workspace_keys(self.place, self.settings).signing)}"

    @property
    def refused(self):
        return [(one.customer_id, one.channel) for one in refusals(self.ledger)]


def test_one_click_stops_the_message_s_channel_before_the_next_claim(shop):
    answer = shop.http.post(shop.link(), data=ONE_CLICK)
    assert answer.status_code == 200
    assert opted_out(shop.ledger, "email") == {"budi"}
    change(shop.ledger, "panen", "20261211t170000z", RUNNING, NOW)
    args = ("panen", "20261211t170000z", "email", "s", 9, NOW + timedelta(minutes=1), timedelta(minutes=5))
    assert claim(shop.ledger, *args) == []


@pytest.mark.parametrize(("choice", "channels"), [("channel", ["push"]), ("all", ["all"])])
def test_the_page_s_buttons_stop_the_channel_or_all(shop, choice, channels):
    assert shop.http.post(shop.link("m-ann"), data={"stop": choice}).status_code == 200
    assert shop.refused == [("ann", channel) for channel in channels]


def test_one_click_may_come_as_multipart(shop):
    parts = {"List-Unsubscribe": (None, "One-Click")}
    assert shop.http.post(shop.link(), files=parts).status_code == 200
    assert shop.refused == [("budi", "email")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
def test_no_other_method_changes_anything(shop, method):
    for _ in range(20):
        answer = shop.http.request(method, shop.link(), data=ONE_CLICK)
        assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
    assert shop.refused == []
    assert (answer.content == b"") == (method == "HEAD")


def test_a_repeat_is_answered_alike(shop):
    first, again = (shop.http.post(shop.link(), data=ONE_CLICK) for _ in range(2))
    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert shop.refused == [("budi", "email")]


@pytest.mark.parametrize(
    "body",
    [b"", b"List-Unsubscribe=One-Clic", b"stop=", b"stop=push", b"stop=all&stop=channel", b"\xff\xfe", b"a&" * 900,
     b"stop=all;List-Unsubscribe=Two-Click"],
)  # fmt: skip
def test_a_post_that_says_nothing_clear_changes_nothing(shop, body):
    assert shop.http.post(shop.link(), content=body, headers=FORM).status_code == 400
    assert shop.refused == []


def test_a_large_body_is_not_read(shop):
    body = b"List-Unsubscribe=One-Click&x=" + b"y" * MOST_BYTES
    assert shop.http.post(shop.link(), content=body, headers=FORM).status_code == 413
    assert shop.refused == []


def test_a_body_that_does_not_come_is_not_waited_for(shop, monkeypatch):
    monkeypatch.setattr(optout_server, "MOST_SECONDS", 0.01)

    async def never():
        yield b"List-Unsubscribe=One-Click"
        await asyncio.Event().wait()

    assert shop.http.post(shop.link(), content=never(), headers=FORM).status_code == 408
    assert shop.refused == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_forged_token_finds_a_page_that_tells_nothing_and_nothing_happens(shop, method):
    link = shop.link()
    wrong = [link[:-1], link + "A", link.replace("m-budi", "m-ann"), "/berhenti/m-budi", "/", "/berhenti/" + "a" * 5000]
    answers = [shop.http.request(method, path, data=ONE_CLICK) for path in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert shop.refused == []


def test_a_well_signed_token_of_a_message_nobody_knows_is_no_link(shop):
    assert shop.http.post(shop.link("m-entah"), data=ONE_CLICK).status_code == 404


def test_rotated_keys_hold_without_a_restart_and_a_dropped_one_no_more(shop):
    old = shop.link()
    (key_id, _), *_ = workspace_keys(shop.place, shop.settings).signing
    rotate(shop.place, shop.settings)
    assert shop.link() != old
    assert [shop.http.get(link).status_code for link in (old, shop.link())] == [200, 200]
    drop(shop.place, shop.settings, key_id)
    assert [shop.http.get(link).status_code for link in (old, shop.link())] == [404, 200]


def test_the_page_speaks_the_customer_s_language_and_holds_nothing_personal(shop):
    pages = {name: shop.http.get(shop.link(f"m-{name}")) for name in ("budi", "ann")}
    assert "Berhenti menerima promo lewat email" in pages["budi"].text
    assert "Stop promotions by notification" in pages["ann"].text
    assert pages["ann"].headers["content-language"] == "en"
    for name, answer in pages.items():
        assert not {"canary", name, "pelanggan.example", "m-budi"} & set(answer.text.lower().replace("<", " ").split())
        assert "Canary" not in answer.text
        assert "m-" + name not in answer.text


def test_every_answer_is_guarded_and_none_sets_a_cookie_or_leads_elsewhere(shop):
    answers = [
        shop.http.get(shop.link()), shop.http.get("/x"), shop.http.request("PUT", "/x"), shop.http.post(shop.link()),
        shop.http.post(shop.link(), data=ONE_CLICK),
    ]  # fmt: skip
    for answer in answers:
        assert {key: answer.headers.get(key) for key in HEADERS} == HEADERS
        assert "set-cookie" not in answer.headers
        assert "location" not in answer.headers
        assert not answer.is_redirect
        assert "<script" not in answer.text
        assert "http" not in answer.text.replace("http-equiv", "")
        assert "<b>Uji" not in answer.text


def test_the_log_holds_neither_token_nor_customer(shop, caplog):
    caplog.set_level(logging.INFO, "larisma.optout")
    link = shop.link()
    shop.http.post(link, data=ONE_CLICK)
    shop.http.get(link)
    shop.http.get("/berhenti/m-budi.palsu")
    said = [record.getMessage() for record in caplog.records if record.name == "larisma.optout"]
    assert said == ["POST 200 one-click", "GET 200 page", "GET 404 unknown"]


def test_a_ledger_that_cannot_be_reached_is_not_taken_for_done(shop, monkeypatch):
    def locked(*_):
        raise OperationalError("insert", {}, Exception("locked"))

    monkeypatch.setattr(optout_server, "opt_out", locked)
    answer = shop.http.post(shop.link(), data=ONE_CLICK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "belum tercatat" in answer.text


@pytest.mark.server
def test_over_a_real_socket_it_is_the_same_and_says_nothing_of_itself(shop):
    app = optout_app(shop.place, shop.settings, shop.ledger, lambda: NOW)
    server = server_of(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        head, long = client.head(shop.link()), client.get("/" + "a" * 20_000)
        assert (head.status_code, head.content, shop.refused) == (200, b"", [])
        assert long.status_code in (400, 404, 414)
        answer = client.post(shop.link(), data=ONE_CLICK)
    assert answer.status_code == 200
    assert "server" not in answer.headers
    assert shop.refused == [("budi", "email")]
    server.should_exit = True
    thread.join(10)


def test_an_opt_out_is_taken_back_on_the_customer_s_word(shop, capsys):
    shop.http.post(shop.link(), data={"stop": "all"})
    place = ["--workspace", str(shop.place.root)]
    assert cli.run(["opt-in", "budi", "--channel", "email", *place]) == 2
    assert "has not opted out of email" in capsys.readouterr().err
    assert cli.run(["opt-in", "budi", "--channel", "sms", *place]) == 2
    assert shop.refused == [("budi", "all")]
    assert cli.run(["opt-in", "budi", *place]) == 0
    assert shop.refused == []


@given(st.binary(max_size=200), st.sampled_from(["", "application/x-www-form-urlencoded", "multipart/form-data; x"]))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_stray_body_is_a_choice(body, kind):
    said = chosen(kind, body)
    assert said is None or b"One-Click" in body or b"stop=" in body


@pytest.mark.parametrize("kind", ["ask", "done", "all", "unknown", "unclear", "later"])
@pytest.mark.parametrize("language", ["id", "en"])
def test_every_page_is_whole(kind, language):
    text = page(kind, "Toko", language, "push")
    assert text.count("<h1>") == text.count("</html>") == 1
    assert "{" not in text.replace(STYLE, "")
    assert text.count("<button") == {"ask": 2, "done": 1}.get(kind, 0)
