"""The tables of people and of what is said to them: Arrow schemas and keys."""

import pyarrow as pa

from recsys.tables import ID, INSTANT, MONEY, InputError, Table, must

CHANNELS = ("email", "push")
NIGHT = "night"  # purpose of a consent: messages in quiet hours too
PARENT = "parent"  # purpose of a consent: a parent's, for a child
ARMS = ("treatment", "control")
CODE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # a voucher code as it may be typed, and stand in a spreadsheet


class CampaignError(InputError):
    """A campaign file, or a part of one, is wrong. The message has one line for each fault."""


class LedgerError(RuntimeError):
    """The ledger cannot be used as it is; nothing was sent or changed."""


CUSTOMERS = Table(
    "customers",
    pa.schema(
        [
            must("customer_id", ID),
            pa.field("person_id", ID),  # null: the same
            pa.field("name", pa.string()),
            pa.field("salutation", pa.string()),  # Bapak, Ibu, Kak
            pa.field("email", pa.string()),
            pa.field("push_tokens", pa.list_(pa.string())),
            pa.field("language", pa.string()),  # as they chose: id | en | jv | jv-ngoko | su | su-loma …; null: id
            pa.field("timezone", pa.string()),  # IANA; null: Asia/Jakarta
            pa.field("city", pa.string()),
            pa.field("province", pa.string()),
            pa.field("birth_date", pa.date32()),
            pa.field("joined_at", INSTANT),
            pa.field("tier", pa.string()),
            pa.field("points", pa.int64()),
            pa.field("points_expiring", pa.int64()),  # of the points, those that lapse first
            pa.field("points_expire_on", pa.date32()),  # the last day on which these can be spent
        ]
    ),
    key=("customer_id",),
    instant="joined_at",
)

SEGMENTS = Table(  # what campaigns.segments works out of a customer's past; beside it stands what a column needs
    "segments",
    pa.schema(
        [
            must("customer_id", ID),
            pa.field("recency_days", pa.int64()),  # whole days since the latest purchase; null: never bought
            pa.field("orders", pa.int64()),  # of the last 365 days
            pa.field("spend", MONEY),  # of the last 365 days, less what was returned
            pa.field("recency_quintile", pa.int64()),  # 1–5 among buyers of the last 365 days; 5 bought last
            pa.field("frequency_quintile", pa.int64()),  # 5 has the most orders
            pa.field("monetary_quintile", pa.int64()),  # 5 has spent most
            pa.field("lifetime_value", MONEY),  # expected of the coming 365 days
            pa.field("journey", pa.string()),  # one of JOURNEY
            pa.field("favourite_category", pa.string()),  # where most was spent in the last 365 days
            pa.field("price_sensitivity", pa.float64()),  # 0–1, the share of spend that was discounted
        ]
    ),
    key=("customer_id",),
)

JOURNEY = ("insight", "promotion", "transaction", "delivery", "support", "return")

CONSENTS = Table(
    "consents",
    pa.schema(
        [
            must("customer_id", ID),
            must("channel", pa.string()),
            must("purpose", pa.string()),  # one of a campaign's, or NIGHT, or PARENT
            must("granted", pa.bool_()),
            must("changed_at", INSTANT),
            pa.field("source", pa.string()),
        ]
    ),
    key=("customer_id", "channel", "purpose", "changed_at"),
    instant="changed_at",
)

SERVICE_CASES = Table(
    "service_cases",
    pa.schema(
        [
            must("customer_id", ID),
            must("kind", pa.string()),  # complaint | late_delivery | return
            must("opened_at", INSTANT),
            pa.field("closed_at", INSTANT),
        ]
    ),
    key=("customer_id", "kind", "opened_at"),
    instant="opened_at",
)

SILENCES = Table(
    "silences",
    pa.schema(
        [
            pa.field("customer_id", ID),  # one of customer_id and city is given
            pa.field("city", pa.string()),
            must("reason", pa.string()),
            must("until", INSTANT),
        ]
    ),
    key=("customer_id", "city", "reason"),
)

EVENTS = Table(
    "events",
    pa.schema(
        [
            must("customer_id", ID),
            must("item_id", ID),
            must("kind", pa.string()),  # view | search | cart | chat | voucher (one was used on the item)
            must("at", INSTANT),
        ]
    ),
    key=("customer_id", "item_id", "kind", "at"),
    instant="at",
)

