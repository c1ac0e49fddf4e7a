"""The run that is delivered: found, and held to the checksums that it was published with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from campaigns.calendar import occurrence_instant
from flows.workspace import Workspace, checksum, read_json
from recsys.tables import InputError

Instants = NDArray[np.int64]
_LIGHT = ("message_id", "customer_id", "channel", "send_after", "send_before")


@dataclass(frozen=True, eq=False)
class Run:
    """folder: of its files, not a link. digest: SHA-256 of its manifest, by which the ledger knows it."""

    folder: Path
    manifest: dict[str, Any]
    digest: str

    @property
    def campaign_id(self) -> str:
        return self.manifest["campaign"]["id"]

    @property
    def occurrence(self) -> str:
        return self.manifest["occurrence"]

    @property
    def firing(self) -> tuple[str, str]:
        return self.campaign_id, self.occurrence

    @cached_property
    def messages(self) -> pa.Table:
        """Of each message, in the order of the file: message_id, customer_id, channel, send_after, send_before."""
        return pq.read_table(self.folder / "messages.parquet", columns=list(_LIGHT))

    @cached_property
    def blocks(self) -> NDArray[np.int64]:
        """Of each message, the block of the file that it stands in."""
        about = pq.read_metadata(self.folder / "messages.parquet")
        rows = [about.row_group(k).num_rows for k in range(about.num_row_groups)]
        return np.repeat(np.arange(len(rows)), rows)

    def instants(self, name: str) -> Instants:
        """send_after or send_before of each message, in milliseconds."""
        return self.messages[name].cast(pa.int64()).to_numpy() // 1000

    @property
    def channels(self) -> list[str]:
        """Those that something is sent on."""
        return sorted(self.messages["channel"].unique().to_pylist())


def find_run(workspace: Workspace, campaign_id: str, occurrence: str | None = None) -> Run:
    """The campaign's latest run, or the one of an occurrence.

    Raises InputError if there is none, or if a file of it is not what was decided.
    """
    known = {path.parent.name: path.parent for path in workspace.manifests(campaign_id)}
    if occurrence is not None:
        occurrence_instant(occurrence)
    if not known:
        how = f"larisma decide {campaign_id} --workspace {workspace.root}"
        raise InputError(f"campaign {campaign_id}: it has not been decided yet; {how}")
    if occurrence is not None and occurrence not in known:
        raise InputError(f"campaign {campaign_id}: no run {occurrence}; it has {', '.join(known)}")
    folder = known[occurrence or max(known)]
    name, folder = f"{campaign_id} {folder.name}", folder.resolve()
    manifest = read_json(folder / "manifest.json")
    for file, expected in manifest.get("files", {}).items():
        path = folder / file
        if not path.is_file() or checksum(path) != expected:
            raise InputError(
                f"{name}: {file} is not what was decided, its checksum differs; nothing is sent. Decide it again: "
                f"larisma decide {campaign_id} --workspace {workspace.root}"
            )
    return Run(folder, manifest, checksum(folder / "manifest.json"))
