"""After a customer is forgotten no byte of them is left, every sum is what it was, and they do not come back."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from campaigns import failpoints
from campaigns.ledger import Firing, address_hash, change, claim, open_ledger, opt_out, plan, suppressed
from campaigns.ledger.history import balances, sent_to
from campaigns.ledger.people import refusals
from campaigns.ledger.planning import RUNNING
from flows import cli
from flows.champion import load_champion
from flows.forgetting.forget import forget_customer
from flows.forgetting.register import forgotten_people
from flows.keys import workspace_keys
from flows.people import read_people
from flows.preview import preview_messages
from flows.recommend import publish_recommendations
from flows.workspace import Workspace, checksum, read_catalog, read_ingests, read_json, read_table
from recsys.tables import InputError

NAME, MAIL, TOKEN = "Kenari Tunggal", "Kenari.Tunggal@pelanggan.example", "TOKEN-KENARI-TUNGGAL"
CANARIES = (NAME, MAIL, TOKEN)
STEPS = ("entered", "ledger", "runs", "followed", "models", "files", "tables", "compacted")


@pytest.fixture(scope="module")
def planted(shop, tmp_path_factory):
    """A shop in which one addressed customer has a name and addresses like nobody else, in every store there is."""
    root = tmp_path_factory.mktemp("forget") / "shop"
    shutil.copytree(shop.workspace.root, root, symlinks=True)
    made = replace(shop, workspace=Workspace(root))
    customer = made.rows("messages", channel="email")[0]["customer_id"]
    people = pq.read_table(made.source("customers")).to_pylist()
    for row in people:
        if row["customer_id"] == customer:
            row |= {"name": NAME, "email": MAIL, "push_tokens": [TOKEN]}
    people.append(people[1] | {"customer_id": "akun-dua", "person_id": customer, "email": None, "push_tokens": None})
    refused = people[0] | {"customer_id": "z", "name": NAME, "email": MAIL, "timezone": "Mars/Utara"}
    schema = pq.read_schema(made.source("customers"))
    pq.write_table(pa.Table.from_pylist([*people, refused], schema=schema), made.source("customers"))
    made.ingest()
    made = made.decide()
    assert made.rows("messages", customer_id=customer, channel="email")
    publish_recommendations(made.workspace, load_champion(made.workspace), 3)
    for live in (True, False):
        fill_ledger(made, live)
    scatter(made, customer)
    return made, customer


def fill_ledger(shop, live):
    run, place = shop.run, shop.workspace.root
    at = shop.rows("messages")[0]["send_after"]
    (place / "rehearsals").mkdir(exist_ok=True)
    ledger = open_ledger(str(place / ("ledger.db" if live else "rehearsals/ledger.db")), at)
    due, until = int(at.timestamp() * 1000), int((at + timedelta(days=1)).timestamp() * 1000)
    rows = [
        (row["message_id"], row["customer_id"], row["customer_id"], row["channel"], "x.example", due, until, "[]", "[]")
        for row in shop.rows("messages")
    ]
    plan(ledger, Firing("panen", shop.manifest["occurrence"], checksum(run / "manifest.json"), live=live), [],
         lambda _: [rows], at)  # fmt: skip
    change(ledger, "panen", shop.manifest["occurrence"], RUNNING, at)
    ledger.close()


def scatter(shop, customer):
    """Files as exports, rehearsals, previews and logs leave them."""
    root = shop.workspace.root
    (message,) = shop.rows("messages", customer_id=customer)
    preview_messages(shop.workspace, shop.settings, "panen", customer, root / "previews")
    out = root / "rehearsals" / "panen" / "email" / message["message_id"][:2]
    out.mkdir(parents=True)
    (out / f"{message['message_id']}.eml").write_text(f"To: {NAME} <{MAIL}>\n\nHalo {NAME}")
    (out / "lain.eml").write_text("To: lain@pelanggan.example\n\nHalo")
    export = root / "exports" / "panen"
    export.mkdir(parents=True)
    rows = [
        {"message_id": row["message_id"], "customer_id": row["customer_id"], "address": address, "name": name,
         "subject": row["subject"], "offers": 2}
        for row, address, name in ((message, MAIL, NAME), (shop.rows("messages")[-1], "lain@x.example", "Lain"))
    ]  # fmt: skip
    (export / "pesan.csv").write_text("\n".join([",".join(rows[0]), *(",".join(map(str, r.values())) for r in rows)]))
    (export / "pesan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), export / "pesan.parquet")
    files = [{"path": path.name, "sha256": checksum(path)} for path in sorted(export.iterdir())]
    (export / "manifest.json").write_text(json.dumps({"files": files}))
    shutil.copy(export / "pesan.parquet", export / ".pesan.parquet.999999999")  # of an export that was killed
    versions = shop.run.resolve().parent
    shutil.copytree(shop.run, versions / ".20171208t020000z.999999999")  # of a run that was killed
    (root / "kirim.log").write_text(f"mulai\ngagal: {MAIL.upper()}\nselesai\n")


@pytest.fixture
def shop_of(planted, tmp_path):
    made, customer = planted
    root = tmp_path / "shop"
    shutil.copytree(made.workspace.root, root, symlinks=True)
    return replace(made, workspace=Workspace(root)), customer


def forget(shop, customer):
    place = shop.workspace
    paths = [place.root / "ledger.db", place.rehearsals / "ledger.db"]
    ledgers = [open_ledger(str(path), shop.clock) for path in paths]
    try:
        keys = workspace_keys(place, shop.settings)
        return forget_customer(place, shop.settings, ledgers, keys, customer, shop.clock)
    finally:
        for ledger in ledgers:
            ledger.close()


def found_in(shop):
    """Files outside of the shop's own sources that hold a canary, in their bytes or in their decompressed values."""
    found = set()
    for path in shop.workspace.root.rglob("*"):
        if not path.is_file() or "sources" in path.parts:
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pydict()).encode()
        if any(one.lower().encode() in content.lower() for one in CANARIES):
            found.add(str(path.relative_to(shop.workspace.root)))
    return found


