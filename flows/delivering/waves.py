"""When each message's turn is: not before its own time, and not more at once than shop and call centre can take."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from flows.delivering.settings import Waves

Instants = NDArray[np.int64]  # milliseconds since 1970 in UTC
MINUTE = 60_000


def turns(send_after: Instants, block: NDArray[np.integer], start: int, waves: Waves | None) -> Instants:
    """The turn of each message of a run, in the order of its file.

    start: before which nothing goes. Waves begin there, and each takes at most its number of messages, those first
    whose time is first. block: of the file, in which a message stands. Those of one block come one after the other, as
    they are read together; so each block begins a millisecond later.
    """
    due = np.maximum(send_after, start).astype(np.int64)
    if waves is not None:
        span, wave, used = waves.minutes * MINUTE, 0, 0
        for k in np.argsort(due, kind="stable").tolist():
            own = int(due[k] - start) // span
            if own > wave:
                wave, used = own, 0
            elif used == waves.messages:
                wave, used = wave + 1, 0
            used += 1
            due[k] = max(int(due[k]), start + wave * span)
    return due + block.astype(np.int64)


def by_wave(due: Instants, channels: list[str], start: int, waves: Waves | None) -> list[tuple[int, str, int]]:
    """(begin, channel, messages) of each wave, in order; without waves, of each hour."""
    span = (waves.minutes if waves else 60) * MINUTE
    counts = Counter(zip(((due - start) // span).tolist(), channels, strict=True))
    return [(start + int(wave) * span, channel, n) for (wave, channel), n in sorted(counts.items())]
