"""CSV files as batches of text columns, in which every record of the file is accounted for, also the broken ones.

A record that is not well-formed spoils itself only: it comes with its fault and its raw text, and reading goes on at
the next line. A quote that never closes spoils its own line, not the rest of the file.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from recsys.tables import InputError

CODECS = {"utf-8": "utf-8-sig", "utf-16": "utf-16", "latin-1": "latin-1", "windows-1252": "cp1252"}
DELIMITERS = (",", ";", "\t", "|")
NOT_CSV = {
    b"PAR1": 'this is a Parquet file; set format = "parquet"',
    b"PK\x03\x04": "this is a spreadsheet or zip file; save it as CSV",
    b"SQLite": "this is a database file; export the table as CSV",
}
BLOCK = 8 << 20  # bytes
LONGEST = 16 << 20  # characters without the end of a line
RECORD_LINES = 200  # a record may span so many lines, by line breaks inside quotes

# The columns beside the file's own.
LINE = "_row"  # line number in the file, from 1 (the header's)
FAULT = "_fault"  # malformed_line | broken_utf8 | null
DETAIL = "_detail"  # what is wrong with a faulty record
TEXT = "_text"  # a faulty record as it stands in the file


@dataclass(frozen=True)
class CsvFile:
    """columns: names from the header. batches: a function that reads the records, a batch at a time."""

    columns: list[str]
    batches: Callable[[], Iterator[pa.Table]]


@dataclass
class _Records:
    """Records being collected into one batch."""

    width: int
    good: list[list[str]] = field(default_factory=list)
    good_lines: list[int] = field(default_factory=list)
    faulty: list[tuple[int, str, str, str]] = field(default_factory=list)

    def add(self, line: int, record: list[str] | None, text: str) -> None:
        if not text.isascii() and not _is_clean(text):
            self.faulty.append((line, "broken_utf8", "bytes that are not text in this encoding", _readable(text)))
        elif record is None:
            self.faulty.append((line, "malformed_line", "a quote that is not closed", text))
        elif len(record) != self.width:
            self.faulty.append((line, "malformed_line", f"expected {self.width} columns, got {len(record)}", text))
        else:
            self.good.append(record)
            self.good_lines.append(line)


def open_csv(path: Path, name: str, encoding: str, delimiter: str | None) -> CsvFile:
    """Reads the header of a CSV file, also a compressed one (.gz, .zst, .bz2).

    name: what errors call the file. delimiter: None = the one of , ; tab | that the header has most of.
    Raises InputError if the file is empty, is no CSV, or is not in the encoding as a whole; reading the batches may
    too.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{name}: the file is empty")
    with path.open("rb") as file:
        start = file.read(8)
    for magic, what in NOT_CSV.items():
        if start.startswith(magic):
            raise InputError(f"{name}: not a CSV file: {what}")
    if encoding == "utf-8" and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f'{name}: the file is not UTF-8 but UTF-16; set encoding = "utf-16" for this source')
    header, lines = "", 0
    for block in _blocks(path, name, encoding):
        for text in io.StringIO(block, newline=""):
            lines += 1
            header = text.rstrip("\r\n")
            if header.strip():
                break
        if header.strip():
            break
    if not header.strip() or "\0" in header:
        what = "has no header line" if not header.strip() else f"is not text in {encoding}; set its encoding or format"
        raise InputError(f"{name}: the file {what}")
    separator = delimiter or max(DELIMITERS, key=header.count)
    columns = [column.strip() for column in next(csv.reader([header], delimiter=separator))]
    columns = [column or f"column{position}" for position, column in enumerate(columns, start=1)]
    for column in columns:
        if sum(column.lower() == other.lower() for other in columns) > 1:
            raise InputError(f"{name}: column {_readable(column)} appears twice in the header; rename one of them")
    return CsvFile(
        [_readable(column) for column in columns], lambda: _read(path, name, encoding, separator, columns, lines)
    )


def _blocks(path: Path, name: str, encoding: str) -> Iterator[str]:
    """The file's text in blocks of any length; bytes that are not text come as lone surrogates."""
    decoder = codecs.getincrementaldecoder(CODECS[encoding])(errors="surrogateescape")
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            while data := stream.read(BLOCK):
                yield decoder.decode(data)
            yield decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise InputError(f"{name}: the file is not {encoding}; set the source's encoding") from error
    except (OSError, EOFError) as error:
        raise InputError(f"{name}: not readable: {str(error).splitlines()[0]}") from error


