"""`larisma approve`, `campaign terms` and `campaign agree`: what they show, write and refuse."""

import json
import shutil

import pytest

from flows.cli import run


def call(capsys, *words):
    """(exit code, standard output on one line, standard error)"""
    capsys.readouterr()
    code = run([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), err


@pytest.fixture
def toko(copied):
    """The shop's folder, where offers wait for their funders."""
    path = copied.workspace.settings_file
    path.write_text(path.read_text(encoding="utf-8").replace('"assumed"', '"required"'), encoding="utf-8")
    return copied.workspace.root


def test_approving_shows_what_it_is_what_is_missing_and_records_the_name(toko, capsys):
    code, out, _ = call(capsys, "approve", "panen", "--by", "Rina Hapsari", "--workspace", toko)
    assert code == 0
    assert "panen: Pesta Panen" in out
    assert "sari-murni Rp12.000" in out
    assert "sari-murni has not agreed to its terms; until it does, nobody gets kopi" in out
    assert "Nobody has approved it yet." in out
    assert "approved by Rina Hapsari: " in out
    (entry,) = json.loads((toko / "approvals" / "panen.json").read_text(encoding="utf-8"))["history"]
    assert (entry["event"], entry["by"]) == ("approved", "Rina Hapsari")


def test_approving_again_shows_the_difference_since(toko, capsys):
    call(capsys, "approve", "panen", "--by", "Rina", "--workspace", toko)
    path = toko / "campaigns" / "panen.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("capacity: 45", "capacity: 54"), encoding="utf-8")
    code, out, _ = call(capsys, "approve", "panen", "--by", "Budi", "--workspace", toko)
    assert code == 0
    assert "It was approved by Rina" in out
    assert "channels.email.capacity: was 45, is 54" in out


def test_the_next_step_is_to_decide_or_to_send_where_that_is_done(toko, capsys):
    words = ("approve", "panen", "--by", "Rina", "--workspace", toko)
    assert f"next: larisma decide panen --workspace {toko}" in call(capsys, *words)[1]
    *_, latest = sorted((toko / "runs" / "panen").glob("*/manifest.json"))
    manifest = json.loads(latest.read_text(encoding="utf-8"))
    manifest["campaign"]["fingerprint"] = json.loads(call(capsys, *words, "--json")[1])["hash"]
    to_come = shutil.copytree(latest.parent, toko / "runs" / "panen" / "29991212t020000z")
    (to_come / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert f"next: larisma deliver panen --live --workspace {toko}" in call(capsys, *words)[1]


def test_json_is_what_was_approved_and_nothing_else(toko, capsys):
    code, out, _ = call(capsys, "approve", "panen", "--by", "Rina", "--json", "--workspace", toko)
    found = json.loads(out)
    assert code == 0
    assert (found["by"], found["state"], len(found["hash"]), found["changes"]) == ("Rina", "never", 64, [])
    assert found["audience"]["funnel"][0] == ["customers", 150]
    assert sorted(found["parts"]) == ["audience", "content", "funders", "limits", "offers", "schedule"]


@pytest.mark.parametrize("words", [("approve", "panen"), ("campaign", "agree", "panen", "--funder", "sari-murni")])
def test_without_a_name_nothing_is_recorded(toko, capsys, words):
    assert call(capsys, *words, "--workspace", toko)[0] == 2
    code, _, err = call(capsys, *words, "--by", " ", "--workspace", toko)
    assert code == 2
    assert "--by: expected the name of who decides" in err
    assert not list(toko.glob("a*ments/**/*.json"))
    assert not list(toko.glob("approvals/*.json"))


def test_an_approval_is_withdrawn_by_name(toko, capsys):
    assert call(capsys, "approve", "panen", "--by", "Rina", "--withdraw", "--workspace", toko)[0] == 2
    call(capsys, "approve", "panen", "--by", "Rina", "--workspace", toko)
    code, out, _ = call(capsys, "approve", "panen", "--by", "Sari", "--withdraw", "--workspace", toko)
    assert code == 0
    assert "panen is approved no more: Sari" in out


def test_the_list_says_how_each_campaign_stands(toko, capsys):
    def standing():
        return json.loads(call(capsys, "campaign", "list", "--json", "--workspace", toko)[1])[0]["approval"]

    assert standing()["state"] == "never"
    call(capsys, "approve", "panen", "--by", "Rina", "--workspace", toko)
    assert (standing()["state"], standing()["last"]["by"]) == ("approved", "Rina")
    path = toko / "campaigns" / "panen.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("capacity: 45", "capacity: 54"), encoding="utf-8")
    assert (standing()["state"], standing()["changes"]) == ("changed", ["channels.email.capacity: was 45, is 54"])


def test_checking_warns_of_funders_and_goes_on(toko, capsys):
    code, out, _ = call(capsys, "campaign", "check", "panen", "--as-of", "2017-12-05", "--workspace", toko)
    assert code == 0
    assert "warning: panen.yaml: sari-murni has not agreed" in out
    call(capsys, "campaign", "agree", "panen", "--funder", "sari-murni", "--by", "Dewi", "--workspace", toko)
    code, out, _ = call(capsys, "campaign", "check", "panen", "--as-of", "2017-12-05", "--workspace", toko)
    assert "warning" not in out


def test_checking_warns_of_javanese_that_no_speaker_has_read(toko, capsys):
    path = toko / "campaigns" / "panen.yaml"
    text = path.read_text(encoding="utf-8").replace("  en: *words", "  en: *words\n  jv: *words")
    path.write_text(text.replace("      en: {title:", "      jv: {title: Sae}\n      en: {title:"), encoding="utf-8")
    words = ("campaign", "check", "panen", "--as-of", "2017-12-05", "--workspace", toko)
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "content.jv.reviewed_by: nobody is named" in out


def test_the_terms_are_written_and_their_hash_is_what_is_agreed_to(toko, capsys, tmp_path):
    words = ("panen", "--funder", "sari-murni", "--json", "--workspace", toko)
    code, out, _ = call(capsys, "campaign", "terms", *words, "--out", tmp_path / "kirim", "--as-of", "2017-12-05")
    terms = json.loads(out)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "kirim").iterdir()) == [
        "panen-sari-murni.csv",
        "panen-sari-murni.html",
    ]
    code, out, _ = call(capsys, "campaign", "agree", *words, "--by", "Dewi")
    assert json.loads(out)["hash"] == terms["hash"]


