"""Who of a run's recipients may be written to at all, by what the tables say now: by the audience's own rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc

from campaigns.audience import select_audience
from campaigns.contact import Caps, ContactPolicy
from campaigns.schedule import Schedule
from campaigns.spec import Campaign, ChannelName
from campaigns.tables import CONSENTS, NIGHT
from flows.contacts import read_history
from flows.settings import Settings
from flows.workspace import Workspace, read_table

Reasons = Mapping[str, Mapping[str, str]]  # channel → customer → why not
CHANNEL_NAMES: tuple[ChannelName, ...] = get_args(ChannelName)


def refused(
    workspace: Workspace,
    settings: Settings,
    campaign: Campaign,
    customers: pa.Table,
    others: Mapping[str, str],
    now: datetime,
) -> dict[str, dict[str, str]]:
    """Why nothing may go to some of the customers on a channel: silence, complaint, consent, a parent's, a bounce.

    customers: rows of CUSTOMERS. others: further accounts of the same persons → the one that is among the customers;
    what is open or asked for there holds for the person. How often and at what hours is not judged here.
    """
    ids = customers["customer_id"].combine_chunks()
    consents = read_table(workspace, "consents", as_of=now, where=pc.field("customer_id").isin(ids))
    responses = read_history(workspace, now).responses
    tables = {
        name: of_one_account(read_table(workspace, name, as_of=now), others) for name in ("service_cases", "silences")
    }
    found: dict[str, dict[str, str]] = {}
    for channel in (name for name in CHANNEL_NAMES if name in campaign.channels):
        audience = select_audience(
            _only(campaign, channel),
            customers,
            consents,
            as_of=now,
            send_at=now,
            control_salt=settings.control_salt,
            assume_consent=settings.consent.assume,
            controls=settings.control,
            policy=_at_any_time(settings.contact),
            responses=responses,
            memory=settings.ingest.memory_limit,
            **tables,
        )
        left_out = audience.left_out.to_pydict()
        found[channel] = dict(zip(left_out["customer_id"], left_out["reason"], strict=True))
    return found


def night_readers(workspace: Workspace, customers: pa.Table, now: datetime) -> dict[str, frozenset[str]]:
    """Channel → those who agreed to messages in quiet hours. Of words at the same instant, the no counts."""
    ids = customers["customer_id"].combine_chunks()
    asked = (pc.field("purpose") == NIGHT) & pc.field("customer_id").isin(ids)
    said: dict[tuple[str, str], tuple[datetime, bool]] = {}
    for row in read_table(workspace, CONSENTS.name, as_of=now, where=asked).to_pylist():
        key, word = (row["channel"], row["customer_id"]), (row["changed_at"], not row["granted"])
        said[key] = max(said.get(key, word), word)
    return {
        channel: frozenset(customer for (on, customer), (_, no) in said.items() if on == channel and not no)
        for channel in CHANNEL_NAMES
    }


def of_one_account(table: pa.Table, others: Mapping[str, str]) -> pa.Table:
    """With the rows of a person's further accounts told of the one that is written to."""
    names = [others.get(name, name) for name in table["customer_id"].to_pylist()]
    place = table.column_names.index("customer_id")
    return table.set_column(place, table.schema.field(place), pa.array(names, pa.string()))


def _only(campaign: Campaign, channel: ChannelName) -> Campaign:
    """The campaign for everybody, on one channel, today: whom it is for was decided when it was."""
    everybody = {"audience": None, "channels": {channel: campaign.channels[channel]}}
    today = Schedule(occasion="always", timezone=campaign.schedule.timezone)
    return campaign.model_copy(update={**everybody, "schedule": today})


def _at_any_time(policy: ContactPolicy) -> ContactPolicy:
    free = {"quiet": None, "most": Caps()}
    channels: dict[str, Any] = {name: getattr(policy, name).model_copy(update=free) for name in CHANNEL_NAMES}
    return policy.model_copy(update={"most": Caps(), **channels})
