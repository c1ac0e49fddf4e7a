"""How a command meets Prefect's server: patient with the embedded one, quiet, and in one line where none answers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from flows.workspace import RunError

DEFAULTS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # commands speak for themselves
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
}


def set_defaults() -> None:
    """Settings of Prefect that hold unless they are set otherwise; to be called before it is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def answering() -> Iterator[None]:
    """A block that needs the server. Raises RunError if that cannot be reached."""
    try:
        yield
    except RunError:
        raise
    except Exception as error:
        if not _is_of_server(error):
            raise
        url = os.environ.get("PREFECT_API_URL")
        remedy = "start it with `prefect server start`, or unset PREFECT_API_URL" if url else "try again"
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunError(f"Prefect's server does not answer: {said}; {remedy}") from error


def _is_of_server(error: Exception) -> bool:
    from httpx import HTTPError

    return isinstance(error, HTTPError) or (isinstance(error, RuntimeError) and "API" in str(error))
