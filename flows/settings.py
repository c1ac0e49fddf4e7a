"""larisma.toml and LARISMA_… variables as one typed, frozen object."""

import tomllib
from datetime import timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from campaigns.contact import ContactPolicy
from campaigns.control import Controls
from campaigns.faults import faults
from campaigns.limits import Limit
from flows.delivering.settings import Delivery, EmailServer, LedgerPlace, PushService
from flows.workspace import TABLES, Workspace
from recsys.tables import InputError

Share = Annotated[float, Field(ge=0, le=1)]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("expected an IANA time zone such as Asia/Jakarta") from error
    return name


Zone = Annotated[str, AfterValidator(_zone)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Part):
    """Where the rows of one table come from, and how its columns are made from the source's.

    Exactly one of path (CSV or Parquet: a file, a folder, or a glob; relative to larisma.toml) and query (a PostgreSQL
    SELECT, run on the database whose URL is in `url` or LARISMA_DATABASE_URL) is given.
    columns: our column → SQL expression over the source's columns; a column not named here is taken by its own name.
    item_columns (purchases only): columns of items to derive from purchase lines where there is no items source.
    where: a SQL condition over the source's columns; rows that do not meet it are left out and counted.
    The order of a table's sources matters: of two rows with one key, the one that comes first counts.
    """

    path: str | None = None
    query: str | None = None
    url: SecretStr | None = None
    format: Literal["csv", "parquet"] | None = None  # null: by the file's ending
    encoding: Literal["utf-8", "utf-16", "latin-1", "windows-1252"] = "utf-8"  # of CSV
    delimiter: str | None = Field(None, min_length=1, max_length=1)  # of CSV; null: found out
    timezone: Zone = "Asia/Jakarta"  # of instants that bear no zone
    columns: dict[str, str] = {}
    item_columns: dict[str, str] = {}
    where: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.query is None):
            raise ValueError("expected either path (files) or query (PostgreSQL)")
        return self


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


Sources = Annotated[tuple[Source, ...], BeforeValidator(_as_list)]


class Ingest(Part):
    """stop_share: the share of a table's rows that one quarantine reason may reach before the run stops;
    `default` holds for reasons that are not named."""

    stop_share: dict[str, Share] = {"default": 0.05}
    max_age_days: dict[str, Annotated[int, Field(ge=0)]] = {}  # table → days after which a run on it is marked stale
    memory_limit: Annotated[str, Field(pattern=r"^[1-9][0-9]*(MB|GB)$")] = "512MB"  # of the engine; more goes to disk
    threads: int = Field(2, ge=1)


class Train(Part):
    seed: int = 1
    window_days: int = Field(28, gt=0)  # held out to choose the champion and to calibrate
    half_life_days: float = Field(91, gt=0)
    min_item_buyers: int = Field(10, ge=1)
    factors: int = Field(64, gt=0)
    warm_days: int = Field(3, ge=0)  # factors of a model at most so old are gone on from; 0: always from scratch
    sample_customers: int = Field(0, ge=0)  # of more customers, factors begin with a sketch of all purchases; 0: never
    metric: str = "ndcg@10"
    recommendations: int = Field(10, ge=0)  # items recommended to each customer after training; 0: none are written
    tolerance: Share = 0.02  # a champion is replaced only by a model at most this much worse, relatively
    keep_models: int = Field(14, ge=1)  # the newest stay, with what they recommended; older ones are deleted


class Consent(Part):
    assume: tuple[str, ...] = ()  # channels for which no row means yes; for imported bases only


class Night(Part):
    """What all campaigns that are decided in one night share."""

    budgets: dict[str, Annotated[int, Field(gt=0)]] = {}  # funder → the most that it spends in all of them, in rupiah
    limits: tuple[Limit, ...] = ()  # as in a campaign file; offers are those of that id in any of them


OPTOUT_URL = r"^https?://[A-Za-z0-9._~:/@!$()*+,;=%\[\]-]+$"  # as it stands in HTML and in a mail's header


class OptOut(Part):
    """Unsubscribe links. keys: id:secret,id:secret, newest first, each secret 64 hexadecimal digits or more.
    address_key: what addresses are hashed with, never to be changed. Those not given are made, kept in keys.json."""

    url: str | None = Field(None, pattern=OPTOUT_URL)  # null: shop_url with /berhenti
    keys: SecretStr | None = None
    address_key: SecretStr | None = None


class Approval(Part):
    funders: Literal["required", "assumed"] = "required"  # assumed: offers do not wait for who co-funds them
    price_tolerance: Share = 0.0  # by which share prices may move without asking funders again


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LARISMA_", env_nested_delimiter="__", extra="forbid", frozen=True)

    timezone: Zone = "Asia/Jakarta"
    language: Literal["id", "en"] = "id"
    shop: str = "Toko"
    shop_url: str = "https://toko.example"
    shop_address: str = ""  # where the shop can be written to; shown in each mail
    nightly: str = "30 1 * * *"  # cron, in `timezone`: when new data are taken in and the models trained
    database_url: SecretStr | None = None
    control_salt: str = "larisma"
    margin_rate: Share = 0.2  # of items that state none
    sources: dict[str, Sources] = {}
    ingest: Ingest = Ingest()
    train: Train = Train()
    consent: Consent = Consent()
    contact: ContactPolicy = ContactPolicy()
    control: Controls = Controls()
    night: Night = Night()
    approval: Approval = Approval()
    optout: OptOut = OptOut()
    ledger: LedgerPlace = LedgerPlace()
    email: EmailServer | None = None  # without it no mail is sent
    push: PushService | None = None
    delivery: Delivery = Delivery()

    @property
    def optout_url(self) -> str:
        """Where unsubscribe links lead, without the slash and the token at their end."""
        return (self.optout.url or f"{self.shop_url.rstrip('/')}/berhenti").rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # a variable wins over the file


def load_settings(workspace: Workspace) -> Settings:
    """Raises InputError naming every fault of the file at once, each by its key."""
    path = workspace.settings_file
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    try:
        settings = Settings(**content)
    except ValidationError as error:
        found = faults(error, Settings.model_json_schema())
        raise InputError(
            "\n".join(f"{path}: {'.'.join(map(str, place))}: {words}" for place, words in found)
        ) from error
    for key, names in (("sources", settings.sources), ("ingest.max_age_days", settings.ingest.max_age_days)):
        for name in names:
            if name not in TABLES:
                raise InputError(f"{path}: {key}.{name}: no such table; expected one of {', '.join(TABLES)}")
    for name, sources in settings.sources.items():
        if name != "purchases" and any(source.item_columns for source in sources):
            raise InputError(
                f"{path}: sources.{name}.item_columns: only purchases have it, items are derived from them"
            )
    return settings


def window(settings: Settings) -> timedelta:
    return timedelta(days=settings.train.window_days)
