"""Tokens of unsubscribe links: what was signed verifies, and nothing else does."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.optout import KEY_ID, signed_url, token, verify

KEYS = (("b", b"n" * 32), ("a", b"o" * 32))
MESSAGE = hashlib.sha256(b"m").hexdigest()[:32]
ids = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_-", min_size=1, max_size=64)
secrets = st.binary(min_size=32, max_size=64)


@given(ids, secrets)
def test_a_token_names_its_message(message_id, secret):
    assert verify(token(message_id, [("k1", secret)]), [("k1", secret)]) == message_id


def test_the_newest_key_signs_and_older_ones_verify():
    old, new = token(MESSAGE, KEYS[1:]), token(MESSAGE, KEYS)
    assert (old.split(".")[1], new.split(".")[1]) == ("a", "b")
    assert verify(old, KEYS) == verify(new, KEYS) == MESSAGE
    assert verify(old, KEYS[:1]) is None


@given(st.integers(0, len(token(MESSAGE, KEYS)) - 1), st.characters(codec="utf-8"))
def test_no_change_of_a_character_verifies(place, letter):
    right = token(MESSAGE, KEYS)
    changed = right[:place] + letter + right[place + 1 :]
    assert verify(changed, KEYS) == (MESSAGE if changed == right else None)


def test_no_flipped_bit_verifies():
    right = token(MESSAGE, KEYS).encode()
    for bit in range(8 * len(right)):
        changed = bytearray(right)
        changed[bit // 8] ^= 1 << bit % 8
        assert verify(changed.decode("latin-1"), KEYS) is None


@given(st.text(max_size=300) | st.from_regex(r"[0-9a-f]{32}\.[ab]\.[A-Za-z0-9_-]{43}", fullmatch=True))
def test_what_was_not_signed_does_not_verify(text):
    assert verify(text, KEYS) is None


@given(st.integers(0, len(token(MESSAGE, KEYS)) - 1), st.text("A=. \n\0", min_size=1, max_size=5))
def test_a_cut_or_padded_token_does_not_verify(length, padding):
    right = token(MESSAGE, KEYS)
    assert [verify(text, KEYS) for text in (right[:length], right[length + 1 :], right + padding, padding + right)] == [
        None
    ] * 4


@given(ids, ids, secrets, secrets)
def test_a_mac_belongs_to_one_message_one_key_and_one_key_id(one, other, secret, another):
    _, _, mac = token(one, [("k1", secret)]).split(".")
    assert verify(f"{one}.k2.{mac}", [("k1", secret), ("k2", secret)]) is None
    if one != other:
        assert verify(f"{other}.k1.{mac}", [("k1", secret)]) is None
    if secret != another:
        assert verify(f"{one}.k1.{mac}", [("k1", another)]) is None


@pytest.mark.parametrize("key_id", ["", "A", "a.b", "a" * 17, "é", "a\n"])
def test_a_key_s_id_can_stand_in_an_address(key_id):
    assert KEY_ID.fullmatch(key_id) is None


def test_a_link_is_short_and_of_letters_that_need_no_escape():
    link = signed_url("https://toko.example/berhenti", MESSAGE, KEYS)
    assert len(link) < 150
    assert set(link) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/")
