"""How commands speak: tables, progress, one closing line; or JSON and nothing else."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# Nothing that is printed is read as markup: titles and ids are the retailer's own and may hold anything.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(highlight=False, markup=False, emoji=False, stderr=True)
log = logging.getLogger("larisma")  # what the flows say they are doing; a Prefect run shows the same lines
log.setLevel(logging.INFO)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a table; numbers stand right, text left."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for index, name in enumerate(header):
        numeric = bool(rows) and all(isinstance(row[index], int | float) or _looks_numeric(row[index]) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell if isinstance(cell, str) else number(cell)) for cell in row))
    out.print(title, style="bold", soft_wrap=True)
    out.print(table)


def number(value: float | None) -> str:
    """12345 → 12.345, .4213 → 0,421, 46.81 → 46,8: as people in Indonesia write them, with the decimals that matter."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:{',d' if isinstance(value, int) else f',.{decimals}f'}}".translate(str.maketrans(",.", ".,"))


def finish(wrote: str, following: Sequence[str] = ()) -> None:
    """The closing lines of every command: what it wrote, and what to do next."""
    out.print(Text.assemble(("✓", "green"), f" {wrote}"), soft_wrap=True)
    for step in following:
        out.print(f"  next: {step}", soft_wrap=True)


def print_json(result: Any) -> None:
    out.print(json.dumps(result, indent=2, ensure_ascii=False), soft_wrap=True)


def complain(message: str) -> None:
    err.print(message, style="red", soft_wrap=True)


@contextmanager
def progress(title: str, quiet: bool = False) -> Iterator[None]:
    """Shows what long work is at: the last line logged by `larisma`, and the time it has taken."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet) as display:
        task = display.add_task(title, total=None)
        steps = _Steps(lambda step: display.update(task, description=f"{title}: {step}"))
        log.addHandler(steps)
        try:
            yield
        finally:
            log.removeHandler(steps)


@contextmanager
def steps_as_lines(title: str) -> Iterator[None]:
    """For who reads along in a log file: a line for each step."""
    steps = _Steps(lambda step: out.print(f"{title}: {step}", highlight=False, markup=False, soft_wrap=True))
    log.addHandler(steps)
    try:
        yield
    finally:
        log.removeHandler(steps)


class _Steps(logging.Handler):
    """Hands each logged line to a function."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(record.getMessage())


def _looks_numeric(cell: Any) -> bool:
    return isinstance(cell, str) and cell.removeprefix("Rp").removeprefix("-")[:1].isdigit()
