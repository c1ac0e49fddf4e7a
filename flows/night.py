"""The nightly flow: take in what is new, then train on it."""

from typing import Any

from prefect import flow

from flows.ingest import ingest
from flows.train import train


@flow(name="night")
def night(workspace: str, as_of: str | None = None) -> dict[str, Any]:
    """Ingest, then train; a model that is refused leaves the last good one serving and fails the run."""
    return {"ingest": ingest(workspace, as_of), "train": train(workspace, as_of)}
