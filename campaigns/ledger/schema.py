"""The ledger's tables. Instants are whole milliseconds since 1970 in UTC, money is whole rupiah.

No name, address or token is in any of them: a customer is an id, an address or a token a keyed hash.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

LEDGER = MetaData()

# What becomes of an occurrence. Only a running one is claimed from.
PLANNED, RUNNING, PAUSED, STOPPED, CANCELLED, FINISHED = (
    "planned",
    "running",
    "paused",  # by somebody, who can go on
    "stopped",  # by a breaker; somebody has to look before it goes on
    "cancelled",
    "finished",
)
# What becomes of a message.
PENDING, CLAIMED, WRITING = "pending", "claimed", "writing"
SENT, BOUNCED, UNKNOWN, SKIPPED, FAILED, EXPIRED = "sent", "bounced", "unknown", "skipped", "failed", "expired"
HELD = (CLAIMED, WRITING)  # by a sender, under a lease
DONE = (SENT, BOUNCED, UNKNOWN, SKIPPED, FAILED, EXPIRED)
SPENT = (*HELD, SENT, UNKNOWN)  # states in which a message's uses count against the accounts

OCCURRENCES = Table(
    "occurrences",
    LEDGER,
    Column("campaign_id", Text, primary_key=True),
    Column("occurrence", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("unsure", Text, nullable=False),  # hold | retry: what becomes of a message of which nobody knows if it left
    Column("run", Text, nullable=False),  # SHA-256 of the run's manifest, which what is sent was decided in
    Column("approval", Text),
    Column("live", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)

MESSAGES = Table(
    "messages",
    LEDGER,
    Column("message_id", Text, primary_key=True),
    Column("campaign_id", Text, nullable=False),
    Column("occurrence", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("domain", Text, nullable=False),  # of the mail's address, for its rate; empty for a push
    Column("send_before", BigInteger, nullable=False),
    Column("offers", Text, nullable=False),  # JSON: their ids
    Column("uses", Text, nullable=False),  # JSON: [[accounts.id, amount], …]
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),  # not before: the wave's turn, then the next try
    Column("attempts", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),  # grows with each claim; a sender with an older one has lost it
    Column("sender", Text),
    Column("epoch", Text),  # of the store when claimed: another one now means power was lost in between
    Column("lease_until", BigInteger),
    Column("reason", Text),  # why skipped, bounced, failed
    Column("detail", Text),  # the other side's code
    Column("provider_id", Text),  # its name for the message
    Column("changed_at", BigInteger, nullable=False),
    UniqueConstraint("campaign_id", "occurrence", "customer_id", "channel"),
)
Index(
    "messages_pending",
    MESSAGES.c.campaign_id,
    MESSAGES.c.occurrence,
    MESSAGES.c.channel,
    MESSAGES.c.due_at,
    MESSAGES.c.message_id,
    sqlite_where=text(f"state = '{PENDING}'"),
    postgresql_where=text(f"state = '{PENDING}'"),
)
Index(
    "messages_held",
    MESSAGES.c.campaign_id,
    MESSAGES.c.occurrence,
    sqlite_where=text(f"state in {HELD}"),
    postgresql_where=text(f"state in {HELD}"),
)
# Conditions in the words of the indexes above: by these a database sees that it may use them.
IS_PENDING = MESSAGES.c.state == literal_column(f"'{PENDING}'")
IS_HELD = MESSAGES.c.state.in_([literal_column(f"'{state}'") for state in HELD])
Index("messages_of_person", MESSAGES.c.person_id, MESSAGES.c.changed_at)

TOKENS = Table(  # the outcome for each device of a push
    "push_tokens",
    LEDGER,
    Column("message_id", Text, primary_key=True),
    Column("token_hash", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("detail", Text),
    Column("provider_id", Text),
)

ACCOUNTS = Table(  # what must never be overdrawn: a funder's budget in rupiah, an offer's quota in millionths
    "accounts",
    LEDGER,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("campaign_id", Text, nullable=False),  # empty: shared by a night
    Column("occurrence", Text, nullable=False),
    Column("kind", Text, nullable=False),  # budget | quota
    Column("name", Text, nullable=False),  # the funder or the offer
    Column("ceiling", BigInteger),  # null: none
    Column("used", BigInteger, nullable=False),
    UniqueConstraint("campaign_id", "occurrence", "kind", "name"),
)

PAUSED_OFFERS = Table(
    "paused_offers",
    LEDGER,
    Column("campaign_id", Text, primary_key=True),
    Column("offer_id", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("reason", Text),
)

OPT_OUTS = Table(
    "opt_outs",
    LEDGER,
    Column("customer_id", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
)

SUPPRESSIONS = Table(  # addresses and tokens that nothing is sent to any more
    "suppressions",
    LEDGER,
    Column("address_hash", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("reason", Text, nullable=False),  # hard bounce | complaint | dead token
    Column("at", BigInteger, nullable=False),
)

EVENTS = Table(  # feedback taken in, each once
    "events",
    LEDGER,
    Column("event_id", Text, primary_key=True),
    Column("message_id", Text),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

VERSIONS = Table(
    "ledger_versions", LEDGER, Column("version", Integer, primary_key=True), Column("at", BigInteger, nullable=False)
)
