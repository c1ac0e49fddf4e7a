"""A campaign's texts in each language, compiled once, and filled for each message."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from jinja2 import Template, TemplateError

from campaigns.sandbox import Sandbox
from campaigns.spec import Campaign
from campaigns.tables import CampaignError
from campaigns.words import HOME, load_words, offer_words, one_line, register_of, shorten

CONTENT_KEYS = ("subject", "preheader", "heading", "intro", "push_title", "push_body")
CREATIVES = ("hero", "grid", "push")  # placements in which an offer may have words of its own
LIMITS = {  # characters of a filled text
    "subject": 120,
    "preheader": 150,
    "heading": 120,
    "intro": 600,
    "push_title": 65,
    "push_body": 240,
    "title": 90,
    "body": 300,
}

Names = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Text:
    """A constant, or a compiled template. where: its place in the campaign file, for errors."""

    where: str
    limit: int
    constant: str | None
    template: Template | None


@dataclass(frozen=True)
class OfferTexts:
    """said: what is said of the offer to everyone alike, plain values. placed: placement → title and body there, and
    under "" those for all places."""

    said: Mapping[str, Any]
    placed: Mapping[str, tuple[Text, Text]]


@dataclass(frozen=True)
class Texts:
    """A campaign's texts in one language. fields: by CONTENT_KEYS; offers: by offer id."""

    fields: Mapping[str, Text]
    offers: Mapping[str, OfferTexts]


@dataclass(frozen=True)
class Content:
    """A campaign's texts by language; Indonesian is always there. purpose: what people have consented to."""

    campaign: str
    languages: Mapping[str, Texts]
    purpose: str = "promotion"

    def language(self, wanted: str | None) -> str:
        """The wanted language if the campaign speaks it, else Indonesian for the whole message; never another register.

        wanted: as the customer stated it, see words.register_of.
        """
        known = register_of(wanted)
        return known if known in self.languages else HOME


def sources(campaign: Campaign, language: str) -> list[tuple[str, str]]:
    """(place in the campaign file, template) of every text; the system's own words where the campaign says nothing."""
    content = campaign.content[language]
    ours = load_words(language)["content"] if campaign.offers else {}  # they speak of an offer
    found = [(f"content.{language}.{key}", getattr(content, key) or ours.get(key, "")) for key in CONTENT_KEYS]
    for offer in campaign.offers:
        text, place = offer.text[language], f"offers.{offer.id}.text.{language}"
        found += [(f"{place}.{key}", getattr(text, key)) for key in ("title", "body")]
        for placement in CREATIVES:
            if own := getattr(text, placement):
                found += [(f"{place}.{placement}.{key}", getattr(own, key)) for key in ("title", "body")]
    return found


def compile_texts(campaign: Campaign, *, names: Names = MappingProxyType({}), stand_in: str | None = None) -> Content:
    """Content, unchecked: rendering.compile_content checks it. With a stand-in every text is that constant.

    names: language → category path → its name.
    """
    languages = {language: _texts(campaign, language, names, stand_in) for language in campaign.content}
    return Content(campaign.id, languages, campaign.purpose)


def _texts(campaign: Campaign, language: str, names: Names, stand_in: str | None) -> Texts:
    texts = {where: _text(campaign.id, where, stand_in or source) for where, source in sources(campaign, language)}

    def placed(offer_id: str, placement: str) -> tuple[Text, Text]:
        place = f"offers.{offer_id}.text.{language}"
        own = f"{place}.{placement}" if f"{place}.{placement}.title" in texts else place
        return texts[f"{own}.title"], texts[f"{own}.body"]

    return Texts(
        {key: texts[f"content.{language}.{key}"] for key in CONTENT_KEYS},
        {
            offer.id: OfferTexts(
                offer_words(offer, language, names),
                {placement: placed(offer.id, placement) for placement in ("", *CREATIVES)},
            )
            for offer in campaign.offers
        },
    )


def _text(campaign_id: str, where: str, source: str) -> Text:
    limit, where_in_file = LIMITS[where.rpartition(".")[2]], f"{campaign_id}.yaml: {where}"
    if "{" not in source:
        return Text(where_in_file, limit, shorten(one_line(source), limit), None)
    return Text(where_in_file, limit, None, Sandbox(html=False).from_string(source))


def fill(text: Text, context: Mapping[str, Any]) -> str:
    """One line of at most text.limit characters. Raises CampaignError naming the text where it fails on the context."""
    if text.template is None:
        return text.constant or ""
    try:
        filled = text.template.render(context)
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        raise CampaignError(f"{text.where}: {error}") from error
    return shorten(one_line(filled), text.limit)
