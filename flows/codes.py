"""Voucher codes of a workspace: which are left, how many a campaign may give, and a file of those it gave."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.calendar import occurrence_instant
from campaigns.codes import free_codes
from campaigns.firing import offer_ends
from campaigns.limits import Limit
from campaigns.offer import Quota
from campaigns.spec import Campaign
from campaigns.tables import CampaignError
from campaigns.words import offer_words
from flows.deciding.due import Due
from flows.workspace import Workspace, read_table, write_text
from recsys.tables import InputError

TERMS = ("benefit", "min_spend", "max_discount", "valid_from", "valid_until")
EXPORTED = ("code", "customer_id", "offer_id", *TERMS)

Free = dict[str, tuple[str, pa.Array]]  # pool → whose it is, and its codes that nobody has


def pools(campaign: Campaign) -> dict[str, list[str]]:
    """Pool → ids of the offers that give a code of it."""
    found: dict[str, list[str]] = {}
    for offer in campaign.offers:
        if offer.code is not None and offer.code.pool is not None:
            found.setdefault(offer.code.pool, []).append(offer.id)
    return found


def codes_left(workspace: Workspace, due: Due) -> Free:
    """The codes that occurrences to be decided may give: nobody else's, and valid as long as their offers. A pool that
    two of the campaigns name is the first one's."""
    free: Free = {}
    wanted = [(campaign, occurrence) for campaign, occurrence in due if pools(campaign)]
    if not wanted:
        return free
    codes = read_table(workspace, "codes")
    taken = given_codes(workspace, {(campaign.id, occurrence.name) for campaign, occurrence in due})
    for campaign, occurrence in wanted:
        until = max(offer_ends(campaign, occurrence.send_at).values())
        left = free_codes(codes, taken, until)
        for pool in pools(campaign):
            free.setdefault(pool, (campaign.id, left.get(pool, pa.array([], pa.string()))))
    return free


def within_codes(campaign: Campaign, free: Free) -> Campaign:
    """The campaign with a limit on messages for each of its pools: no more than there are codes.

    Raises CampaignError if a pool is another campaign's, or empty.
    """
    limits = []
    for pool, offers in pools(campaign).items():
        owner, codes = free[pool]
        if owner != campaign.id:
            raise CampaignError(f"{campaign.id}.yaml: code pool {pool!r} is {owner}'s too; give each campaign its own")
        if not len(codes):
            raise CampaignError(
                f"{campaign.id}.yaml: code pool {pool!r} has no code left that is valid as long as its offers; "
                "import some with [sources.codes] in larisma.toml and larisma ingest"
            )
        limits.append(Limit(id=f"codes-{pool}"[:64], offers=tuple(offers), quota=Quota(sent=len(codes))))
    return campaign.model_copy(update={"limits": (*campaign.limits, *limits)}) if limits else campaign


def given_codes(workspace: Workspace, besides: set[tuple[str, str]]) -> pa.Array:
    """Every code that a published run gave to somebody."""
    found = [pa.array([], pa.string())]
    for path in sorted(workspace.root.glob("runs/*/*/decisions.parquet")):
        if (path.parts[-3], path.parts[-2]) not in besides:
            found += pq.read_table(path, columns=["code"])["code"].drop_null().chunks
    return pa.concat_arrays(found).unique()


def export_codes(workspace: Workspace, campaign: Campaign, occurrence: str, out: Path) -> int:
    """Writes which customer was given which code of a run, for the shop's checkout, as a CSV; returns the rows.

    Columns: code, customer_id, offer_id, benefit, min_spend and max_discount in rupiah, valid_from, valid_until.
    Raises InputError if there is no such run.
    """
    run = workspace.run(campaign.id, occurrence)
    if not run.exists():
        raise InputError(f"{campaign.id}: no run {occurrence}; decide it first: larisma decide {campaign.id}")
    sent_at = occurrence_instant(occurrence)
    ends, offers = offer_ends(campaign, sent_at), {offer.id: offer for offer in campaign.offers}
    decisions = pq.read_table(run / "decisions.parquet", columns=["code", "customer_id", "offer_id"])
    rows = [
        {
            **row,
            "benefit": offer_words(offers[row["offer_id"]], "id")["benefit"],
            "min_spend": offers[row["offer_id"]].min_spend,
            "max_discount": getattr(offers[row["offer_id"]].benefit, "max_discount", None),
            "valid_from": sent_at.isoformat(),
            "valid_until": ends.get(row["offer_id"], ends[""]).isoformat(),
        }
        for row in decisions.filter(pc.is_valid(decisions["code"])).sort_by("code").to_pylist()
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, EXPORTED)
    writer.writeheader()
    writer.writerows({key: plain(value) for key, value in row.items()} for row in rows)
    write_text(out, text.getvalue())
    return len(rows)


def plain(value: Any) -> Any:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\0")) else value
