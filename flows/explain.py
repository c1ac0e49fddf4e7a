"""Why one customer got what they got, from what the run wrote down."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaigns.calendar import occurrence_instant
from flows.campaign_files import find_campaign
from flows.deciding.considered import BEATEN, CHOSEN
from flows.deciding.greeting import NO_OFFER
from flows.deciding.run import CONTROL, NOT_AGREED, NOT_ELIGIBLE, NOTHING
from flows.reasons import explained_items
from flows.reporting.words import Words, load_words
from flows.settings import Settings
from flows.workspace import Workspace, read_json
from recsys.tables import InputError

TEXTS = {
    "id": {
        "addressed": "Pelanggan {customer} mendapat {offers} lewat {channel}, dikirim {date}: nilai harapan {value}.",
        "control": "Pelanggan {customer} ada di kelompok kontrol, jadi tidak dikirimi apa pun; {ghost}.",
        "ghost": "tanpa itu ia akan mendapat {offers}",
        "no_ghost": "tanpa itu pun tidak ada penawaran yang layak",
        "nothing": "Pelanggan {customer} tidak dihubungi: tidak ada penawaran yang layak dikirim kepadanya.",
        "left_out": "Pelanggan {customer} tidak dihubungi: {reason}.",
        "window": "Peluang di bawah ini adalah peluang membeli dalam {days} hari tanpa promosi.",
        "header": ("penawaran", "judul", "peluang", "nilai", "alasan"),
        "items_header": ("penawaran", "barang", "alasan barang pertama", "berdasarkan pembelian"),
        "chosen": "dipilih",
        "greeting": "salam",
        "beaten": "kalah dari “{title}”",
        "rule": "tidak memenuhi syarat: {rule}",
        "waits": "menunggu persetujuan {funders}",
        "priced": "{reason} (harga bayangan {price})",
    },
    "en": {
        "addressed": "Customer {customer} gets {offers} by {channel}, sent on {date}: expected value {value}.",
        "control": "Customer {customer} is in the control group and is sent nothing; {ghost}.",
        "ghost": "otherwise it would have been {offers}",
        "no_ghost": "nothing would have been worth sending anyway",
        "nothing": "Customer {customer} is not written to: no offer is worth sending to them.",
        "left_out": "Customer {customer} is not written to: {reason}.",
        "window": "The chances below are of buying within {days} days without the promotion.",
        "header": ("offer", "title", "chance", "value", "reason"),
        "items_header": ("offer", "items", "reason of the first", "from purchases of"),
        "chosen": "chosen",
        "greeting": "a greeting",
        "beaten": "beaten by “{title}”",
        "rule": "not eligible: {rule}",
        "waits": "waits for the agreement of {funders}",
        "priced": "{reason} (shadow price {price})",
    },
}


def last_run(workspace: Workspace, campaign_id: str) -> Path:
    """The campaign's run with the latest occurrence. Raises InputError if there is none."""
    find_campaign(workspace, campaign_id)
    runs = workspace.manifests(campaign_id)
    if not runs:
        raise InputError(
            f"campaign {campaign_id}: it has not been decided yet; "
            f"larisma decide {campaign_id} --workspace {workspace.root}"
        )
    return runs[-1].parent


