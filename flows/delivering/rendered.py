"""A run's messages as they were rendered, fetched a few at a time from a file that may be larger than memory."""

from collections import OrderedDict
from collections.abc import Collection
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.delivering.run import Run

KEPT = 2  # blocks of messages in memory


class Rendered:
    """The messages of a run on one channel; may be used by several threads."""

    def __init__(self, run: Run, channel: str) -> None:
        self._file = pq.ParquetFile(run.folder / "messages.parquet", page_checksum_verification=True)
        self._channel, self._lock = channel, Lock()
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        own = np.flatnonzero(pc.equal(run.messages["channel"], channel).to_numpy())
        names, blocks = run.messages["message_id"].take(own).to_pylist(), run.blocks[own]
        _, first = np.unique(blocks, return_index=True)
        starts = np.zeros(len(own), np.int64)
        starts[first] = first
        rows = np.arange(len(own)) - np.maximum.accumulate(starts)  # within the block, of this channel's
        self._place: dict[str, int] = dict(zip(names, (blocks << 32 | rows).tolist(), strict=True))

    def __len__(self) -> int:
        return len(self._place)

    def rows(self, message_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """message_id → row of MESSAGES; those that the run does not hold are not in it."""
        wanted: dict[int, list[int]] = {}
        for name in (name for name in message_ids if name in self._place):
            block, row = divmod(self._place[name], 1 << 32)
            wanted.setdefault(block, []).append(row)
        found: dict[str, dict[str, Any]] = {}
        for block, rows in wanted.items():
            found.update((row["message_id"], row) for row in self._block(block).take(sorted(rows)).to_pylist())
        return found

    def _block(self, number: int) -> pa.Table:
        with self._lock:
            if number not in self._kept:
                table = self._file.read_row_group(number)
                self._kept[number] = table.filter(pc.equal(table["channel"], self._channel))
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(number)
            return self._kept[number]
