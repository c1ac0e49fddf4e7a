"""People's own side: unsubscribing, what came back from them, what they were sent, and being forgotten."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from flows import console
from flows.commands.options import HERE, AsJson, Folder, Language, opened, spoken
from recsys.tables import InputError

if TYPE_CHECKING:
    from campaigns.channels.export import Format
    from flows.answers.returned import Kind


def optout_server(
    workspace: Folder = HERE,
    host: Annotated[str, typer.Option(help="Where it listens; a proxy with TLS stands before it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8090,
) -> None:
    """Serve the pages of unsubscribe links. Only a pressed button acts, at once; Ctrl+C ends it."""
    from flows.answers.optout_server import optout_app, server_of
    from flows.delivering.ledgers import open_for
    from flows.keys import workspace_keys

    place, settings = opened(workspace)
    workspace_keys(place, settings)  # made now, or found at fault now
    ledger = open_for(place, settings, True, datetime.now(UTC))
    app = optout_app(place, settings, ledger, lambda: datetime.now(UTC))
    console.finish(f"listening on http://{host}:{port}; links lead to {settings.optout_url}", ["Ctrl+C ends it"])
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("larisma.optout").setLevel(logging.INFO)
    try:
        server_of(app, host, port).run()
    finally:
        ledger.close()


def opt_in(
    customer: str,
    channel: Annotated[str, typer.Option(help="email, push, or all.")] = "all",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Take an opt-out back, which only the customer's own word may do; consent is asked for as before."""
    from campaigns import ledger as ledgers
    from campaigns.tables import CHANNELS
    from flows.delivering.ledgers import open_for

    place, settings = opened(workspace)
    if channel not in (*CHANNELS, "all"):
        raise InputError(f"--channel: expected one of {', '.join(CHANNELS)}, all, got {channel!r}")
    ledger = open_for(place, settings, True, datetime.now(UTC))
    try:
        wanted = (*CHANNELS, "all") if channel == "all" else (channel,)
        taken = [one for one in wanted if ledgers.opt_in(ledger, customer, one)]
    finally:
        ledger.close()
    if not taken:
        raise InputError(f"customer {customer!r}: has not opted out of {channel}; larisma history says of what")
    if as_json:
        return console.print_json({"customer": customer, "taken_back": taken})
    console.finish(f"taken back: {', '.join(taken)}", [f"larisma history {customer} --workspace {workspace}"])


def history(customer: str, workspace: Folder = HERE, language: Language = None, as_json: AsJson = False) -> None:
    """What one customer was sent: when, why, on what terms, what became of it, and what they refused."""
    from flows.answers.refusals import has_ledger
    from flows.delivering.ledgers import open_for
    from flows.history import customer_history
    from flows.history_words import TEXTS
    from flows.keys import workspace_keys

    place, settings = opened(workspace)
    spoken_in = spoken(language, settings)
    ledger = open_for(place, settings, True, datetime.now(UTC)) if has_ledger(place, settings) else None
    try:
        found = customer_history(place, settings, ledger, workspace_keys(place, settings), customer, spoken_in)
    finally:
        if ledger:
            ledger.close()
    if as_json:
        return console.print_json(found)
    console.out.print(found["text"])
    texts, messages = TEXTS[spoken_in], found["messages"]
    if messages:
        rows = [[row[key] or "–" for key in ("when", "name", "channel", "state_words", "subject")] for row in messages]
        for row, message in zip(rows, messages, strict=True):
            row[3] += f": {message['reason']}" if message["reason"] else ""
        console.show("", texts["header"], rows)
        given = [[message["name"], *_offer_row(offer)] for message in messages for offer in message["offers"]]
        if given:
            console.show("", texts["offers"], given)
    console.finish("nothing was changed", [f"larisma explain CAMPAIGN {customer} --workspace {workspace}"])


def _offer_row(offer: Mapping[str, Any]) -> list[str]:
    from campaigns.words import rupiah

    terms = ", ".join(one for one in (offer.get("benefit"), offer.get("terms")) if one)
    funders = ", ".join(f"{name} {rupiah(amount)}" for name, amount in (offer.get("funders") or {}).items())
    shown = (offer["title"] or offer["offer_id"], terms, offer.get("code"), offer.get("until_words"), funders)
    return [one or "–" for one in (*shown, offer["why"])]