def explain_decision(
    workspace: Workspace, settings: Settings, campaign_id: str, customer: str, language: str
) -> dict[str, Any]:
    """{"text": one paragraph, "header", "offers": a row for each offer with its worth and why it was chosen or not,
    "items_header", "items": what each offer given shows and why, see flows.reasons}.

    Raises InputError for a customer the run knows nothing of, or a language there are no words in.
    """
    words = load_words(language, settings.timezone)
    run, texts = last_run(workspace, campaign_id), TEXTS[language]
    manifest = read_json(run / "manifest.json")
    titles = {offer["offer_id"]: offer["titles"].get(language, offer["title"]) for offer in manifest["offers"]}
    titles[NO_OFFER] = texts["greeting"]
    considered, decisions, left_out = (
        rows_of(run / f"{name}.parquet", customer) for name in ("considered", "decisions", "left_out")
    )
    if not (decisions or left_out):
        raise InputError(
            f"customer {customer!r}: not among the customers of {campaign_id} {manifest['occurrence']}; "
            f"larisma status --workspace {workspace.root} shows what is known"
        )
    offers = [
        {
            "offer_id": row["offer_id"],
            "title": titles[row["offer_id"]],
            "propensity": row["propensity"],
            "value": row["value"],
            "reason": reason_words(words, texts, titles, row),
        }
        for row in sorted(considered, key=lambda row: -row["value"])
    ]
    if considered or (left_out and left_out[0]["reason"] in (CONTROL, NOT_AGREED, NOT_ELIGIBLE)):
        offers += [ruled_out(texts, titles, offer) for offer in not_considered(manifest, considered)]
    text = paragraph(words, texts, manifest, customer, considered, decisions, left_out, titles)
    shown = explained_items(workspace, settings, manifest, decisions, language)
    for row in shown:
        row["title"] = titles[row["offer_id"]]
    headers = {"header": texts["header"], "items_header": texts["items_header"]}
    return {"customer": customer, "text": text, **headers, "offers": offers, "items": shown}


def not_considered(manifest: dict[str, Any], considered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The offers that the customer may not get at all."""
    known = {row["offer_id"] for row in considered}
    return [offer for offer in manifest["offers"] if offer["offer_id"] not in known]


def ruled_out(texts: dict[str, Any], titles: dict[str, str], offer: dict[str, Any]) -> dict[str, Any]:
    waits = ", ".join(offer.get("waits_for", ()))
    rule = texts["waits"].format(funders=waits) if waits else texts["rule"].format(rule=offer.get("eligibility") or "–")
    return {
        "offer_id": offer["offer_id"],
        "title": titles[offer["offer_id"]],
        "propensity": None,
        "value": None,
        "reason": rule,
    }


def reason_words(words: Words, texts: dict[str, Any], titles: dict[str, str], row: dict[str, Any]) -> str:
    reason = row["reason"]
    if reason == CHOSEN:
        return texts["chosen"]
    if reason.startswith(BEATEN):
        return texts["beaten"].format(title=titles[reason.removeprefix(BEATEN)])
    said = words.reason(reason, titles)
    return texts["priced"].format(reason=said, price=words.rupiah(row["price"])) if row["price"] else said


def paragraph(
    words: Words,
    texts: dict[str, Any],
    manifest: dict[str, Any],
    customer: str,
    considered: list[dict[str, Any]],
    decisions: list[dict[str, Any]],
    left_out: list[dict[str, Any]],
    titles: dict[str, str],
) -> str:
    given = ", ".join(f"“{titles[row['offer_id']]}”" for row in decisions)
    reason = left_out[0]["reason"] if left_out else None
    if reason is None:
        said = texts["addressed"].format(
            customer=customer,
            offers=given,
            channel=decisions[0]["channel"],
            date=words.date(occurrence_instant(manifest["occurrence"])),
            value=words.rupiah(sum(row["value"] for row in decisions)),
        )
    elif reason == CONTROL:
        ghost = texts["ghost"].format(offers=given) if given else texts["no_ghost"]
        said = texts["control"].format(customer=customer, ghost=ghost)
    elif reason == NOTHING:
        said = texts["nothing"].format(customer=customer)
    else:
        said = texts["left_out"].format(customer=customer, reason=words.reason(reason).lower())
    return f"{said} {texts['window'].format(days=manifest['window_days'])}" if considered else said


def rows_of(path: Path, customer: str) -> list[dict[str, Any]]:
    table: pa.Table = pq.read_table(path, filters=[("customer_id", "=", customer)])
    return table.to_pylist()
