"""How the loops over pairs are compiled.

numba's cache notices changes of a function's own file only. So the names under which machine code is kept hold a
checksum of all files of this folder.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

SOURCES = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]


# Machine code here makes no arrays, so it need not count who holds one: threads would wait for each other to count.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(function: Any) -> Any:
    function.__qualname__ += f"-{SOURCES}"
    return njit(function, cache=True, **OPTIONS)


def inlined(function: Any) -> Any:
    """For what is called for each pair: passing an array to a function costs more than what the function does."""
    return njit(function, inline="always", **OPTIONS)
