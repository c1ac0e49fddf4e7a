"""People's own side: unsubscribing, what came back from them, what they were sent, and being forgotten."""

import logging
from datetime import UTC, datetime
from typing import Annotated

import typer

from flows import console
from flows.commands.options import HERE, AsJson, Folder, opened


def optout_server(
    workspace: Folder = HERE,
    host: Annotated[str, typer.Option(help="Where it listens; a proxy with TLS stands before it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8090,
) -> None:
    """Serve the pages of unsubscribe links. Only a pressed button acts, at once; Ctrl+C ends it."""
    import uvicorn

    from flows.delivering.ledgers import open_for
    from flows.keys import workspace_keys
    from flows.optout_server import optout_app

    place, settings = opened(workspace)
    workspace_keys(place, settings)  # made now, or found at fault now
    ledger = open_for(place, settings, True, datetime.now(UTC))
    app = optout_app(place, settings, ledger, lambda: datetime.now(UTC))
    console.finish(f"listening on http://{host}:{port}; links lead to {settings.optout_url}", ["Ctrl+C ends it"])
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    logging.getLogger("larisma.optout").setLevel(logging.INFO)
    try:
        uvicorn.run(
            app,
            host=host,
            port=port,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,  # it would hold tokens
            server_header=False,
            proxy_headers=False,
            limit_concurrency=200,
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=16_384,
        )
    finally:
        ledger.close()


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
