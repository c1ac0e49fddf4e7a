"""Approvals and agreements on the terminal."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.words import rupiah
from flows.console import number, out, show

Result = Mapping[str, Any]

STATES = {
    "approved": "approved",
    "changed": "changed since",
    "withdrawn": "withdrawn",
    "never": "never approved",
}
LINES = 40


def show_review(found: Result, zone: str) -> None:
    """What is being approved, and what has changed since it was approved last."""
    out.print(f"{found['campaign']}: {found['name']}", style="bold")
    offers = [
        [
            offer["offer_id"],
            offer["title"],
            offer["benefit"],
            offer["quota"] or "–",
            ", ".join(f"{name} {number(100.0 * share)}%" for name, share in sorted(offer["funders"].items())),
        ]
        for offer in found["offers"]
    ]
    if offers:
        show("Offers", ("offer", "title", "benefit", "quota", "funders"), offers)
        show(
            "Budgets", ("funder", "at most"), [[name, rupiah(most)] for name, most in sorted(found["budgets"].items())]
        )
    show("Messages", ("channel", "at most"), [[name, most] for name, most in sorted(found["channels"].items())])
    dates = [[row["send_at"], row["phase"] or "", "estimated" if row["estimated"] else ""] for row in found["dates"]]
    show("Sent next", ("instant", "phase", ""), dates)
    spoken = [
        [row["language"], row["reviewed_by"] or ("nobody yet" if row["needs_reviewer"] else "–")]
        for row in found["languages"]
    ]
    show("Languages", ("language", "read by"), spoken)
    show_warnings(found["warnings"])
    show_standing(found, zone)


def show_standing(found: Result, zone: str) -> None:
    """Whether it was approved, by whom, and the differences since."""
    last = found["last"]
    said = f" by {last['by']}, {when(last['at'], zone)}" if last else ""
    if found["state"] == "changed":
        out.print(f"It was approved{said}. Since then:", soft_wrap=True)
        show_changes(found["changes"])
    elif found["state"] == "approved":
        out.print(f"It is approved{said}, and nothing has changed since.", soft_wrap=True)
    else:
        out.print(
            {"withdrawn": f"Its approval was withdrawn{said}."}.get(found["state"], "Nobody has approved it yet.")
        )


def show_changes(changes: Sequence[str]) -> None:
    for line in changes[:LINES]:
        out.print(f"  {line}", soft_wrap=True)
    if len(changes) > LINES:
        out.print(f"  and {number(len(changes) - LINES)} more")


def show_warnings(warnings: Sequence[str]) -> None:
    for line in warnings:
        out.print(f"warning: {line}", style="yellow", soft_wrap=True)


def standing_words(row: Result, zone: str) -> str:
    """approved by Rina, 2026-12-01: as lists show it."""
    if row["state"] == "faulty":
        return f"faulty: {''.join(row['changes'])}"
    last = row["last"]
    return STATES[row["state"]] + (f" ({last['by']}, {when(last['at'], zone)[:10]})" if last else "")


def when(instant: str, zone: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"
