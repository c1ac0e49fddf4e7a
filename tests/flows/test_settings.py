"""larisma.toml and LARISMA_… variables."""

import pytest

from flows.settings import load_settings
from flows.workspace import Workspace
from recsys.tables import InputError


def settings(tmp_path, text: str):
    (tmp_path / "larisma.toml").write_text(text)
    return load_settings(Workspace(tmp_path))


def test_an_empty_file_gives_the_defaults(tmp_path):
    read = settings(tmp_path, "")
    assert (read.timezone, read.language, read.ingest.stop_share) == ("Asia/Jakarta", "id", {"default": 0.05})


def test_one_source_and_a_list_of_sources_read_alike(tmp_path):
    one = settings(tmp_path, '[sources.purchases]\npath = "a.csv"\n')
    listed = settings(tmp_path, '[[sources.purchases]]\npath = "a.csv"\n')
    assert one == listed
    assert one.sources["purchases"][0].path == "a.csv"


def test_a_variable_wins_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LARISMA_LANGUAGE", "en")
    monkeypatch.setenv("LARISMA_INGEST__MEMORY_LIMIT", "2GB")
    read = settings(tmp_path, 'language = "id"\n[ingest]\nthreads = 1\n')
    assert (read.language, read.ingest.memory_limit, read.ingest.threads) == ("en", "2GB", 1)


def test_the_database_s_url_is_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("LARISMA_DATABASE_URL", "postgresql://shop:rahasia@db.example/shop")
    read = settings(tmp_path, '[sources.items]\nquery = "select 1"\nurl = "postgresql://shop:rahasia@db.example/x"\n')
    assert "rahasia" not in repr(read) + read.model_dump_json()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timezone = 'Asia/Jakrta'", "timezone: expected an IANA time zone such as Asia/Jakarta, got 'Asia/Jakrta'"),
        ("langage = 'id'", "langage: unknown key; did you mean 'language'"),
        (
            "[ingest]\nstop_share = {default = 2}",
            "ingest.stop_share.default: expected less than or equal to 1, got 2",
        ),
        ("[ingest]\nmemory_limit = 'much'", "ingest.memory_limit: String should match pattern"),
        (
            "[ingest]\nmax_age_days = {purchase = 1}",
            "ingest.max_age_days.purchase: no such table; expected one of items",
        ),
        (
            "[sources.purchase]\npath = 'x.csv'",
            "sources.purchase: no such table; expected one of items, category_names",
        ),
        ("[sources.purchases]\nencoding = 'utf-8'", "sources.purchases.0: expected either path .files. or query"),
        ("[sources.purchases]\npath = 'x'\nquery = 'y'", "sources.purchases.0: expected either path"),
        (
            "[sources.purchases]\npath = 'x'\ncolunms = {}",
            "sources.purchases.0.colunms: unknown key; did you mean 'columns'",
        ),
        ("[sources.purchases]\npath = 'x'\nencoding = 'ebcdic'", "sources.purchases.0.encoding: .* got 'ebcdic'"),
        ("[sources.items]\npath = 'x'\nitem_columns = {title = 'x'}", "sources.items.item_columns: only purchases"),
        ("a = 1\na = 2", "not valid TOML"),
        ("\xff", "not valid TOML"),
    ],
)
def test_a_fault_is_named_by_its_key(tmp_path, text, message):
    (tmp_path / "larisma.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        load_settings(Workspace(tmp_path))


def test_all_faults_come_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        settings(tmp_path, "language = 'xx'\ntimezone = 'y'\n[train]\nfactors = 0\n")
    assert len(str(caught.value).splitlines()) == 3
