"""`larisma …`: the console script. Its verbs stand in flows/commands/.

Exit codes: 0 ok, 1 a run failed, 2 wrong input.
"""

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from campaigns.tables import LedgerError
from flows import console, server
from flows.commands import approval, data, delivery, models, privacy, runs
from flows.commands.campaign import campaign_app
from flows.workspace import RunError
from recsys.tables import InputError

app = typer.Typer(
    name="larisma",
    help="Decides which promotion each customer gets, why, and what it should earn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    data.demo,
    data.init,
    data.status,
    data.ingest,
    models.train,
    models.evaluate,
    models.recommend,
    models.score,
    runs.forecast,
    runs.decide,
    runs.explain,
    runs.preview,
    approval.approve,
    delivery.deliver,
    delivery.pause,
    delivery.resume,
    delivery.cancel,
    runs.serve,
    privacy.optout_server,
    privacy.optout_keys,
    privacy.opt_in,
    privacy.feedback,
    privacy.history,
    privacy.export,
    privacy.forget,
):
    app.command()(command)
app.add_typer(campaign_app, name="campaign")
app.add_typer(delivery.offer_app, name="offer")


def main() -> None:
    """The console script."""
    ended: list[int] = []

    def leave() -> None:
        """Ends the process there, after Prefect's own exit handlers: its threads still hold DuckDB's objects, and while
        the interpreter is taken down these would complain about that at length."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(ended[0] if ended else 1)

    atexit.register(leave)  # registered first, so called last
    ended.append(run(sys.argv[1:]))
    sys.exit(ended[0])


def run(arguments: Sequence[str]) -> int:
    """Does what a command line says; returns its exit code. What goes wrong is said in one line for each fault."""
    server.set_defaults()
    try:
        app(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except InputError as error:
        console.complain(str(error))
        return 2
    except (RunError, LedgerError) as error:
        console.complain(str(error))
        return 1
    return 0


if __name__ == "__main__":
    main()