def test_agreeing_again_shows_what_has_changed(toko, capsys):
    words = ("campaign", "agree", "panen", "--funder", "sari-murni", "--by", "Dewi", "--workspace", toko)
    call(capsys, *words)
    path = toko / "campaigns" / "panen.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("percent: 4,", "percent: 5,"), encoding="utf-8")
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "offers[kopi].benefit.percent: was 4.0, is 5.0" in out
    assert call(capsys, *words, "--withdraw")[0] == 0


def test_a_faulty_campaign_file_keeps_nobody_from_withdrawing(toko, capsys):
    call(capsys, "approve", "panen", "--by", "Rina", "--workspace", toko)
    (toko / "campaigns" / "panen.yaml").write_text("id: panen\n", encoding="utf-8")
    assert call(capsys, "approve", "panen", "--by", "Rina", "--workspace", toko)[0] == 2
    assert call(capsys, "approve", "panen", "--by", "Rina", "--withdraw", "--workspace", toko)[0] == 0


@pytest.mark.parametrize("funder", ["../panen", "Sari Murni", ""])
def test_a_name_that_is_no_funders_reads_no_file(toko, capsys, funder):
    words = ("campaign", "agree", "panen", "--funder", funder, "--by", "Dewi", "--withdraw", "--workspace", toko)
    code, _, err = call(capsys, *words)
    assert code == 2
    assert "--funder: expected a funder as campaign files name them" in err


@pytest.mark.parametrize("verb", ["terms", "agree"])
def test_a_funder_that_pays_nothing_is_refused_by_name(toko, capsys, verb):
    more = ("--by", "Dewi") if verb == "agree" else ()
    code, _, err = call(capsys, "campaign", verb, "panen", "--funder", "sari", *more, "--workspace", toko)
    assert code == 2
    assert "'sari' pays for no offer of it" in err
