"""Who says yes: to a campaign before it is sent, and, of each funder, to its part of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows import console
from flows.commands.campaign import campaign_app
from flows.commands.options import HERE, AsJson, AsOf, Folder, Language, instant, opened, spoken

By = Annotated[str, typer.Option("--by", help="The name of the person who decides; it is kept and shown.")]
Funder = Annotated[str, typer.Option("--funder", help="As the campaign file names it, as sari-murni.")]
Withdraw = Annotated[bool, typer.Option("--withdraw", help="Take it back instead.")]


def approve(
    campaign: str, by: By, workspace: Folder = HERE, withdraw: Withdraw = False, as_json: AsJson = False
) -> None:
    """Approve a campaign as it is now: shows what that is and what has changed, and records it. Any change voids it."""
    from flows import views
    from flows.approving import views as approval_views
    from flows.approving.approvals import approve as record
    from flows.approving.approvals import waits_to_be_sent, withdraw_approval
    from flows.approving.records import checked_name
    from flows.approving.review import review
    from flows.campaign_files import campaign_path, find_campaign

    place, settings = opened(workspace)
    now = datetime.now(UTC)
    if withdraw:
        entry = withdraw_approval(place, campaign_path(place, campaign).stem, by, now)
        if as_json:
            return console.print_json(entry)
        return console.finish(f"{campaign} is approved no more: {entry['by']}", ["nothing of it is delivered live"])
    checked_name(by)
    found = find_campaign(place, campaign)
    result = review(place, settings, found, now)
    if not as_json:
        if result["audience"]:
            views.show_audience(result["audience"])
        approval_views.show_review(result, settings.timezone)
    entry = record(place, settings, found, by, now)
    if as_json:
        return console.print_json({**result, "by": entry["by"], "at": entry["at"]})
    ready = waits_to_be_sent(place, found.id, entry["hash"], now)
    step = f"deliver {campaign} --live" if ready else f"decide {campaign}"
    console.finish(
        f"approved by {entry['by']}: {entry['hash']}",
        [f"larisma {step} --workspace {workspace}", "any change of the campaign voids this approval"],
    )


@campaign_app.command("terms")
def campaign_terms(
    campaign: str,
    funder: Funder,
    workspace: Folder = HERE,
    out: Annotated[Path | None, typer.Option(help="A folder for the files; default: the workspace's terms/.")] = None,
    as_of: AsOf = None,
    language: Language = None,
    as_json: AsJson = False,
) -> None:
    """Write the page that a funder agrees to: its share, cap, items with prices, codes and dates; HTML and CSV."""
    from flows.approving.terms import write_terms
    from flows.campaign_files import find_campaign

    place, settings = opened(workspace)
    found, at = find_campaign(place, campaign), instant(as_of, settings.timezone)
    digest, wrote = write_terms(
        place, settings, found, funder, out or workspace / "terms", at, spoken(language, settings)
    )
    if as_json:
        return console.print_json({"campaign": campaign, "funder": funder, "hash": digest, "wrote": wrote})
    console.finish(
        f"wrote {', '.join(wrote)}; terms {digest}",
        [
            f"print {wrote[0]} from a browser, and send both to {funder}",
            f"larisma campaign agree {campaign} --funder {funder} --by NAME --workspace {workspace}",
        ],
    )


@campaign_app.command("agree")
def campaign_agree(
    campaign: str,
    funder: Funder,
    by: By,
    workspace: Folder = HERE,
    withdraw: Withdraw = False,
    as_json: AsJson = False,
) -> None:
    """Record that a funder agrees to its terms as they are now. Any change of its part voids it."""
    from flows.approving import views as approval_views
    from flows.approving.agreements import agree, agreement_of, withdraw_agreement
    from flows.campaign_files import campaign_path, find_campaign
    from flows.catalogue import read_items

    place, settings = opened(workspace)
    now = datetime.now(UTC)
    if withdraw:
        entry = withdraw_agreement(place, campaign_path(place, campaign).stem, funder, by, now)
        if as_json:
            return console.print_json(entry)
        return console.finish(f"{funder} agrees no more: {entry['by']}", ["its offers are given to nobody"])
    found = find_campaign(place, campaign)
    before = agreement_of(place, settings, found, funder, read_items(place))
    entry = agree(place, settings, found, funder, by, now)
    if as_json:
        return console.print_json({"campaign": campaign, "funder": funder, **entry})
    if before.changes:
        console.out.print("Since it agreed last:")
        approval_views.show_changes([str(change) for change in before.changes])
    console.finish(
        f"{funder} agrees to {entry['hash']}: {entry['by']}", [f"larisma decide {campaign} --workspace {workspace}"]
    )
