"""A PostgreSQL query as Arrow batches, through ADBC (the extra `postgres`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from recsys.tables import InputError

CONNECT_SECONDS = 10
SECRET_LENGTH = 6  # a shorter password would be told by blanking it out inside other words


class DatabaseUnreachableError(InputError):
    """The database did not answer; trying again may help."""


@contextmanager
def run_query(url: str, query: str, key: str) -> Iterator[pa.RecordBatchReader]:
    """The query's answer, to be read to its end inside the block; in a transaction that can only read.

    key: where larisma.toml has the query. Raises DatabaseUnreachableError if there is no answer, and InputError for a
    wrong URL, password or SQL; no message contains the password.
    """
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise InputError(f"{key}: reading from PostgreSQL needs: pip install 'larisma[postgres]'") from error
    if not _is_postgresql(url):
        raise InputError(f"{key}: the database's URL must look like postgresql://user:password@host:5432/name")
    timed = url if "connect_timeout" in url else f"{url}{'&' if '?' in url else '?'}connect_timeout={CONNECT_SECONDS}"
    try:
        connection = dbapi.connect(timed)
    except Error as error:
        message = _plain(error, url)
        kind = InputError if "FATAL" in message or "invalid" in message else DatabaseUnreachableError
        raise kind(f"{key}: the database did not let us in: {message}") from None
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("set transaction read only")
            cursor.execute(query.strip().rstrip(";"))
            with cursor.fetch_record_batch() as reader:
                yield _plain_types(reader)
    except (Error, pa.ArrowException, OSError) as error:
        raise InputError(f"{key}.query: the database refused it: {_plain(error, url)}") from None


def _is_postgresql(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("postgresql", "postgres")
    except ValueError:
        return False


def _plain_types(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """PostgreSQL types that Arrow does not have (numeric …) as the text in which they come."""
    schema = pa.schema(
        [pa.field(field.name, getattr(field.type, "storage_type", field.type)) for field in reader.schema]
    )
    batches = (
        pa.record_batch([getattr(column, "storage", column) for column in batch.columns], schema=schema)
        for batch in reader
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _plain(error: BaseException, url: str) -> str:
    """What the server or driver says, in one line and without the password or the URL."""
    message = " ".join(str(error).partition("Query was:")[0].split()).replace(url, "…")
    secret = urlsplit(url).password or ""
    for hidden in {secret, unquote(secret)} - {""}:
        message = message.replace(f":{hidden}@", ":***@")
        if len(hidden) >= SECRET_LENGTH:
            message = message.replace(hidden, "***")
    return message[:300]
