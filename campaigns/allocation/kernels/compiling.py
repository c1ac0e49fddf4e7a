"""How the loops over pairs are compiled.

numba's cache notices changes of a function's own file only. So the names under which machine code is kept hold a
checksum of all files of this folder.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

SOURCES = sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()[:12]


def compiled(function: Any) -> Any:
    function.__qualname__ += f"-{SOURCES}"
    return njit(function, nogil=True, cache=True, error_model="numpy")


def inlined(function: Any) -> Any:
    """For what is called for each pair: passing an array to a function costs more than what the function does."""
    return njit(function, nogil=True, inline="always", error_model="numpy")
