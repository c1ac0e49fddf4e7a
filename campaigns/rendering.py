"""A campaign's words and a customer's offers → an email (HTML and text) or a push.

compile_content (once for a campaign) → message_context (for each message, plain values) → render_email or render_push.

A campaign's texts may name shop, date, starts (00.00 WIB / 02.00 WIT); customer.name, .salutation, .called (Ibu Siti),
.greeting (Halo, Ibu Siti!), .tier, .city, .points, .points_words (1.240); of the first offer, or of each in offers,
offer.title, .body, .benefit (Diskon 20%), .terms, .summary, .min_spend, .max_discount, .scope, .quota, .until,
.until_short, .chosen, .url and .picks.
"""

import json
import re
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import mrml
from jinja2 import Template

from campaigns.content import LIMITS, Content, Names, compile_texts, fill, sources
from campaigns.firing import in_phase
from campaigns.message import Context, Sender, message_context, sample_contexts
from campaigns.sandbox import Sandbox, template_faults
from campaigns.spec import Campaign, load_campaign
from campaigns.tables import CampaignError
from campaigns.words import POLITE, languages, load_words, shorten

__all__ = [
    "Content", "Context", "Email", "Push", "Sender",
    "check_content", "compile_content", "message_context", "render_email", "render_push",
]  # fmt: skip

MOST_HTML_BYTES = 100_000  # above, mail programs clip the end, where one unsubscribes
MOST_PUSH_BYTES = 4_096
# what a campaign's texts may name; those of an offer cannot name offers
FIELDS = ("customer", "shop", "date", "starts", "offer", "offers")
_GAP = "\u034f\u200c\u00a0" * 60  # keeps what follows the preheader out of the inbox list
_SAMPLE_DAY = datetime(2017, 12, 11, 17, tzinfo=UTC)


_SAMPLE = """
id: sample
name: Sample
schedule: {occasion: always}
window_days: 1
channels: {email: {capacity: 1, placements: {hero: 1}}}
budgets: {retailer: 1}
offers:
  - id: sample
    benefit: {kind: amount_off, amount: 1}
    scope: {everything: true}
    uplift: 0
    text: {id: {title: …}}
content: {id: {subject: …, heading: …, intro: …}}
"""


class Email(NamedTuple):
    subject: str
    html: str
    text: str


class Push(NamedTuple):
    title: str
    body: str
    payload: str  # JSON as FCM takes it, without a token


def compile_content(campaign: Campaign, names: Names = MappingProxyType({})) -> Content:
    """names: language → category path → what readers of the language call it.

    Raises CampaignError with one line for each fault that check_content finds.
    """
    if faults := check_content(campaign):
        raise CampaignError("\n".join(faults))
    return compile_texts(campaign, names=names)


def check_content(campaign: Campaign) -> list[str]:
    """What is wrong with the campaign's texts, one line each with file, key, language and field.

    Every text is read, then every offer is rendered for made-up customers.
    """
    faults = [
        f"content.{language}: there are no system words in this language; "
        + (f"write {POLITE[language]}" if language in POLITE else f"expected {' or '.join(languages())}")
        for language in campaign.content
        if language not in languages()
    ]
    faults += [
        f"offers.{offer.id}.text.{language}: is missing; content speaks {language}, so each offer must"
        for offer in campaign.offers
        for language in campaign.content
        if language not in offer.text
    ]
    if not faults:
        for phase in campaign.phases or ("",):
            there = in_phase(campaign, phase)
            faults += [_placed(campaign, phase, fault) for fault in _text_faults(there) or _sample_faults(there)]
    return [f"{campaign.id}.yaml: {fault}" for fault in dict.fromkeys(faults)]


def _placed(campaign: Campaign, phase: str, fault: str) -> str:
    """A fault of a phase's own words names the phase."""
    where, colon, words = fault.partition(": ")
    kind, _, rest = where.partition(".")
    language, _, key = rest.partition(".")
    content = campaign.content.get(language) if kind == "content" else None
    own = content.phases.get(phase) if content else None
    return f"content.{language}.phases.{phase}.{key}{colon}{words}" if getattr(own, key, None) else fault


def _text_faults(campaign: Campaign) -> list[str]:
    faults = []
    for language in campaign.content:
        known, known_to_offer = known_fields(bool(campaign.offers))
        for where, text in sources(campaign, language):
            fields = known_to_offer if where.startswith("offers.") else known
            faults += [f"{where}: {words}" for words in template_faults(text, fields)]
    return faults


