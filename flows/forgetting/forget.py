"""Erasure on request (UU PDP): after it no byte of a person's name, addresses and tokens is left in a workspace.

Every step may be done again, and the row of customers goes last, so a forgetting that was killed is completed by doing
it once more. Who was forgotten stands in forgotten.json as keyed hashes, from the first step on: rows of them that
come in again are dropped, and nothing is sent to them.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from campaigns.failpoints import failpoint
from campaigns.ledger import Ledger
from campaigns.ledger.erasure import compact, follow_runs, pseudonymise
from flows.forgetting.files import still_in, sweep
from flows.forgetting.person import Person, find_person
from flows.forgetting.published import forget_in_models, forget_in_runs, remove_leftovers, renamed_manifests
from flows.forgetting.register import enter, forgotten_people
from flows.forgetting.stored import forget_in_tables
from flows.keys import Keys
from flows.settings import Settings
from flows.workspace import TABLES, Workspace, read_table, taking_in
from recsys.tables import InputError

log = logging.getLogger("larisma")


def forget_customer(
    place: Workspace, settings: Settings, ledgers: Sequence[Ledger], keys: Keys, customer: str, now: datetime
) -> dict[str, Any]:
    """Forgets a customer everywhere; what was changed, without anything personal.

    ledgers: of what was sent, and of rehearsals, those that there are. Returns pseudonym, tables (rows by table), runs,
    models, files, messages (in the ledgers), still_in (sources of the retailer's own that hold them yet),
    other_accounts (of the same person, which stay).
    Raises InputError for a customer of whom nothing is known, and while an ingest or another forgetting is running.
    """
    with taking_in(place) as aside:
        person, known = find_person(place, keys, ledgers, customer)
        before = {one["pseudonym"] for one in forgotten_people(place)}
        if not (known or person.messages or person.pseudonym in before or _bought(place, person)):
            raise InputError(f"customer {customer!r}: nothing is known of them, so there is nothing to forget")
        hashes = person.hashes(keys)
        every = [one for listed in hashes.values() for one in listed]
        enter(place, person.pseudonym, every, now, "begun")
        failpoint("forget.entered")
        addresses = {channel: hashes[channel] for channel in ("email", "push")}
        messages = sum(pseudonymise(ledger, person.customer_id, person.pseudonym, addresses, now) for ledger in ledgers)
        failpoint("forget.ledger")
        runs = forget_in_runs(place, settings, person, now)
        failpoint("forget.runs")
        for ledger in ledgers:
            follow_runs(ledger, renamed_manifests(place))
        failpoint("forget.followed")
        models = forget_in_models(place, person)
        failpoint("forget.models")
        files = sweep(place, settings, person)
        failpoint("forget.files")
        sources, accounts = still_in(place, settings, person), _other_accounts(place, person)
        tables = forget_in_tables(place, person, aside)
        failpoint("forget.tables")
        remove_leftovers(place)
        for ledger in ledgers:
            compact(ledger)
        failpoint("forget.compacted")
        enter(place, person.pseudonym, every, now, "done")
    return {
        "pseudonym": person.pseudonym,
        "messages": messages,
        "runs": runs,
        "models": models,
        "files": files,
        "tables": tables,
        "still_in": sources,
        "other_accounts": accounts,
    }


def _other_accounts(place: Workspace, person: Person) -> list[str]:
    """Further accounts of the same person, which are not forgotten with this one."""
    columns = ["customer_id", "person_id"]
    mine = pc.field("customer_id") == person.customer_id
    known = {row["person_id"] for row in read_table(place, "customers", columns=columns, where=mine).to_pylist()}
    names = sorted({person.customer_id, *(one for one in known if one)})
    same = pc.field("person_id").isin(names) | pc.field("customer_id").isin(names)
    found = read_table(place, "customers", columns=columns, where=same)["customer_id"].to_pylist()
    return [one for one in found if one != person.customer_id]


def _bought(place: Workspace, person: Person) -> bool:
    """Whether a table knows somebody of whom there is no row of customers."""
    mine = pc.field("customer_id") == person.customer_id
    return any(
        read_table(place, name, columns=["customer_id"], where=mine).num_rows
        for name, table in TABLES.items()
        if "customer_id" in table.schema.names
    )
