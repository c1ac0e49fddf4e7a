"""The kinds of values that a campaign file holds, each with the words that say what was expected."""

from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from campaigns.faults import near
from campaigns.places import PROVINCES, province_named
from campaigns.tables import CampaignError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def expect(words: str) -> WrapValidator:
    """Whatever is wrong with the value, say what was expected."""

    def check(value: Any, inner: Any) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            raise PydanticCustomError("expected", "expected {words}", {"words": words}) from error

    return WrapValidator(check)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(name) from error
    return name


def _province(name: str) -> str:
    found = province_named(name)
    if found is None:
        raise PydanticCustomError(
            "province", "no such province{guess}", {"guess": near(name, [one.name for one in PROVINCES])}
        )
    return found.name


def _predicate(text: str) -> str:
    from campaigns.predicates import PEOPLE, bind_predicate, check_predicate  # DuckDB takes its time to load

    try:
        checked = check_predicate(text, PEOPLE.names)
        bind_predicate(checked, PEOPLE)
    except CampaignError as error:
        raise PydanticCustomError("predicate", "{words}", {"words": str(error)}) from error
    return checked


def _template(text: str) -> str:
    try:
        ImmutableSandboxedEnvironment().parse(text)  # the syntax alone; rendering.py knows the fields
    except TemplateSyntaxError as error:
        raise PydanticCustomError("template", "not a valid template: {words}", {"words": error.message}) from error
    return text


SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"
Slug = Annotated[str, Field(pattern=SLUG), expect("small letters, digits, - and _, at most 64")]
Words = Annotated[str, Field(min_length=1, pattern=r"\S"), expect("some text")]
Rupiah = Annotated[int, Field(strict=True, gt=0, le=10**15), expect("a positive amount in rupiah, as 50000")]
RupiahOrNothing = Annotated[int, Field(strict=True, ge=0, le=10**15), expect("an amount in rupiah of 0 or more")]
Count = Annotated[int, Field(strict=True, gt=0, le=10**12), expect("a whole number of 1 or more")]
Days = Annotated[int, Field(strict=True, ge=1, le=366), expect("a number of days, 1 to 366")]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False), expect("a share from 0 to 1")]
Percent = Annotated[
    float, Field(strict=True, gt=0, le=100, allow_inf_nan=False), expect("a percentage above 0, to 100")
]
Zone = Annotated[str, AfterValidator(_zone), expect("an IANA time zone, as Asia/Jakarta")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z]+)*$"), expect("a language, as id, en or jv")]
Province = Annotated[str, AfterValidator(_province)]
Predicate = Annotated[str, AfterValidator(_predicate)]
Template = Annotated[str, AfterValidator(_template)]


def in_indonesian(texts: Mapping[str, Any]) -> Mapping[str, Any]:
    """For a mapping of language → words: refuses one without Indonesian."""
    if "id" not in texts:
        raise PydanticCustomError("language", "the words in Indonesian (id) are missing; every campaign has them")
    return texts