@cache
def known_fields(offering: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sample values of what a campaign's content may name, and of what an offer's words may."""
    campaign = load_campaign(Path("sample.yaml"), _SAMPLE)
    stand_in = compile_texts(campaign if offering else campaign.model_copy(update={"offers": ()}), stand_in="…")
    sample = sample_contexts(stand_in, "id", _SAMPLE_DAY)[0]
    known = {field: sample[field] for field in FIELDS}
    own = {key: value for key, value in sample["offer"].items() if key not in ("title", "body")}
    return known, {**{field: sample[field] for field in FIELDS if field != "offers"}, "offer": own}


def _sample_faults(campaign: Campaign) -> list[str]:
    content = compile_texts(campaign)
    faults: dict[str, None] = {}
    for language in campaign.content:
        try:
            for context in sample_contexts(content, language, _SAMPLE_DAY):
                render_email(content, context)
                render_push(content, context)
        except CampaignError as error:
            faults[str(error).removeprefix(f"{campaign.id}.yaml: ")] = None
    return list(faults)


def render_email(content: Content, context: Context) -> Email:
    """Raises CampaignError where a text fails on this context or the HTML is above 100,000 bytes; TypeError where the
    context holds anything but dict, list, str and int."""
    _refuse_objects(context)
    fields = content.languages[context["language"]].fields
    said = {key: fill(fields[key], context) for key in ("subject", "preheader", "heading", "intro")}
    html_template, text_template = _mail_templates(context["language"])
    html = html_template.render(context, **said)
    if 4 * len(html) > MOST_HTML_BYTES and len(html.encode()) > MOST_HTML_BYTES:
        raise CampaignError(
            f"{content.campaign}.yaml: channels.email.placements: a mail of {len(html.encode()):,} bytes, more than "
            f"{MOST_HTML_BYTES:,}; lower the number of offers"
        )
    return Email(said["subject"], html, text_template.render(context, **said))


def render_push(content: Content, context: Context) -> Push:
    """The campaign's words, cut to make room for the first offer's terms. Raises as render_email does."""
    _refuse_objects(context)
    fields, offer = content.languages[context["language"]].fields, context["offer"]
    title = fill(fields["push_title"], context)
    words = fill(fields["push_body"], context)
    if not offer:
        return _push(content, context, title, words, {"url": context["shop_url"]})
    benefit = "conditions" if offer["benefit"].casefold() in f"{title} {words}".casefold() else "summary"
    parts = (offer[benefit], offer["code_words"], offer["until_short"], offer["quota"])
    terms = ". ".join(part for part in parts if part) + "."
    room = LIMITS["push_body"] - len(terms) - 1
    body = shorten(f"{shorten(words, room)} {terms}".strip() if room > 20 else terms, LIMITS["push_body"])
    code = {"code": offer["code"]} if offer["code"] else {}
    return _push(content, context, title, body, {"offer": offer["id"], "url": offer["url"], **code})


def _push(content: Content, context: Context, title: str, body: str, data: dict[str, str]) -> Push:
    """data: for the app, to which is added why the push came and where it is stopped; the app shows them on request."""
    stop = {"unsubscribe": context["unsubscribe_url"]} if context["unsubscribe_url"] != "#" else {}
    message = {
        "notification": {"title": title, "body": body},
        "data": {"campaign": content.campaign, **data, "why": context["why"], **stop},
        # sent again by mistake, it replaces the first on the device
        "android": {"collapse_key": content.campaign, "notification": {"tag": content.campaign}},
        "apns": {"headers": {"apns-collapse-id": content.campaign}},
    }
    payload = json.dumps({"message": message}, ensure_ascii=False, separators=(",", ":"))
    if len(payload.encode()) > MOST_PUSH_BYTES:
        raise CampaignError(
            f"{content.campaign}.yaml: a push of more than {MOST_PUSH_BYTES} bytes; shorten the shop's address"
        )
    return Push(title, body, payload)


@cache
def _mail_templates(language: str) -> tuple[Template, Template]:
    html, text, shared = mail_sources(language)
    return (
        Sandbox(html=True, limited=False).from_string(html, globals=shared),
        Sandbox(html=False, limited=False).from_string(text, globals=shared),
    )


def mail_sources(language: str) -> tuple[str, str, dict[str, Any]]:
    """The jinja2 templates of HTML and text, and what they name beside the context: the words of the language.

    The MJML becomes HTML here.
    """
    folder = files("campaigns") / "templates"
    mjml, no_web_fonts = (folder / "email.mjml").read_text(encoding="utf-8"), mrml.RenderOptions(fonts={})
    html = re.sub(r"\s*\n\s*", "\n", mrml.to_html(mjml, None, no_web_fonts).content)
    text = (folder / "email.txt").read_text(encoding="utf-8")
    return html, text, {"words": load_words(language)["labels"], "gap": _GAP}


def _refuse_objects(context: Any) -> None:
    """Only plain values reach a template: nothing in them can be called or pass for escaped HTML."""
    seen: set[int] = set()  # an offer stands in several places
    waiting: list[tuple[Any, str]] = [(context, "context")]
    while waiting:
        whole, where = waiting.pop()
        if id(whole) in seen:
            continue
        seen.add(id(whole))
        kind = type(whole)
        if kind is dict:
            for name, value in whole.items():
                if type(value) is not str and type(value) is not int:
                    waiting.append((value, name))
        elif kind is list:
            waiting += [(value, where) for value in whole if type(value) is not str and type(value) is not int]
        else:
            raise TypeError(f"{where}: expected dict, list, str or int, got {kind.__name__}")