def _read(path: Path, name: str, encoding: str, delimiter: str, columns: list[str], skip: int) -> Iterator[pa.Table]:
    line, pending, header = 1, "", skip
    blocks = _blocks(path, name, encoding)
    last = False
    while not last:
        block = next(blocks, None)
        last = block is None
        pending += block or ""
        while header:  # leave out the lines up to the header
            text = next(iter(io.StringIO(pending, newline="")), "")
            pending, header, line = pending[len(text) :], header - 1, line + 1
        cut = len(pending) if last else _last_line_end(pending)
        if cut == 0 and len(pending) > LONGEST:
            raise InputError(f"{name}: no end of line in {LONGEST:,} characters after line {line}; not a CSV file")
        whole, pending = pending[:cut], pending[cut:]
        if whole and (table := _quick(whole, delimiter, columns)) is not None:
            yield _numbered(table, range(line, line + table.num_rows))
            line += table.num_rows
        elif whole:
            records, rest, used = _careful(whole, delimiter, len(columns), line, last)
            yield _table(records, columns)
            pending, line = rest + pending, line + used


def _last_line_end(text: str) -> int:
    """Where the last whole line ends; 0 if none does."""
    return (text.rfind("\n") + 1) or (text.rfind("\r", 0, -1) + 1)


def _quick(text: str, delimiter: str, columns: list[str]) -> pa.Table | None:
    """A block in which each line is one well-formed record; None if it is not so, or not surely."""
    if len(columns) == 1 or text.startswith(("\n", "\r")) or "\n\n" in text or "\n\r" in text or text.count('"') % 2:
        return None
    if not text.endswith("\n"):
        text += "\n"
    kinds = {column: pa.string() for column in columns}
    try:
        data = text.encode()
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(column_names=columns, use_threads=False, block_size=len(data) + 1),
            pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=False),
        )
    except (UnicodeEncodeError, pa.ArrowInvalid):
        return None
    return table if table.num_rows == text.count("\n") else None


def _careful(text: str, delimiter: str, width: int, line: int, last: bool) -> tuple[_Records, str, int]:
    """Records one by one; what may go on in the next block is handed back, with the number of lines used."""
    lines = list(io.StringIO(text, newline=""))
    records, position = _Records(width), 0
    while position < len(lines):
        record, used, unfinished = _record(lines, position, delimiter, width)
        if unfinished and not last and len(lines) - position < RECORD_LINES:
            break
        if record != []:  # an empty line is no record
            records.add(line + position, record, "".join(lines[position : position + used]).rstrip("\r\n"))
        position += used
    return records, "".join(lines[position:]), position


def _record(lines: list[str], position: int, delimiter: str, width: int) -> tuple[list[str] | None, int, bool]:
    """(the record, or None if a quote is not closed; lines it takes; whether the text ended before its end)."""
    if '"' not in lines[position]:
        return next(csv.reader([lines[position]], delimiter=delimiter), []), 1, False
    reader = csv.reader(lines[position : position + RECORD_LINES], delimiter=delimiter, strict=True)
    try:
        record = next(reader)
        if reader.line_num == 1 or len(record) == width:
            return record, reader.line_num, False
        return None, 1, False  # the quote closed in some other line's field
    except csv.Error as error:
        if "expected after" in str(error) and reader.line_num == 1:  # "a"b is read as ab
            return next(csv.reader([lines[position]], delimiter=delimiter)), 1, False
        return None, 1, "unexpected end" in str(error)


def _table(records: _Records, columns: list[str]) -> pa.Table:
    good = list(zip(*records.good, strict=True)) if records.good else [()] * len(columns)
    arrays = [pa.array(values, pa.string()) for values in good]
    parts = [_numbered(pa.table(arrays, names=columns), records.good_lines)]
    if records.faulty:
        line, fault, detail, text = (pa.array(values) for values in zip(*records.faulty, strict=True))
        parts.append(pa.table({LINE: line, FAULT: fault, DETAIL: detail, TEXT: text}))
    return pa.concat_tables(parts, promote_options="default")


def _numbered(table: pa.Table, lines: range | list[int]) -> pa.Table:
    blank = pa.nulls(table.num_rows, pa.string())
    extra = {LINE: pa.array(lines, pa.int64()), FAULT: blank, DETAIL: blank, TEXT: blank}
    return pa.table(
        [*table.columns, *extra.values()], names=[*(_readable(name) for name in table.column_names), *extra]
    )


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(text: str) -> str:
    """Lone surrogates, which stand for bytes that are not text, as the replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
