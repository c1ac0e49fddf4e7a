"""The rows of an export: each message as it would leave, with its offers' terms as fields of their own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.calendar import occurrence_instant
from campaigns.channels.export import offer_fields
from campaigns.firing import in_phase, offer_ends
from campaigns.ledger.people import offers_of
from campaigns.optout import signed_url
from campaigns.spec import Campaign
from campaigns.words import offer_words
from flows.delivering.desk import Desk, Ready
from flows.delivering.outgoing import Delivery
from flows.delivering.run import Run

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Terms:
    """What is told of a campaign's offers. campaign: of the run's phase; titles: offer → language → title."""

    campaign: Campaign
    titles: Mapping[str, Mapping[str, str]]
    ends: Mapping[str, datetime]


def most_offers(campaign: Campaign) -> int:
    """Of one message."""
    return max((sum(channel.placements.values()) for channel in campaign.channels.values()), default=0)


def message_rows(one: Delivery, desk: Desk, terms: Terms, ready: Sequence[Ready], now: datetime) -> list[Row]:
    names = [each.claim.message_id for each in ready]
    rendered, offers = desk.rendered.rows(names), offers_of(one.ledger, names)
    customers = sorted({each.claim.customer_id for each in ready})
    people = desk.watch.facts(now).rows(customers)
    decisions = _decisions(one.run, customers)
    found = []
    for each in ready:
        name, customer = each.claim.message_id, each.claim.customer_id
        row, person = rendered[name], people[customer]
        given = decisions.get((customer, each.claim.channel), {})
        found.append(
            {
                **{key: row[key] for key in ("message_id", "campaign_id", "occurrence", "customer_id", "channel")},
                "language": row["language"],
                "name": person["name"],
                **_content(each, row),
                "unsubscribe_url": signed_url(one.settings.optout_url, name, desk.keys.signing),
                "send_after": row["send_after"].isoformat(),
                "send_before": row["send_before"].isoformat(),
                **offer_fields(
                    _offer(terms, offer, row["language"], given.get(offer)) for offer in _in_order(offers[name], given)
                ),
            }
        )
    return found


def _content(each: Ready, row: Mapping[str, Any]) -> Row:
    """What would leave, word for word: it may have been mended since the run was decided."""
    parcel = each.parcel
    if not isinstance(parcel.content, bytes):
        said = parcel.content["message"].get("notification", {})
        return {
            "address": json.dumps(list(parcel.recipients)),
            "subject": said.get("title", row["subject"]),
            "body_text": said.get("body", row["body_text"]),
            "payload": json.dumps(parcel.content, ensure_ascii=False, separators=(",", ":")),
        }
    mail = message_from_bytes(parcel.content, policy=policy.default)
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    return {
        "address": parcel.recipients[0],
        "subject": str(mail["Subject"]),
        "body_text": text.get_content() if text else None,
        "body_html": html.get_content() if html else None,
    }


def _decisions(run: Run, customers: Sequence[str]) -> dict[tuple[str, str], dict[str, Row]]:
    """(customer, channel) → offer → its decision, best first."""
    mine = (pc.field("arm") == "treatment") & pc.field("customer_id").isin(list(customers))
    columns = ["customer_id", "channel", "offer_id", "code"]
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in pq.read_table(run.folder / "decisions.parquet", columns=columns, filters=mine).to_pylist():
        found.setdefault((row["customer_id"], row["channel"]), {})[row["offer_id"]] = row
    return found


def _in_order(offers: Sequence[str], decided: Mapping[str, Row]) -> list[str]:
    """As they stand in the message; those that took another's place come last."""
    return [name for name in decided if name in offers] + [name for name in offers if name not in decided]


def terms_of(one: Delivery) -> Terms:
    manifest = one.run.manifest
    campaign = in_phase(one.campaign, manifest.get("phase") or "")
    titles = {row["offer_id"]: row.get("titles", {"id": row["title"]}) for row in manifest["offers"]}
    return Terms(campaign, titles, offer_ends(campaign, occurrence_instant(one.run.occurrence)))


def _offer(terms: Terms, offer_id: str, language: str, decision: Row | None) -> Row:
    offer = next((offer for offer in terms.campaign.offers if offer.id == offer_id), None)
    titles = terms.titles.get(offer_id, {})
    about: Row = {"id": offer_id, "title": titles.get(language) or titles.get("id")}
    if offer is None:  # the campaign's file is another since
        return about
    said = offer_words(offer, language)
    code = (decision or {}).get("code") or (offer.code.shared if offer.code else None)
    return {
        **about,
        "benefit": said["benefit"],
        "terms": said["terms"],
        "code": code,
        "until": terms.ends[offer_id].isoformat(),
        "min_spend": offer.min_spend or None,
        "max_discount": getattr(offer.benefit, "max_discount", None),
    }
