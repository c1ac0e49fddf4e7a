"""How much is tried: a sample in every run of the tests, all of it where LARISMA_FAULTS=full."""

import os

FULL = os.environ.get("LARISMA_FAULTS") == "full"


def many(sample: int, full: int) -> int:
    return full if FULL else sample
