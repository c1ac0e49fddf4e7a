"""The care sheet: what goes out, to how many, with which codes and terms, for those whom customers call. Written before
each send; it names no customer."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from campaigns.calendar import occurrence_instant
from campaigns.firing import in_phase, offer_ends
from campaigns.ledger.store import instant_of
from campaigns.offer import Offer
from campaigns.spec import Campaign
from campaigns.words import clock_words, date_words, offer_words, until_words, zone_of
from flows.delivering.plan import waves_for
from flows.delivering.run import Run
from flows.delivering.waves import Instants, by_wave
from flows.reporting.report import TEMPLATES
from flows.settings import Settings
from flows.workspace import write_json, write_text

LABELS = {
    "id": {
        "title": "Lembar layanan",
        "rehearsal": "Gladi resik: tidak ada yang dikirim",
        "goes_out": "Yang dikirim",
        "messages": "pesan",
        "wave": "mulai",
        "channel": "saluran",
        "number": "jumlah",
        "late": "tidak sempat sebelum batas waktunya",
        "offers": "Penawaran",
        "recipients": "penerima",
        "terms": "syarat",
        "scope": "berlaku untuk",
        "code": "kode",
        "until": "berlaku sampai",
        "ask": "Pertanyaan ke",
        "nobody": "belum ditetapkan ([delivery] ask di larisma.toml)",
        "stop": "Menghentikan",
        "own": "kode sendiri untuk tiap pelanggan",
        "greeting": "Hanya salam, tanpa penawaran.",
        "history": "Apa yang dikirim kepada seorang pelanggan",
    },
    "en": {
        "title": "Care sheet",
        "rehearsal": "Rehearsal: nothing is sent",
        "goes_out": "What goes out",
        "messages": "messages",
        "wave": "from",
        "channel": "channel",
        "number": "how many",
        "late": "will not make it before their deadline",
        "offers": "Offers",
        "recipients": "recipients",
        "terms": "terms",
        "scope": "applies to",
        "code": "code",
        "until": "valid until",
        "ask": "Questions to",
        "nobody": "not settled yet ([delivery] ask in larisma.toml)",
        "stop": "To stop it",
        "own": "a code of their own for each customer",
        "greeting": "A greeting only, without offers.",
        "history": "What one customer was sent",
    },
}


def care_facts(
    run: Run, campaign: Campaign, settings: Settings, due: Instants, *, live: bool, at: datetime
) -> dict[str, Any]:
    """All that the sheet says, as plain JSON. due: see plan.due_at, beside the run's messages."""
    language, zone = settings.language, zone_of(settings.timezone)
    channels = run.messages["channel"].to_pylist()
    send_at = occurrence_instant(run.occurrence)
    there = in_phase(campaign, run.manifest.get("phase") or "")
    ends = offer_ends(there, send_at)
    given = {row["offer_id"]: row["decisions"] for row in run.manifest["offers"]}
    start = int(due.min(initial=0))
    late = int((due >= run.instants("send_before")).sum())

    def begins(instant: datetime) -> str:
        return f"{date_words(instant, zone, language)}, {clock_words(instant, zone, zone, language)}"

    return {
        "campaign": run.campaign_id,
        "name": run.manifest["campaign"]["name"],
        "occurrence": run.occurrence,
        "date": date_words(send_at, zone, language),
        "live": live,
        "written_at": at.astimezone(UTC).isoformat(timespec="seconds"),
        "messages": {channel: channels.count(channel) for channel in sorted(set(channels))},
        "waves": [
            {
                "from": instant_of(begin).isoformat(),
                "told": begins(instant_of(begin)),
                "channel": channel,
                "messages": n,
            }
            for begin, channel, n in by_wave(due, channels, start, waves_for(run, settings))
        ],
        "late": late,
        "offers": [
            _offer(offer, given[offer.id], until_words(ends[offer.id], zone, language), ends[offer.id], language)
            for offer in there.offers
            if given.get(offer.id)
        ],
        "until": max(ends.values()).astimezone(UTC).isoformat(),
        "ask": settings.delivery.ask or None,
    }


def write_care_sheet(folder: Path, facts: Mapping[str, Any], language: str, workspace: Path) -> list[Path]:
    """Writes care-sheet.html and care-sheet.json; returns their paths."""
    html, data = folder / "care-sheet.html", folder / "care-sheet.json"
    page = TEMPLATES.get_template("care-sheet.html.j2")
    write_json(data, facts)
    write_text(html, page.render(sheet=facts, words=LABELS[language], language=language, workspace=str(workspace)))
    return [html, data]


def _offer(offer: Offer, recipients: int, told: str, until: datetime, language: str) -> dict[str, Any]:
    spoken = language if language in offer.text else "id"
    said = offer_words(offer, spoken)
    return {
        "id": offer.id,
        "title": offer.text[spoken].title,
        "recipients": recipients,
        "benefit": said["benefit"],
        "terms": said["terms"],
        "scope": said["applies_to"],
        "quota": said["quota"],
        "code": offer.code.shared if offer.code else None,
        "own_code": bool(offer.code and offer.code.pool),
        "until": until.astimezone(UTC).isoformat(),
        "told": told,
    }