def sums(shop):
    decisions = pq.read_table(shop.run / "decisions.parquet")
    costs = sum(cost["amount"] for row in decisions["costs"].to_pylist() for cost in row)
    purchases = read_table(shop.workspace, "purchases")
    rows = {path.name: pq.read_metadata(path).num_rows for path in shop.run.glob("*.parquet")}
    return rows, pc.sum(decisions["value"]).as_py(), costs, pc.sum(purchases["amount"]).as_py(), purchases.num_rows


def test_the_canaries_are_everywhere_before(planted):
    found = found_in(planted[0])
    assert {path.partition("/")[0] for path in found} >= {
        "tables", "runs", "quarantine", "previews", "rehearsals", "exports", "kirim.log"
    }  # fmt: skip


def test_no_byte_is_left_and_every_sum_is_what_it_was(shop_of):
    shop, customer = shop_of
    before = sums(shop)
    result = forget(shop, customer)
    assert found_in(shop) == set()
    assert not list(shop.workspace.root.rglob("*.999999999"))
    assert sums(shop) == before
    assert result["tables"]["customers"] == 1
    assert "sources/customers.parquet" in result["still_in"]
    assert result["other_accounts"] == ["akun-dua"]
    (other,) = read_table(shop.workspace, "customers", where=pc.field("customer_id") == "akun-dua").to_pylist()
    assert other["person_id"] == result["pseudonym"]
    assert not any(one in json.dumps(result) for one in CANARIES)


def test_the_run_s_manifest_states_what_was_rewritten_and_still_holds_its_files(shop_of):
    shop, customer = shop_of
    old = {path.name: checksum(path) for path in shop.run.glob("*.parquet")}
    before = checksum(shop.run / "manifest.json")
    result = forget(shop, customer)
    manifest = read_json(shop.run / "manifest.json")
    (entry,) = manifest["forgotten"]
    assert (entry["pseudonym"], entry["manifest_was"]) == (result["pseudonym"], before)
    assert {"messages.parquet", "decisions.parquet"} <= set(entry["files"])
    for name, one in entry["files"].items():
        assert one["is"] == checksum(shop.run / name)
        assert one["was"] == old.get(name, one["was"])
        assert one["was"] != one["is"]
    for name, digest in manifest["files"].items():
        assert checksum(shop.run / name) == digest
    untouched = old.keys() - entry["files"].keys()
    assert all(checksum(shop.run / name) == old[name] for name in untouched)


def test_the_person_goes_on_as_a_pseudonym_and_others_as_they_were(shop_of):
    shop, customer = shop_of
    before = {name: shop.rows(name) for name in ("decisions", "messages", "considered", "left_out")}
    name = forget(shop, customer)["pseudonym"]
    for table, rows in before.items():
        after = shop.rows(table)
        assert len(after) == len(rows)
        for old, new in zip(rows, after, strict=True):
            if old.get("customer_id") != customer:
                assert old == new
            else:
                assert new["customer_id"] == name
                kept = {"message_id", "offer_id", "value", "costs", "propensity", "send_after"} & old.keys()
                assert {key: new[key] for key in kept} == {key: old[key] for key in kept}
    (tombstone,) = shop.rows("messages", customer_id=name)
    assert (tombstone["subject"], tombstone["body_html"], tombstone["body_text"]) == ("", None, "")
    people = read_table(shop.workspace, "customers")["customer_id"].to_pylist()
    assert customer not in people
    assert name not in people
    assert name in read_table(shop.workspace, "purchases")["customer_id"].to_pylist()


