"""What one customer was sent, for whoever answers their call: when, why, on what terms, and what became of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from campaigns.calendar import occurrence_instant
from campaigns.firing import in_phase, offer_ends
from campaigns.ledger import Ledger, address_hash
from campaigns.ledger.history import sent_to
from campaigns.ledger.people import refusals, suppressions_of
from campaigns.ledger.schema import PENDING, SENT
from campaigns.reasons import read_reason
from campaigns.spec import Campaign
from campaigns.words import offer_words, until_words, zone_of
from flows.campaign_files import find_campaign
from flows.catalogue import read_items
from flows.explain import rows_of
from flows.history_words import TEXTS
from flows.keys import Keys
from flows.reasons import purchase_rhythm, reason_words
from flows.reporting.words import Words, load_words
from flows.settings import Settings
from flows.workspace import Workspace, checksum, read_json, read_table
from recsys.tables import InputError

NOT_SENT = "decided"  # state of a message that no ledger holds
Row = dict[str, Any]


def customer_history(
    place: Workspace, settings: Settings, ledger: Ledger | None, keys: Keys, customer: str, language: str
) -> Row:
    """{"customer", "text": one paragraph, "messages": newest first, "refusals", "suppressions"}; see _message.

    ledger: of what was sent; None if nothing was yet. Addresses and tokens are told by how many there are, no more.
    Raises InputError for a customer of whom nothing is known, or a language there are no words in.
    """
    words = load_words(language, settings.timezone)
    people = rows_of_table(place, customer)
    delivered = {row["message_id"]: row for row in sent_to(ledger, customer)} if ledger else {}
    messages = []
    for manifest in place.manifests():
        messages += _of_run(place, settings, words, manifest.parent, customer, delivered)
    messages += [_stray(words, row) for row in delivered.values()]  # of runs that are gone
    said_no = [{**vars(one), "at": one.at.isoformat()} for one in refusals(ledger, customer)] if ledger else []
    if not (people or messages or said_no):
        raise InputError(
            f"customer {customer!r}: nothing is known of them; "
            f"larisma status --workspace {place.root} shows what is known"
        )
    messages.sort(key=lambda row: (row["at"], row["campaign"]), reverse=True)
    hushed = _suppressions(ledger, keys, people)
    return {
        "customer": customer,
        "text": _paragraph(words, customer, messages, said_no, hushed, bool(people)),
        "messages": messages,
        "refusals": said_no,
        "suppressions": hushed,
    }


def rows_of_table(place: Workspace, customer: str) -> list[Row]:
    """The customer's row of CUSTOMERS, if there is one."""
    return read_table(place, "customers", where=pc.field("customer_id") == customer).to_pylist()


def _of_run(
    place: Workspace, settings: Settings, words: Words, run: Path, customer: str, delivered: dict[str, Row]
) -> list[Row]:
    rendered = rows_of(run / "messages.parquet", customer)
    if not rendered:
        return []
    manifest = read_json(run / "manifest.json")
    decisions = [row for row in rows_of(run / "decisions.parquet", customer) if row["offer_id"]]
    terms = _terms(place, settings, words, manifest)
    why = _reasons(place, settings, words.language, manifest, decisions)
    return [
        _message(words, manifest, row, delivered.pop(row["message_id"], None), _offers(row, decisions, terms), why)
        for row in rendered
    ]


def _message(
    words: Words, manifest: Mapping[str, Any], row: Row, sent: Row | None, offers: list[Row], why: Mapping[str, str]
) -> Row:
    """at: when it was sent, or may be from; state: of the ledger, or `decided`; text: what it says, word for word;
    offers: offer_id, title, benefit, terms, code, until, funders (expected rupiah by funder), why."""
    state = sent["state"] if sent else NOT_SENT
    at = sent["changed_at"] if sent and state != PENDING else row["send_after"]
    given = set(sent["offers"]) if sent else None
    shown = [{**one, "why": why.get(one["offer_id"])} for one in offers if given is None or one["offer_id"] in given]
    instead = sorted(given - {one["offer_id"] for one in offers}) if given else []
    return {
        "message_id": row["message_id"],
        "campaign": manifest["campaign"]["id"],
        "name": manifest["campaign"]["name"],
        "occurrence": manifest["occurrence"],
        "channel": row["channel"],
        "language": row["language"],
        "at": at.isoformat(),
        "when": f"{words.date(at)} {words.time(at)}",
        "state": state,
        "state_words": TEXTS[words.language]["states"][state],
        "reason": words.reason(sent["reason"]) if sent and sent["reason"] else None,
        "detail": sent["detail"] if sent else None,
        "subject": row["subject"],
        "offers": shown + [{"offer_id": name, "title": None, "why": None} for name in instead],
        "changed": bool(instead or (given is not None and len(shown) < len(offers))),
        "text": row["body_text"],
    }


