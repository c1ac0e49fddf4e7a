"""The workspace's secrets: made once, kept from others, rotated without breaking links that were sent."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from campaigns.optout import token, verify
from flows.keys import drop, keys_file, rotate, workspace_keys
from flows.settings import load_settings
from flows.workspace import Workspace
from recsys.tables import InputError

OLD, NEW, ADDRESS = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def place(tmp_path):
    (tmp_path / "larisma.toml").write_text("")
    return Workspace(tmp_path)


def test_keys_are_made_once_for_their_owner_alone(place):
    settings = load_settings(place)
    made = workspace_keys(place, settings)
    assert keys_file(place).stat().st_mode & 0o777 == 0o600
    assert workspace_keys(place, settings) == made
    assert [len(secret) for _, secret in made.signing] == [32]
    assert len(made.addresses) == 32
    assert [path.name for path in place.root.iterdir() if path.name.startswith(".keys")] == []


def test_of_many_that_make_them_at_once_one_wins(place):
    settings = load_settings(place)
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: workspace_keys(place, settings), range(16)))
    assert found == {workspace_keys(place, settings)}


def test_a_file_that_others_can_read_is_refused(place):
    settings = load_settings(place)
    workspace_keys(place, settings)
    keys_file(place).chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        workspace_keys(place, settings)


def test_a_rotation_signs_anew_and_keeps_what_was_sent_working(place):
    settings = load_settings(place)
    before = workspace_keys(place, settings)
    sent = token("m1", before.signing)
    new = rotate(place, settings)
    after = workspace_keys(place, settings)
    assert [key_id for key_id, _ in after.signing] == [new, before.signing[0][0]]
    assert after.addresses == before.addresses
    assert verify(sent, after.signing) == "m1"
    drop(place, settings, before.signing[0][0])
    assert verify(sent, workspace_keys(place, settings).signing) is None
    assert keys_file(place).stat().st_mode & 0o777 == 0o600


def test_the_key_that_signs_is_never_dropped(place):
    settings = load_settings(place)
    (key_id, _), *_ = workspace_keys(place, settings).signing
    with pytest.raises(InputError, match="make a new one first"):
        drop(place, settings, key_id)
    with pytest.raises(InputError, match="no such key"):
        drop(place, settings, "entah")


def test_keys_from_the_settings_leave_no_file(place, monkeypatch):
    monkeypatch.setenv("LARISMA_OPTOUT__KEYS", f"n2:{NEW}, n1:{OLD}")
    monkeypatch.setenv("LARISMA_OPTOUT__ADDRESS_KEY", ADDRESS)
    settings = load_settings(place)
    keys = workspace_keys(place, settings)
    assert keys.signing == (("n2", bytes.fromhex(NEW)), ("n1", bytes.fromhex(OLD)))
    assert keys.addresses == bytes.fromhex(ADDRESS)
    assert not keys_file(place).exists()
    assert NEW not in repr(settings) + settings.model_dump_json() + repr(keys)
    with pytest.raises(InputError, match=r"optout\.keys: the keys are given in the settings"):
        rotate(place, settings)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("n1:kurang", "at least 64 hexadecimal digits"),
        (f"n1:{OLD[:62]}", "at least 64 hexadecimal digits"),
        (OLD, "at most 16 small letters"),
        (f"N1:{OLD}", "at most 16 small letters"),
        (f"n1:{OLD},n1:{NEW}", "same id"),
        (f"n1:{OLD},", "at most 16 small letters"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_and_not_told(place, monkeypatch, keys, message):
    monkeypatch.setenv("LARISMA_OPTOUT__KEYS", keys)
    with pytest.raises(InputError, match=message) as caught:
        workspace_keys(place, load_settings(place))
    assert OLD[:10] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"signing": [], "addresses": "' + ADDRESS + '"}', "\xff"])
def test_a_damaged_file_is_refused_and_not_replaced(place, text):
    keys_file(place).write_bytes(text.encode("latin-1"))
    keys_file(place).chmod(0o600)
    with pytest.raises(InputError, match="take it from a backup"):
        workspace_keys(place, load_settings(place))
    assert keys_file(place).read_bytes() == text.encode("latin-1")


def test_a_file_of_keys_is_json(place):
    workspace_keys(place, load_settings(place))
    assert set(json.loads(keys_file(place).read_text())) == {"signing", "addresses"}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "https://toko.example/berhenti"),
        ('shop_url = "https://kedai.example/"', "https://kedai.example/berhenti"),
        ('[optout]\nurl = "https://stop.kedai.example/s/"', "https://stop.kedai.example/s"),
    ],
)
def test_unsubscribe_links_lead_to_the_shop_or_to_where_the_settings_say(place, text, url):
    place.settings_file.write_text(text)
    assert load_settings(place).optout_url == url