def test_the_tables_catalog_is_true_of_the_new_files(shop_of):
    shop, customer = shop_of
    before = read_catalog(shop.workspace)
    forget(shop, customer)
    for name, entry in read_catalog(shop.workspace).items():
        assert sum(file["rows"] for file in entry["files"]) == entry["rows"]
        assert entry["rows"] == before[name]["rows"] - (name == "customers")
        for file in entry["files"]:
            assert checksum(shop.workspace.tables / file["path"]) == file["sha256"]
    for entry in read_ingests(shop.workspace).values():
        if entry["file"]:
            assert checksum(shop.workspace.quarantine / entry["file"]["path"]) == entry["file"]["sha256"]
            assert pq.read_metadata(shop.workspace.quarantine / entry["file"]["path"]).num_rows == entry["file"]["rows"]


def test_the_ledgers_keep_their_rows_under_the_pseudonym_and_send_nothing(shop_of):
    shop, customer = shop_of
    name = forget(shop, customer)["pseudonym"]
    for path in ("ledger.db", "rehearsals/ledger.db"):
        ledger = open_ledger(str(shop.workspace.root / path), shop.clock)
        (row,) = sent_to(ledger, name)
        assert (row["person_id"], row["domain"]) == (name, "")
        assert sent_to(ledger, customer) == []
        assert [(one.channel, one.source) for one in refusals(ledger, name)] == [("all", "forgotten")]
        at = row["changed_at"] + timedelta(hours=1)
        occurrence = shop.manifest["occurrence"]
        claims = claim(ledger, "panen", occurrence, "email", "s", 999, at, timedelta(minutes=5))
        assert claims
        assert name not in {one.customer_id for one in claims}
        assert all(balance.drift == 0 for balance in balances(ledger))
        key = workspace_keys(shop.workspace, shop.settings).addresses
        assert suppressed(ledger, [address_hash(MAIL, key)], "email") == {address_hash(MAIL, key): "forgotten"}
        assert suppressed(ledger, [address_hash(TOKEN, key)], "push") == {address_hash(TOKEN, key): "forgotten"}
        ledger.close()


def test_a_delivery_goes_on_from_the_run_as_it_is_now(shop_of):
    shop, customer = shop_of
    forget(shop, customer)
    ledger = open_ledger(str(shop.workspace.root / "ledger.db"), shop.clock)
    digest = checksum(shop.run / "manifest.json")
    firing = Firing("panen", shop.manifest["occurrence"], digest, live=True)
    assert plan(ledger, firing, [], lambda _: [], shop.clock) is False
    ledger.close()


def test_the_model_serves_and_recommends_as_before(shop_of):
    shop, customer = shop_of
    old = load_champion(shop.workspace)
    result = forget(shop, customer)
    new = load_champion(shop.workspace)
    assert result["models"] == [new.id]
    assert new.serving.matrix.customers.to_pylist() == [
        result["pseudonym"] if name == customer else name for name in old.serving.matrix.customers.to_pylist()
    ]
    assert (new.serving.matrix.matrix != old.serving.matrix.matrix).nnz == 0
    rows = pq.read_table(shop.workspace.recommendations(new.id) / "recommendations.parquet")["customer_id"].to_pylist()
    assert result["pseudonym"] in rows
    assert customer not in rows
    assert not shop.workspace.recommendations(old.id).exists()


def test_rows_of_exports_stay_and_their_manifest_follows(shop_of):
    shop, customer = shop_of
    name = forget(shop, customer)["pseudonym"]
    export = shop.workspace.root / "exports" / "panen"
    rows = [json.loads(line) for line in (export / "pesan.jsonl").read_text().splitlines()]
    assert (rows[0]["customer_id"], rows[0]["address"], rows[0]["offers"]) == (name, None, 2)
    assert rows[1]["address"] == "lain@x.example"
    assert len((export / "pesan.csv").read_text().splitlines()) == 3
    assert name in (export / "pesan.csv").read_text()
    manifest = read_json(export / "manifest.json")
    assert {file["path"]: file["sha256"] for file in manifest["files"]} == {
        path: checksum(export / path) for path in ("pesan.csv", "pesan.jsonl", "pesan.parquet")
    }
    assert len(manifest["forgotten"]) == 3
    assert (shop.workspace.root / "kirim.log").read_text() == "mulai\n[forgotten]\nselesai\n"
    assert list((shop.workspace.root / "rehearsals/panen/email").rglob("lain.eml"))


