"""What there is of a person: the values that must not be found anywhere any more."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.ledger import Ledger, address_hash
from campaigns.ledger.erasure import message_ids
from flows.deciding.run import file_name
from flows.forgetting.register import pseudonym_of
from flows.keys import Keys
from flows.workspace import Workspace, read_table

TELLING = re.compile(r"@|^\+?\d{9,15}$")  # a customer id that is an address or a telephone number itself


@dataclass(frozen=True, repr=False)
class Person:
    """messages: ids of all messages ever rendered for them; these name nobody, but files are found by them."""

    customer_id: str
    pseudonym: str
    names: tuple[str, ...]
    mails: tuple[str, ...]
    tokens: tuple[str, ...]
    messages: frozenset[str]

    @property
    def addresses(self) -> tuple[str, ...]:
        return (*self.mails, *self.tokens)

    @cached_property
    def needles(self) -> tuple[str, ...]:
        """Texts that are theirs wherever they stand, also within others."""
        own = (self.customer_id,) if TELLING.search(self.customer_id) else ()
        return tuple(dict.fromkeys(one for one in (*self.addresses, *own) if one.strip()))

    @cached_property
    def pattern(self) -> "re.Pattern[bytes] | None":
        """Finds a needle, or one of their messages' names, in the bytes of a file."""
        texts = sorted({*self.needles, *self.messages})
        return re.compile(b"|".join(re.escape(one.encode()) for one in texts), re.IGNORECASE) if texts else None

    def in_name(self, path_name: str) -> bool:
        """Whether a file is named after them, as those of previews and of a run's sample mails are."""
        own = re.escape(file_name(self.customer_id))
        named = re.search(rf"-{own}-(email|push)\b|^[a-z]{{2}}(-[a-z]+)?-{own}\.html$", path_name)
        return bool(named) or any(one in path_name for one in (*self.messages, *self.needles))

    def hashes(self, keys: Keys) -> dict[str, list[str]]:
        """Channel → keyed hashes of addresses; `customer`: of the id."""
        key = keys.addresses
        return {
            "email": [address_hash(one, key) for one in self.mails],
            "push": [address_hash(one, key) for one in self.tokens],
            "customer": [address_hash(self.customer_id, key)],
        }


def find_person(place: Workspace, keys: Keys, ledgers: Sequence[Ledger], customer: str) -> tuple[Person, bool]:
    """The person, and whether there is a row of them in the table of customers."""
    rows = read_table(place, "customers", where=pc.field("customer_id") == customer).to_pylist()
    pseudonym = pseudonym_of(customer, keys)  # their messages', where an earlier try was broken off
    messages = {one for ledger in ledgers for name in (customer, pseudonym) for one in message_ids(ledger, name)}
    for path in place.root.glob("runs/*/*/messages.parquet"):
        mine = [("customer_id", "in", [customer, pseudonym])]
        messages.update(pq.read_table(path, columns=["message_id"], filters=mine)["message_id"].to_pylist())
    person = Person(
        customer,
        pseudonym,
        tuple(row["name"] for row in rows if row["name"]),
        tuple(row["email"].strip() for row in rows if row["email"]),
        tuple(token for row in rows for token in row["push_tokens"] or [] if token),
        frozenset(messages),
    )
    return person, bool(rows)
