"""The instant a run stands at: what it is told, or when its scheduler meant it to run; never when it happens to run."""

from datetime import UTC, datetime

from prefect.runtime import flow_run

from recsys.tables import InputError


def flow_instant(as_of: str | None) -> datetime:
    """ISO 8601 with an offset → UTC; None → the scheduled start of the flow run, so that a late run decides the same.

    Raises InputError for text that is not such an instant.
    """
    if as_of is None:
        return flow_run.scheduled_start_time.astimezone(UTC)
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(f"as_of: expected an instant such as 2017-12-05T00:00:00+07:00, got {as_of!r}")
    return moment.astimezone(UTC)
