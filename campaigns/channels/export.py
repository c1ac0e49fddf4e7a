"""Messages as rows of a file, for any e-mail service or audience upload: CSV, JSON Lines or Parquet.

A file is written aside and put in its place whole and durably, with a manifest that says what is in it.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Format = Literal["csv", "jsonl", "parquet"]
FORMATS = ("csv", "jsonl", "parquet")
MANIFEST = "manifest.json"

FIELDS = ("message_id", "campaign_id", "occurrence", "customer_id", "channel", "address", "name", "language", "subject",
          "body_text", "body_html", "payload", "unsubscribe_url", "send_after", "send_before")  # fmt: skip
OF_OFFER = ("id", "title", "benefit", "terms", "code", "until", "min_spend", "max_discount")
NUMBERS = ("min_spend", "max_discount")  # rupiah
# A spreadsheet takes a cell that begins with one of these for a formula (OWASP ASVS 1.2.10).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")


def columns_for(offers: int) -> tuple[str, ...]:
    """The columns of a file whose messages have at most so many offers: offer_1_id, offer_1_title …"""
    return (*FIELDS, *(f"offer_{place}_{name}" for place in range(1, offers + 1) for name in OF_OFFER))


def plain(value: Any) -> Any:
    """Text that a spreadsheet does not take for a formula: with an apostrophe before it. Numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


@dataclass(eq=False)
class Export:
    """A file under way. folder: where it is going to be; nothing is there under its name until `publish`."""

    folder: Path
    form: Format
    columns: Sequence[str]
    rows: int = 0
    _parquet: pq.ParquetWriter | None = field(default=None, repr=False)
    _text: io.TextIOWrapper | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"messages.{self.form}"

    @property
    def aside(self) -> Path:
        return self.folder / f".{self.name}.{os.getpid()}"

    def begin(self) -> None:
        """Raises FileExistsError if there is an export in the folder already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self.folder / MANIFEST).exists() or (self.folder / self.name).exists():
            raise FileExistsError(str(self.folder))
        if self.form == "parquet":
            self._parquet = pq.ParquetWriter(self.aside, self._schema(), compression="zstd", write_page_checksum=True)
            return
        self._text = self.aside.open("w", encoding="utf-8", newline="")
        if self.form == "csv":
            csv.writer(self._text).writerow(self.columns)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds rows; a column that a row lacks is empty."""
        listed = [{name: row.get(name) for name in self.columns} for row in rows]
        if self._parquet is not None:
            if listed:
                self._parquet.write_table(pa.Table.from_pylist(listed, schema=self._schema()))
        elif self.form == "csv":
            writer = csv.writer(self._opened())
            writer.writerows([_cell(value) for value in row.values()] for row in listed)
        else:
            lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in listed)
            self._opened().writelines(lines)
        self.rows += len(listed)

    def close(self) -> str:
        """Ends the file, durably, though still aside; returns its SHA-256."""
        if self._parquet is not None:
            self._parquet.close()
        else:
            self._opened().close()
        with self.aside.open("rb+") as file:
            os.fsync(file.fileno())
            return hashlib.file_digest(file, "sha256").hexdigest()

    def publish(self, digest: str, about: Mapping[str, Any]) -> None:
        """Puts the file in its place, and then the manifest, by which the export is there."""
        file = {"path": self.name, "rows": self.rows, "bytes": self.aside.stat().st_size, "sha256": digest}
        self.aside.replace(self.folder / self.name)
        _sync(self.folder)
        text = json.dumps({**about, "columns": list(self.columns), "files": [file]}, indent=2, ensure_ascii=False)
        manifest = self.folder / f".{MANIFEST}.{os.getpid()}"
        with manifest.open("w", encoding="utf-8") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
        manifest.replace(self.folder / MANIFEST)
        _sync(self.folder)

    def discard(self) -> None:
        """Leaves nothing behind of a file that was not published."""
        if self._parquet is not None and self._parquet.is_open:
            self._parquet.close()
        if self._text is not None:
            self._text.close()
        self.aside.unlink(missing_ok=True)

    def _opened(self) -> io.TextIOWrapper:
        if self._text is None:
            raise RuntimeError("the export has not begun")
        return self._text

    def _schema(self) -> pa.Schema:
        numbers = {name for name in self.columns if name.endswith(NUMBERS)}
        return pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in self.columns])


def offer_fields(offers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The merge fields of a message's offers, in their order."""
    return {f"offer_{n}_{name}": offer.get(name) for n, offer in enumerate(offers, 1) for name in OF_OFFER}


def _cell(value: Any) -> Any:
    safe = plain(value)
    return safe.replace("\0", "") if isinstance(safe, str) else safe


def _sync(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