def export(
    campaign: str,
    out: Annotated[Path, typer.Option(help="A new folder for messages.FORMAT and manifest.json.")],
    form: Annotated[str, typer.Option("--format", help="csv, jsonl or parquet.")] = "csv",
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Needs no approval and does not count: nothing is handed over.")
    ] = False,
    occurrence: Annotated[
        str | None, typer.Option("--occurrence", help="One such as 20261211t170000z; default: the latest.")
    ] = None,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Hand a run's messages over as a file to a service that sends them; the ledger keeps them as sent."""
    from campaigns.channels.export import FORMATS
    from flows.export import export_campaign

    place, settings = opened(workspace)
    if form not in FORMATS:
        raise InputError(f"--format: expected one of {', '.join(FORMATS)}, got {form!r}")
    with console.progress(f"export {campaign}", quiet=as_json or not console.err.is_terminal):
        result = export_campaign(
            place,
            settings,
            campaign,
            cast("Format", form),
            out,
            live=not rehearsal,
            clock=lambda: datetime.now(UTC),
            occurrence=occurrence,
        )
    if as_json:
        return console.print_json(result)
    if result["left_out"]:
        console.show("Left out", ("state", "reason", "messages"), result["left_out"])
    said = "a rehearsal, nothing counts as sent" if rehearsal else "they count as sent"
    console.finish(
        f"wrote {', '.join(result['wrote'])}: {console.number(result['rows'])} messages; {said}",
        [f"larisma feedback EVENTS.csv --workspace {workspace} takes in what the service reports"],
    )


def forget(
    customer: str,
    workspace: Folder = HERE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; it cannot be taken back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a person: no byte of name, address or token stays in the workspace; sums and counts do."""
    from campaigns.ledger import open_ledger
    from flows.answers.refusals import has_ledger
    from flows.delivering.ledgers import open_for
    from flows.forgetting.forget import forget_customer
    from flows.keys import workspace_keys

    place, settings = opened(workspace)
    if not yes and not as_json:
        typer.confirm(f"Forget customer {customer}? This cannot be taken back", abort=True)
    now = datetime.now(UTC)
    ledgers = [open_for(place, settings, True, now)] if has_ledger(place, settings) else []
    ledgers += [open_ledger(str(path), now) for path in [place.rehearsals / "ledger.db"] if path.exists()]
    try:
        with console.progress("forget", quiet=as_json or not console.err.is_terminal):
            result = forget_customer(place, settings, ledgers, workspace_keys(place, settings), customer, now)
    finally:
        for ledger in ledgers:
            ledger.close()
    if as_json:
        return console.print_json(result)
    rows = [(table, count) for table, count in sorted(result["tables"].items())]
    rows += [(name, len(result[name])) for name in ("runs", "models", "files")]
    console.show("Rewritten", ("what", "rows or files"), [*rows, ("messages in ledgers", result["messages"])])
    said = [f"{source} still holds them and is yours: take them out there too" for source in result["still_in"]]
    said += [f"larisma forget {one} --workspace {workspace}: the same person" for one in result["other_accounts"]]
    said += ["exports that were handed to others, and backups, are not reached from here"]
    console.finish(f"forgotten; what stays of them is {result['pseudonym']}", said)


def feedback(
    path: Annotated[Path, typer.Argument(help="A mail, an mbox, a maildir, a CSV of events, or a folder of these.")],
    workspace: Folder = HERE,
    kind: Annotated[
        str, typer.Option(help="auto; or only: bounce (RFC 3464), complaint (ARF), csv (a list of events).")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Take in what came back: bounces, complaints, opens, clicks, opt-outs. The same file again changes nothing."""
    from flows.answers.feedback import take_feedback
    from flows.answers.returned import KINDS
    from flows.delivering.ledgers import open_for
    from flows.keys import workspace_keys

    place, settings = opened(workspace)
    if kind not in KINDS:
        raise InputError(f"--kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    now = datetime.now(UTC)
    keys, ledger = workspace_keys(place, settings), open_for(place, settings, True, now)
    try:
        with console.progress("feedback", quiet=as_json or not console.err.is_terminal):
            result = take_feedback(place, settings, ledger, keys, path, cast("Kind", kind), now)
    finally:
        ledger.close()
    if as_json:
        return console.print_json(result)
    console.show("New events", ("event", ""), list(result["events"].items()))
    if result["quarantined"]:
        console.show("Not understood", ("reason", ""), sorted(result["quarantined"].items()))
    said = {
        "known before": result["known"],
        "of no message or customer of ours": result["unmatched"],
        "addresses suppressed": result["suppressed"],
        "opted out": result["opted_out"],
    }
    listed = [f"wrote {workspace / result['quarantine']}"] if result["quarantine"] else []
    console.finish("; ".join([*listed, *(f"{console.number(count)} {what}" for what, count in said.items())]))


def optout_keys(
    workspace: Folder = HERE,
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new key to sign with; old links go on.")] = False,
    drop: Annotated[
        str | None, typer.Option(help="The id of a key that came into wrong hands: its links end.", metavar="ID")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The ids of the keys that unsubscribe links are signed with, newest first; a new one, or one less."""
    from flows import keys

    place, settings = opened(workspace)
    made = keys.rotate(place, settings) if rotate else None
    if drop is not None:
        keys.drop(place, settings, drop)
    ids = [key_id for key_id, _ in keys.workspace_keys(place, settings).signing]
    if as_json:
        return console.print_json({"keys": ids, "made": made, "dropped": drop})
    console.show("Keys", ("key", ""), [(one, "signs" if one == ids[0] else "verifies") for one in ids])
    changed = [f"made key {made}"] * bool(made) + [f"dropped key {drop}"] * bool(drop)
    console.finish(" and ".join(changed) or "nothing was changed")
