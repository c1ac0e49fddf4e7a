"""Places at which a test may break the process, to see that what was promised still holds afterwards."""

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Does nothing, unless a test has armed the place of this name."""
    if name in _armed:
        _armed[name]()


def arm(name: str, action: Callable[[], None]) -> None:
    """From now on, reaching the place calls action, which may kill, raise or wait."""
    _armed[name] = action


def disarm() -> None:
    _armed.clear()
