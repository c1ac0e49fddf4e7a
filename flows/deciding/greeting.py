"""A campaign without offers: everybody in the audience is greeted while the channels have room."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.allocation import Certificate
from campaigns.audience import Audience
from campaigns.calendar import Occurrence
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS, COST, DECISIONS

NO_OFFER = ""  # offer_id of a greeting's decision
ADDRESSED, LIMITED = "addressed", "limits reached"
_PLACEMENT = {"email": "hero", "push": "push"}


def greeted(campaign: Campaign, people: pa.Table) -> NDArray[np.int64]:
    """Of each person of a table of the audience: the number of the channel that greets them, -1 for none.

    Those whom one channel alone reaches come first, then by the campaign's bucket; each is greeted on the cheapest
    channel that has room. Who may get no message any more that day is not greeted.
    """
    names = sorted(campaign.channels, key=lambda name: (campaign.channels[name].message_cost, CHANNELS.index(name)))
    reached = np.column_stack([people[name].to_numpy(zero_copy_only=False) for name in names])
    allowed = people["messages"].to_numpy() > 0
    room = [campaign.channels[name].capacity for name in names]
    found = np.full(people.num_rows, -1, np.int64)
    keys = (people["customer_id"].to_numpy(zero_copy_only=False), people["bucket"].to_numpy(), reached.sum(axis=1))
    for row in np.lexsort((np.unique(keys[0], return_inverse=True)[1], *keys[1:])):
        for channel, name in enumerate(names):
            if allowed[row] and reached[row, channel] and room[channel]:
                room[channel] -= 1
                found[row] = CHANNELS.index(name)
                break
    return found


def greeting_decisions(campaign: Campaign, occurrence: Occurrence, audience: Audience) -> pa.Table:
    """A row for each person greeted, and a ghost for each control; without offer, items, value and costs."""
    parts = []
    for arm in ("treatment", "control"):
        people = audience.people.filter(pc.equal(audience.people["arm"], arm))
        channels = greeted(campaign, people)
        some = people.filter(pa.array(channels >= 0))
        names = [CHANNELS[channel] for channel in channels if channel >= 0]
        rows = len(names)
        columns = {
            "campaign_id": [campaign.id] * rows,
            "occurrence": [occurrence.name] * rows,
            "customer_id": some["customer_id"],
            "arm": some["arm"],
            "bucket": some["bucket"],
            "channel": names,
            "placement": [_PLACEMENT[name] for name in names],
            "position": pa.array(np.ones(rows), pa.int32()),
            "offer_id": [NO_OFFER] * rows,
            "item_ids": pa.array([[]] * rows, pa.list_(pa.string())),
            "propensity": pa.array(np.zeros(rows)),
            "value": pa.array(np.zeros(rows, np.int64)),
            "costs": pa.array([[]] * rows, pa.list_(COST)),
            "reason": ["greeting"] * rows,
        }
        empty = {field.name: pa.nulls(rows, field.type) for field in DECISIONS.schema if field.nullable}
        parts.append(pa.table({**empty, **columns}).select(DECISIONS.schema.names).cast(DECISIONS.schema))
    return pa.concat_tables(parts).sort_by("customer_id")


def not_greeted(audience: Audience, decisions: pa.Table) -> pa.Table:
    """customer_id and reason of everybody who is sent nothing, in order of customer."""
    people = audience.people
    controls = people.filter(pc.equal(people["arm"], "control"))["customer_id"]
    treated = people.filter(pc.equal(people["arm"], "treatment"))["customer_id"]
    missed = treated.filter(pc.invert(pc.is_in(treated, decisions["customer_id"].combine_chunks())))
    parts = [audience.left_out]
    for reason, names in (("control group", controls), (LIMITED, missed)):
        parts.append(pa.table({"customer_id": names, "reason": pa.array([reason] * len(names), pa.string())}))
    return pa.concat_tables(parts).sort_by("customer_id")


def greeting_facts(campaign: Campaign, audience: Audience, decisions: pa.Table) -> dict[str, Any]:
    """The parts of a run's manifest that say what was decided: nobody's money is spent and nothing is left."""
    sent = decisions.filter(pc.equal(decisions["arm"], "treatment"))
    *left_out, (_, treated) = audience.funnel
    missed = treated - sent.num_rows
    nothing = asdict(Certificate(0.0, 0.0, 0.0, 0.0, 0, 0, 0)) | {"left_on_the_table": 0.0}
    first_come = {"value": 0.0, "lost": 0.0}
    return {
        "model": {"id": None, "name": None},
        "funnel": [
            *([reason, people] for reason, people in left_out),
            *([[LIMITED, missed]] if missed else []),
            [ADDRESSED, sent.num_rows],
        ],
        "channels": {
            name: {
                "sent": pc.sum(pc.equal(sent["channel"], name)).as_py() or 0,
                "capacity": channel.capacity,
                "price": 0.0,
                "message_cost": channel.message_cost,
            }
            for name, channel in campaign.channels.items()
        },
        "offers": [],
        "budgets": [],
        "limits": [],
        "night": {"certificate": nothing, "first_come": first_come, "held": [], "budgets": [], "limits": []},
        "started_from": [],
        "certificate": nothing,
        "first_come": first_come,
        "losing_reasons": {},
        "counts": {
            "decisions": decisions.num_rows,
            "controls": audience.people.num_rows - treated,
        },
        "hindsight": None,
        "code": version("larisma"),
    }
