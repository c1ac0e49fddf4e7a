"""A process that is asked to end (Ctrl+C, SIGTERM) settles what it has in hand first; asked twice, it ends at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_end() -> Iterator[Event]:
    """An event that is set by the first signal; by a second one the process ends as if nothing listened."""
    event = Event()
    if current_thread() is not main_thread():  # signals are the main thread's
        yield event
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}

    def ask(number: int, _frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, before[number])

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield event
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
