"""The parts of larisma.toml that sending needs. Secrets come from LARISMA_… variables rather than from the file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Unsure = Literal["hold", "retry"]
PerMinute = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LedgerPlace(Part):
    """url: a path of a SQLite file, relative to the workspace, or postgresql://…; null: ledger.db in the workspace."""

    url: SecretStr | None = None  # it may hold a password


class EmailServer(Part):
    """[email]: the SMTP server, and who mails come from."""

    host: str
    port: int = Field(587, gt=0, lt=65536)
    security: Literal["starttls", "tls", "none"] = "starttls"  # none: for a server on the same machine
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str  # the address that mails come from, and that bounces go to
    sender_name: str = ""  # empty: the shop's
    reply_to: str = ""
    list_id: str = ""  # empty: CAMPAIGN.promo and the domain of the sender
    hello: str | None = None  # how this machine introduces itself; null: by its name
    timeout: float = Field(30.0, gt=0)  # seconds, for each answer
    connections: int = Field(2, ge=1, le=64)
    per_minute: PerMinute | None = None  # mails, of one sending process
    per_minute_of: dict[str, PerMinute] = {}  # domain → mails


class PushService(Part):
    """[push]: FCM. service_account: the key of a service account, as the JSON that Google gives."""

    service_account: SecretStr | None = None
    service_account_file: str | None = None  # a path in place of it, relative to the workspace
    url: str = "https://fcm.googleapis.com"
    timeout: float = Field(30.0, gt=0)
    connections: int = Field(4, ge=1, le=64)
    per_minute: Annotated[float, Field(gt=0, le=600_000)] | None = 300_000  # of the project's 600.000


class Waves(Part):
    """At most so many messages of an occurrence are begun in each span of so many minutes."""

    messages: Annotated[int, Field(ge=1)]
    minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 15


class Delivery(Part):
    """[delivery]: how fast, and who hears of it. waves: what shop and call centre can take; null: all at their time.

    waves_of: campaign → its own waves. unsure: what becomes of a message of which nobody knows whether it left: it is
    held back, or sent again. unsure_of: campaign → its own.
    """

    waves: Waves | None = None
    waves_of: dict[str, Waves] = {}
    unsure: Unsure = "hold"
    unsure_of: dict[str, Unsure] = {}
    tries: int = Field(20, ge=1)  # a message that is refused for now so often is given up
    webhook: SecretStr | None = None  # an URL that alerts are posted to
    ask: str = ""  # on the care sheet: who to ask, such as a name and an extension
