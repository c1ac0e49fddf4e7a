"""Of every customer of a run it is said why they got what they got."""

import pytest

from campaigns.words import rupiah
from flows.explain import explain_decision
from recsys.tables import InputError


def explained(shop, customer, language="id"):
    return explain_decision(shop.workspace, shop.settings, "panen", customer, language)


def first(shop, table, **only):
    return shop.rows(table, **only)[0]["customer_id"]


@pytest.mark.parametrize(
    ("language", "starts", "date", "chosen"),
    [
        ("id", "Pelanggan {} mendapat “", "dikirim 8 Desember 2017", "dipilih"),
        ("en", "Customer {} gets “", "sent on 8 December 2017", "chosen"),
    ],
)
def test_an_addressed_customer_is_told_the_offers_the_day_and_the_value(shop, language, starts, date, chosen):
    customer = first(shop, "messages", channel="email")
    given = shop.rows("decisions", customer_id=customer)
    found = explained(shop, customer, language)
    assert found["text"].startswith(starts.format(customer))
    assert date in found["text"]
    if language == "id":
        assert rupiah(sum(row["value"] for row in given)) in found["text"]
    assert {row["offer_id"] for row in found["offers"] if row["reason"] == chosen} == {row["offer_id"] for row in given}
    assert len(found["header"]) == len(found["offers"][0])


def test_offers_come_with_their_worth_best_first_and_every_loser_has_a_reason_in_words(shop):
    considered = shop.rows("considered")
    for customer in {row["customer_id"] for row in considered}:
        found = explained(shop, customer)["offers"]
        values = [row["value"] for row in found if row["value"] is not None]  # None: not eligible, so not worked out
        assert values == sorted(values, reverse=True)
        assert len(values) == sum(row["customer_id"] == customer for row in considered)
        assert all(row["reason"] and row["title"] for row in found)
        assert not any(row["reason"].startswith(("beaten by", "budget of", "quota of")) for row in found)


def test_what_an_offer_shows_is_told_with_the_reason_and_the_purchases_behind_it(shop):
    reasons, behind = set(), 0
    for customer in sorted({row["customer_id"] for row in shop.rows("decisions")})[:25]:
        given = {row["offer_id"]: row for row in shop.rows("decisions", customer_id=customer)}
        for row in explained(shop, customer, "en")["items"]:
            decided = given[row["offer_id"]]
            assert len(row["items"]) == len(decided["item_ids"])
            shares = [driver["contribution"] for driver in row["because"]]
            assert shares == sorted(shares, reverse=True)
            assert all(driver["title"] != "Barang 2" for driver in row["because"])  # an intimate item
            if decided["reason"].startswith("repeat:"):
                assert row["reason"].startswith("you buy this about every ")
                assert row["because"]
            if decided["reason"].startswith("because:"):
                assert row["reason"] == f"because you bought {row['because'][0]['title']}"
            reasons.add(decided["reason"].partition(":")[0])
            behind += bool(row["because"])
    assert behind
    assert "repeat" in reasons


def test_a_control_is_told_of_the_ghost_and_that_nothing_is_sent(shop):
    ghost = first(shop, "decisions", arm="control")
    text = explained(shop, ghost)["text"]
    assert text.startswith(f"Pelanggan {ghost} ada di kelompok kontrol, jadi tidak dikirimi apa pun; tanpa itu ia akan")
    assert (
        "is in the control group and is sent nothing; otherwise it would have been “"
        in (explained(shop, ghost, "en")["text"])
    )
    ghosts = {row["customer_id"] for row in shop.rows("decisions", arm="control")}
    others = [row["customer_id"] for row in shop.rows("left_out", reason="control group")]
    without = next(customer for customer in others if customer not in ghosts)
    assert "tidak ada penawaran yang layak" in explained(shop, without)["text"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("outside the audience", "di luar sasaran kampanye"),
        ("silence", "masa hening"),
        ("open complaint", "keluhan belum selesai"),
        ("no consent", "tanpa persetujuan"),
        ("no address", "tanpa alamat atau token"),
    ],
)
def test_who_is_left_out_is_told_the_first_reason(shop, reason, said):
    customer = first(shop, "left_out", reason=reason)
    found = explained(shop, customer)
    assert found["text"] == f"Pelanggan {customer} tidak dihubungi: {said}."
    assert found["offers"] == []
    assert explained(shop, customer, "en")["text"].startswith(f"Customer {customer} is not written to: ")


def test_who_is_worth_no_message_is_told_so_with_what_each_offer_lacked(copied):
    for stated in ("0.5", "0.4", "0.3"):
        copied.edit_campaign(f"uplift: {stated}", "uplift: 0.01")
    run = copied.decide()
    customer = first(run, "left_out", reason="no offer worth sending")
    found = explained(run, customer)
    assert "tidak ada penawaran yang layak dikirim kepadanya" in found["text"]
    assert found["offers"]
    lacking = {row["reason"] for row in found["offers"] if row["value"] is not None}
    assert lacking == {"Nilainya tidak menutup biaya"}
    assert "no offer is worth sending to them" in explained(run, customer, "en")["text"]


def test_whom_a_limit_kept_out_is_told_so_with_the_limit_of_each_offer(shop):
    customer = first(shop, "left_out", reason="limits reached")
    found = explained(shop, customer)
    assert found["text"].startswith(f"Pelanggan {customer} tidak dihubungi: ")
    assert any("lebih berharga di tempat lain" in row["reason"] for row in found["offers"])


def test_who_may_get_none_of_the_offers_is_told_so(copied):
    """All offers are for gold customers; those of silver are in the audience."""
    path = copied.workspace.campaigns / "panen.yaml"
    text = path.read_text()
    for offer in ("kopi", "teh", "semua"):
        text = text.replace(f"  - id: {offer}\n", f"  - id: {offer}\n    eligibility: \"tier = 'gold'\"\n")
    path.write_text(text)
    run = copied.decide()
    silver = first(run, "left_out", reason="no eligible offer")
    assert explained(run, silver)["text"] == (
        f"Pelanggan {silver} tidak dihubungi: tidak memenuhi syarat penawaran mana pun."
    )
    assert ["no eligible offer", len(run.rows("left_out", reason="no eligible offer"))] in run.manifest["funnel"]


def test_everybody_of_the_funnel_can_be_explained(shop):
    people = [row["customer_id"] for table in ("left_out", "messages") for row in shop.rows(table)]
    assert len(people) == shop.manifest["funnel"][0][1]
    for customer in people:
        assert explained(shop, customer)["text"].startswith(f"Pelanggan {customer} ")


def test_a_run_is_explained_as_it_was_after_its_campaign_has_changed(shop, copied):
    customer = next(row["customer_id"] for row in shop.rows("decisions", offer_id="semua"))
    path = copied.workspace.campaigns / "panen.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("  - id: semua")] + text[text.index("content:") :])
    assert "Gratis ongkir" in explained(copied, customer)["text"]


def test_an_unknown_customer_is_wrong_input(shop):
    with pytest.raises(
        InputError, match=r"customer 'nobody': not among the customers of panen 20171208t020000z; laris"
    ):
        explained(shop, "nobody")


def test_a_campaign_without_a_run_is_wrong_input_that_says_what_to_do(copied):
    (copied.workspace.root / "runs").rename(copied.workspace.root / "runs-before")
    with pytest.raises(InputError, match=r"campaign panen: it has not been decided yet; larisma decide panen"):
        explained(copied, "c000001")


def test_a_language_without_words_is_wrong_input(shop):
    with pytest.raises(InputError, match=r"language 'fr': expected id or en"):
        explained(shop, "c000001", "fr")