def test_twice_is_like_once(shop_of):
    shop, customer = shop_of
    forget(shop, customer)
    before = {
        path: checksum(path) for path in shop.workspace.root.rglob("*") if path.is_file() and ".db" not in path.name
    }
    again = forget(shop, customer)
    after = {
        path: checksum(path) for path in shop.workspace.root.rglob("*") if path.is_file() and ".db" not in path.name
    }
    assert after == before
    assert (again["runs"], again["models"], again["files"], again["tables"], again["messages"]) == ([], [], [], {}, 0)


def checksums(shop):
    """Of every file but the ledgers, in which it stands when they were opened."""
    files = (path for path in shop.workspace.root.rglob("*") if path.is_file() and ".db" not in path.name)
    return {path: checksum(path) for path in files}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_it_is_completed_by_doing_it_again(shop_of, step):
    shop, customer = shop_of

    def kill():
        raise Killed

    before = sums(shop)
    failpoints.arm(f"forget.{step}", kill)
    try:
        with pytest.raises(Killed):
            forget(shop, customer)
    finally:
        failpoints.disarm()
    result = forget(shop, customer)
    assert found_in(shop) == set()
    assert sums(shop) == before
    assert [one["state"] for one in forgotten_people(shop.workspace)] == ["done"]
    assert result["pseudonym"] in read_table(shop.workspace, "purchases")["customer_id"].to_pylist()
    manifest = read_json(shop.run / "manifest.json")
    assert len(manifest["forgotten"]) == 1
    ledger = open_ledger(str(shop.workspace.root / "ledger.db"), shop.clock)
    firing = Firing("panen", shop.manifest["occurrence"], checksum(shop.run / "manifest.json"), live=True)
    assert plan(ledger, firing, [], lambda _: [], shop.clock) is False
    ledger.close()


def test_who_comes_in_again_is_dropped_and_not_quarantined(shop_of):
    shop, customer = shop_of
    forget(shop, customer)
    people = pq.read_table(shop.source("customers")).to_pylist()
    again = next(row for row in people if row["customer_id"] == customer)
    others = [again | {"customer_id": "baru"}, again | {"customer_id": "lain", "email": None}]
    table = pa.Table.from_pylist([*people, *others], schema=pq.read_schema(shop.source("customers")))
    pq.write_table(table, shop.source("customers"))
    summary = shop.ingest()
    assert summary["customers"]["left_out"] == 4, "by the id, by the address, by the token, and one that is refused"
    assert summary["purchases"]["left_out"] > 0
    assert found_in(shop) == set()
    known = read_table(shop.workspace, "customers")["customer_id"].to_pylist()
    assert not {customer, "baru", "lain"} & set(known)
    assert customer not in read_table(shop.workspace, "purchases")["customer_id"].to_pylist()


def test_nothing_is_decided_for_them_any_more(shop_of):
    shop, customer = shop_of
    name = forget(shop, customer)["pseudonym"]
    anew = shop.decide()
    assert not {customer, name} & {row["customer_id"] for row in anew.rows("decisions")}
    assert read_people  # the audience is read from tables that know neither


def test_a_stranger_is_said_to_be_one_and_nothing_is_entered(shop_of):
    shop, _ = shop_of
    with pytest.raises(InputError, match="nothing is known of them"):
        forget(shop, "entah")
    assert forgotten_people(shop.workspace) == []


def test_what_they_refused_before_is_kept_under_the_pseudonym(shop_of):
    shop, customer = shop_of
    ledger = open_ledger(str(shop.workspace.root / "ledger.db"), shop.clock)
    opt_out(ledger, customer, "email", "link", shop.as_of)
    ledger.close()
    name = forget(shop, customer)["pseudonym"]
    ledger = open_ledger(str(shop.workspace.root / "ledger.db"), shop.clock)
    assert [(one.channel, one.at == shop.as_of) for one in refusals(ledger, name)] == [("all", False), ("email", True)]
    ledger.close()


def test_from_the_command_line(shop_of, capsys):
    shop, customer = shop_of
    command = ["forget", customer, "--workspace", str(shop.workspace.root), "--json"]
    assert cli.run(command) == 0
    said = capsys.readouterr().out
    assert json.loads(said)["pseudonym"].startswith("forgotten-")
    assert not any(one in said for one in CANARIES)
    assert found_in(shop) == set()