PRICE_HISTORY = Table(
    "price_history",
    pa.schema(
        [
            must("item_id", ID),
            must("price", MONEY),
            must("from", INSTANT),
            pa.field("to", INSTANT),
        ]
    ),
    key=("item_id", "from"),
    instant="from",
)

FEEDBACK = Table(
    "feedback",
    pa.schema(
        [
            pa.field("message_id", ID),  # or campaign_id and customer_id
            pa.field("campaign_id", ID),
            pa.field("customer_id", ID),
            pa.field("offer_id", ID),  # of a redemption: which of the campaign's offers; null: not known
            must(
                "event", pa.string()
            ),  # delivered, opened, clicked, redeemed, unsubscribed, bounced, complained, rated
            must("at", INSTANT),
            pa.field("amount", MONEY),
            pa.field("rating", pa.int32()),
        ]
    ),
    key=("message_id", "campaign_id", "customer_id", "offer_id", "event", "at"),
    instant="at",
)

PAST_OFFERS = Table(  # what campaigns offered, also before larisma; with redemptions of feedback, what to learn from
    "past_offers",
    pa.schema(
        [
            must("campaign_id", ID),
            must("offer_id", ID),
            must("item_id", ID),  # a row for each item of the offer's scope
            must("starts_at", INSTANT),
            pa.field("ends_at", INSTANT),
        ]
    ),
    key=("campaign_id", "offer_id", "item_id"),
    instant="starts_at",
)

CONTACTS = Table(  # what was sent to whom, also by others than larisma
    "contacts",
    pa.schema(
        [
            must("customer_id", ID),
            must("campaign_id", ID),
            pa.field("occurrence", pa.string()),
            must("channel", pa.string()),
            must("sent_at", INSTANT),
            pa.field("opened_at", INSTANT),  # null: not opened
        ]
    ),
    key=("customer_id", "campaign_id", "channel", "sent_at"),
    instant="sent_at",
)

CATEGORY_NAMES = (
    Table(  # what categories are called in a language; where a row is missing, the catalogue's own word stands
        "category_names",
        pa.schema(
            [
                must("category", pa.string()),  # a path, as items have it
                must("language", pa.string()),  # as customers have it
                must("name", pa.string()),
            ]
        ),
        key=("category", "language"),
    )
)

CODES = Table(  # single-use voucher codes of the shop's checkout, which owns their redemption
    "codes",
    pa.schema(
        [
            must("code", pa.string()),
            must("pool", pa.string()),  # as the offers name it
            pa.field("valid_until", INSTANT),  # null: no end
        ]
    ),
    key=("code",),
)

RESPONSES = Table(  # feedback with the customer and the channel that its message went to
    "responses",
    pa.schema(
        [
            must("customer_id", ID),
            pa.field("channel", pa.string()),  # null: not known
            must("event", pa.string()),
            must("at", INSTANT),
        ]
    ),
    key=("customer_id", "channel", "event", "at"),
    instant="at",
)

COST = pa.struct([must("funder", pa.string()), must("amount", MONEY)])

DECISIONS = Table(
    "decisions",
    pa.schema(
        [
            must("campaign_id", ID),
            must("occurrence", pa.string()),  # 20261211t170000z
            must("customer_id", ID),
            must("arm", pa.string()),  # one of ARMS; a control's decision is a ghost, it is never sent
            must("bucket", pa.int32()),  # 0–9999, of the campaign's control group
            must("channel", pa.string()),
            must("placement", pa.string()),
            must("position", pa.int32()),  # from 1
            must("offer_id", ID),
            must("item_ids", pa.list_(pa.string())),
            must("propensity", pa.float64()),
            must("value", MONEY),  # expected
            must("costs", pa.list_(COST)),  # expected, per funder
            must("reason", pa.string()),
            pa.field("code", pa.string()),  # the voucher code that goes with the offer
        ]
    ),
    key=("campaign_id", "occurrence", "customer_id", "channel", "placement", "position"),
)

MESSAGES = Table(
    "messages",
    pa.schema(
        [
            must("message_id", ID),
            must("campaign_id", ID),
            must("occurrence", pa.string()),
            must("customer_id", ID),
            must("channel", pa.string()),
            must("language", pa.string()),
            must("subject", pa.string()),  # of a push: its title
            pa.field("body_html", pa.string()),
            must("body_text", pa.string()),
            pa.field("payload", pa.string()),  # push: JSON
            must("send_after", INSTANT),
            must("send_before", INSTANT),
        ]
    ),
    key=("message_id",),
)