def _stray(words: Words, sent: Row) -> Row:
    return {
        "message_id": sent["message_id"],
        "campaign": sent["campaign_id"],
        "name": sent["campaign_id"],
        "occurrence": sent["occurrence"],
        "channel": sent["channel"],
        "at": sent["changed_at"].isoformat(),
        "when": f"{words.date(sent['changed_at'])} {words.time(sent['changed_at'])}",
        "state": sent["state"],
        "state_words": TEXTS[words.language]["states"][sent["state"]],
        "reason": words.reason(sent["reason"]) if sent["reason"] else None,
        "detail": sent["detail"],
        "subject": None,
        "offers": [{"offer_id": name, "title": None, "why": None} for name in sent["offers"]],
        "changed": False,
        "text": None,
    }


# --- what was offered ------------------------------------------------------------------------------------------------


def _terms(place: Workspace, settings: Settings, words: Words, manifest: Mapping[str, Any]) -> dict[str, Row]:
    """Offer → title, benefit, terms, until. Of a campaign whose file is another now, terms are left to the text."""
    found = {row["offer_id"]: {"title": row["title"], "benefit": None, "terms": None} for row in manifest["offers"]}
    campaign = _as_decided(place, manifest)
    if campaign is None:
        return found
    sent_at = occurrence_instant(manifest["occurrence"])
    ends, zone = offer_ends(campaign, sent_at), zone_of(settings.timezone)
    for offer in campaign.offers:
        said = offer_words(offer, words.language)
        title = offer.text[words.language if words.language in offer.text else "id"].title
        told = found.get(offer.id, {}).get("title", title) if "{" in title else title
        until = ends[offer.id]
        found[offer.id] = {
            "title": told,
            "benefit": said["benefit"],
            "terms": said["terms"],
            "applies_to": said["applies_to"],
            "until": until.isoformat(),
            "until_words": until_words(until, zone, words.language),
            "shared_code": offer.code.shared if offer.code else None,
        }
    return found


def _as_decided(place: Workspace, manifest: Mapping[str, Any]) -> Campaign | None:
    about = manifest["campaign"]
    path = place.campaigns / f"{about['id']}.yaml"
    if not path.is_file() or checksum(path) != about["version"]:
        return None
    try:
        return in_phase(find_campaign(place, about["id"]), manifest.get("phase") or "")
    except (InputError, KeyError):
        return None


def _offers(row: Row, decisions: Sequence[Row], terms: Mapping[str, Row]) -> list[Row]:
    found = []
    for decision in decisions:
        if decision["channel"] != row["channel"] or decision["arm"] != "treatment":
            continue
        about = dict(terms.get(decision["offer_id"], {"title": None, "benefit": None, "terms": None}))
        shared = about.pop("shared_code", None)
        found.append(
            {
                "offer_id": decision["offer_id"],
                **about,
                "code": decision["code"] or shared,
                "funders": {cost["funder"]: cost["amount"] for cost in decision["costs"]},
            }
        )
    return found


def _reasons(
    place: Workspace, settings: Settings, language: str, manifest: Mapping[str, Any], decisions: Sequence[Row]
) -> dict[str, str]:
    """Offer → why it was this customer's, by the first item that it showed."""
    shown = [row for row in decisions if row["item_ids"]]
    if not shown:
        return {}
    items, as_of = read_items(place), datetime.fromisoformat(manifest["as_of"])
    titles = dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))
    firsts = [row["item_ids"][0] for row in shown]
    times = purchase_rhythm(place, as_of, shown[0]["customer_id"], firsts)
    return {
        row["offer_id"]: reason_words(read_reason(row["reason"]), titles, at, as_of, settings, language)
        for row, at in zip(shown, times, strict=True)
    }


# --- refusals and suppressions ---------------------------------------------------------------------------------------


def _suppressions(ledger: Ledger | None, keys: Keys, people: Sequence[Row]) -> list[Row]:
    if ledger is None or not people:
        return []
    addresses = {one: "email" for row in people for one in [row["email"]] if one}
    addresses |= {one: "push" for row in people for one in row["push_tokens"] or [] if one}
    hashes = {address_hash(one, keys.addresses): channel for one, channel in addresses.items()}
    return [
        {"channel": row["channel"], "reason": row["reason"], "at": row["at"].isoformat()}
        for row in suppressions_of(ledger, hashes)
        if hashes[row["address_hash"]] == row["channel"]
    ]


def _paragraph(
    words: Words, customer: str, messages: Sequence[Row], said_no: Sequence[Row], hushed: Sequence[Row], known: bool
) -> str:
    texts = TEXTS[words.language]
    sent = [row for row in messages if row["state"] == SENT]
    said = [texts["sent" if sent else "nothing"].format(customer=customer, sent=len(sent), of=len(messages))]
    if sent:
        said.append(texts["last"].format(name=sent[0]["name"], channel=sent[0]["channel"], when=sent[0]["when"]))
    for one in said_no:
        channel = texts["all_channels"] if one["channel"] == "all" else one["channel"]
        said.append(texts["refused"].format(channel=channel, date=words.date(datetime.fromisoformat(one["at"]))))
    for one in hushed:
        date = words.date(datetime.fromisoformat(one["at"]))
        said.append(texts["hushed"].format(channel=one["channel"], reason=words.reason(one["reason"]), date=date))
    return " ".join([*said, *([] if known else [texts["gone"]])])
