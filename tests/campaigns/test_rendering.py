import json
import re
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, TemplateError
from jinja2.sandbox import SecurityError

from campaigns.content import Text, fill
from campaigns.rendering import Sender, check_content, compile_content, message_context, render_email, render_push
from campaigns.sandbox import Sandbox, template_faults, within_limits
from campaigns.spec import Campaign
from campaigns.tables import CampaignError
from campaigns.words import one_line

ITEMS = {
    "kopi": {"title": "Kopi Bubuk Robusta 200 g", "brand": "Sari Murni", "price": 24_500, "url": "https://toko.example/kopi"},
    "teh": {"title": "Teh Melati", "price": 1_234_567, "image_url": "https://toko.example/teh.jpg"},
    "rokok": {"title": "Rokok Kretek", "price": 30_000, "restriction": "tobacco"},
}  # fmt: skip
LARISMA_MART = Sender("Larisma Mart", "https://toko.example", "Jl. Kebon Sirih 12")
SITI = {"name": "Siti", "salutation": "Ibu", "language": "id", "timezone": "Asia/Makassar"}


def campaign(*, content=None, offers=None, **texts):
    words = {"id": {"title": "Kopi pagi", "body": "Untuk sebulan."}, "en": {"title": "Morning coffee"}}
    shared = {"scope": {"categories": ["Kopi"]}, "uplift": 0.3, "text": words}
    discount = {"kind": "percent_off", "percent": 20.0, "max_discount": 30_000}
    return Campaign.model_validate(
        {
            "id": "harbolnas",
            "name": "Harbolnas",
            "schedule": {"occasion": "harbolnas"},
            "window_days": 14,
            "budgets": {"retailer": 1_000_000},
            "channels": {"email": {"capacity": 9, "placements": {"hero": 1, "grid": 2}}},
            "offers": offers
            or [
                {**shared, "id": "kopi", "benefit": discount, "min_spend": 50_000, "quota": {"redeemed": 9}},
                {**shared, "id": "ongkir", "benefit": {"kind": "free_shipping", "amount": 20_000}},
                {**shared, "id": "poin", "benefit": {"kind": "points_multiplier", "factor": 2.0}},
            ],
            "content": content or {"id": texts, "en": {}},
        }
    )


CONTENT = compile_content(campaign(heading="Halo {{ customer.called }}"))


def decision(offer_id="kopi", placement="hero", position=1, item_ids=("kopi", "teh"), **more):
    place = {"channel": "push" if placement == "push" else "email", "placement": placement, "position": position}
    return {"offer_id": offer_id, **place, "item_ids": list(item_ids), **more}


def context_of(
    customer=SITI,
    decisions=None,
    items=ITEMS,
    content=CONTENT,
    sender=LARISMA_MART,
):
    return message_context(
        content,
        customer,
        decisions or [decision(), decision("ongkir", "grid", 1), decision("poin", "grid", 2, [])],
        items,
        sender=sender,
        sent_at=datetime(2017, 12, 11, 17, tzinfo=UTC),
        until=datetime(2017, 12, 24, 17, tzinfo=UTC),
        unsubscribe_url="https://toko.example/stop/abc",
    )


def email_of(*args, content=CONTENT, **named):
    return render_email(content, context_of(*args, content=content, **named))


def push_of(customer=SITI, *, content=CONTENT, **named):
    return render_push(content, context_of(customer, [decision(placement="push")], content=content, **named))


class Page(HTMLParser):
    """What a mail program would show, link to and load."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.links, self.images, self.tags, self.hidden = [], [], [], set(), False
        self.attributes = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.hidden = tag in ("style", "title", "xml")
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value for name, value in attrs if name == "href"]
        self.images += [value for name, value in attrs if name == "src"]

    def handle_endtag(self, tag):
        self.hidden = False

    def handle_data(self, data):
        if not self.hidden:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


# --- what a message says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "phrases"),
    [
        ("id", ["Halo Ibu Siti", "Kopi pagi", "20%", "Min. belanja Rp50.000", "maks. Rp30.000",
                "Selama kuota masih ada", "25 Desember 2017 pukul 00.59 WITA", "Rp1.234.567", "Dipilih untuk Anda",
                "Anda menerima email ini karena Anda pelanggan Larisma Mart", "Berhenti berlangganan", "Kebon Sirih"]),
        ("en", ["Hello, Siti!", "Morning coffee", "20%", "Min. spend Rp50.000", "Rp30.000", "While quota lasts",
                "Until Monday, 25 December 2017, 00:59 WITA", "Rp1.234.567", "Chosen for you",
                "You receive this email because you are a customer of Larisma Mart", "Unsubscribe", "Kebon Sirih"]),
    ],
)  # fmt: skip
def test_a_mail_says_offer_terms_end_quota_reason_and_how_to_stop(language, phrases):
    email = email_of({**SITI, "language": language})
    page = Page(email.html)
    for shown in (page.text, " ".join(email.text.split())):
        assert [phrase for phrase in phrases if phrase.casefold() not in shown.casefold()] == []
    assert "https://toko.example/stop/abc" in page.links
    assert "https://toko.example/stop/abc" in email.text


def test_a_mail_is_whole_small_and_knows_the_dark():
    html = email_of().html
    assert len(html.encode()) <= 100_000
    assert "prefers-color-scheme: dark" in html
    assert '<meta name="color-scheme" content="light dark" />' in html
    assert 'lang="id"' in html
    assert not re.search(r"\{\{|\{%|Undefined", html)


def test_images_are_loaded_only_where_an_item_has_one():
    assert Page(email_of().html).images == ["https://toko.example/teh.jpg"]
    assert Page(email_of(decisions=[decision(item_ids=["kopi"])]).html).images == []


def test_without_images_and_without_the_style_sheet_an_initial_stands_on_a_tile_of_its_own():
    html = re.sub(r"<style.*?</style>", "", email_of().html, flags=re.DOTALL)
    tiles = re.findall(r'<(?:div|img)[^>]*class="tile"[^>]*>', html)
    assert len(tiles) == 2
    assert all("background:#efe8dc" in tile and "width:48px" in tile for tile in tiles)
    assert [re.search(r'alt="(.)"', tile)[1] for tile in tiles if tile.startswith("<img")] == ["T"]


def test_a_button_is_text_on_a_coloured_cell():
    html = email_of().html
    cell = re.search(r"<td[^>]*bgcolor=\"#ffc247\"[^>]*>(.*?)</td>", html, re.DOTALL)
    assert "Belanja sekarang" in cell[1]
    assert 'href="https://toko.example?utm_source=larisma' in cell[1].replace("&amp;", "&")


def test_offers_stand_in_the_order_of_their_places():
    rows = [decision("poin", "grid", 2), decision("ongkir", "grid", 1), decision("kopi", "hero", 1)]
    context = context_of(decisions=rows)
    assert [offer["id"] for offer in context["offers"]] == ["kopi", "ongkir", "poin"]
    assert context == context_of(decisions=rows[::-1])


def test_without_a_hero_the_first_offer_takes_its_place():
    context = context_of(decisions=[decision("poin", "grid", 2), decision("ongkir", "grid", 1)])
    assert [offer["id"] for offer in context["hero"]] == ["ongkir"]


def test_the_reason_names_a_bought_item_but_none_that_one_does_not_speak_of():
    bought = context_of(decisions=[decision(because=["rokok", "gone", "kopi"])])
    assert bought["offer"]["chosen"] == "Karena Anda pernah membeli Kopi Bubuk Robusta 200 g"
    assert context_of(decisions=[decision(because=["rokok"])])["offer"]["chosen"] == "Dipilih untuk Anda"


@pytest.mark.parametrize(
    ("reason", "because", "language", "said"),
    [
        ("repeat:24:22", ["kopi"], "id", "Anda membeli Kopi Bubuk Robusta 200 g kira-kira setiap 24 hari"),
        ("repeat:24:22", ["kopi"], "en", "You buy Kopi Bubuk Robusta 200 g about every 24 days"),
        ("repeat", ["kopi"], "id", "Karena Anda pernah membeli Kopi Bubuk Robusta 200 g"),
        ("repeat:24:22", ["rokok"], "id", "Dipilih untuk Anda"),
        ("popular:tier=gold&city=Bandung&age=25-34", [], "id", "Populer di kalangan anggota gold di Bandung"),
        ("popular:tier=gold", [], "en", "Popular with gold members"),
        ("popular:age=25-34", [], "id", "Dipilih untuk Anda"),
        ("popular", [], "id", "Dipilih untuk Anda"),
    ],
)
def test_the_reason_tells_the_rhythm_of_a_repeat_or_whom_an_item_is_popular_with(reason, because, language, said):
    row = {**decision(because=because), "reason": reason}
    assert context_of({**SITI, "language": language}, decisions=[row])["offer"]["chosen"] == said


def test_items_of_one_name_stand_once_in_a_mail():
    goods = {name: {"title": title, "price": 1} for name, title in (("a", "Kopi"), ("b", " KOPI "), ("c", "Teh"))}
    rows = [
        decision(item_ids=["a", "b"]),
        decision("ongkir", "grid", 1, ["b", "c", "a"]),
        decision("poin", "grid", 2, []),
    ]
    context = context_of(decisions=rows, items=goods)
    assert [[pick["title"] for pick in offer["picks"]] for offer in context["offers"]] == [["Kopi"], ["Teh"], []]


def test_a_mail_speaks_of_prices_only_where_it_shows_one():
    assert "Harga per 12 Desember 2017" in email_of().text
    assert "Harga per" not in email_of(decisions=[decision(item_ids=[])]).text
    assert "Harga per" not in email_of(items={"kopi": {"title": "Kopi"}}).text


def test_items_that_are_not_known_are_left_out():
    context = context_of(decisions=[decision(item_ids=["gone", "teh"])])
    assert [pick["title"] for pick in context["offer"]["picks"]] == ["Teh Melati"]


@pytest.mark.parametrize("language", [None, "", "jv", "jv-krama", "jv-ngoko", "su-lemes", "xx", "ID"])
def test_a_language_without_texts_is_indonesian(language):
    context = context_of({**SITI, "language": language})
    assert context["language"] == "id"
    assert "Berhenti berlangganan" in render_email(CONTENT, context).text


@pytest.mark.parametrize("language", ["id", "en"])
def test_no_text_is_missing_where_the_campaign_says_nothing(language):
    silent = compile_content(campaign(content={"id": {}, "en": {}}))
    for customer in ({"language": language}, {**SITI, "language": language}):
        email, push = email_of(customer, content=silent), push_of(customer, content=silent)
        assert all([email.subject, email.text, push.title, push.body])
        assert not re.search(r"None|\(\)|  |\{|^[\s,.]", email.subject + push.title + push.body)


def test_the_same_values_give_the_same_bytes():
    assert email_of() == email_of()


# --- push ------------------------------------------------------------------------------------------------------------


def test_a_push_holds_title_body_and_where_it_leads_but_no_token():
    push = push_of({**SITI, "push_tokens": ["secret-token"]})
    message = json.loads(push.payload)["message"]
    assert message["notification"] == {"title": push.title, "body": push.body}
    assert message["data"].keys() == {"campaign", "offer", "url", "why", "unsubscribe"}
    assert message["data"]["why"].startswith("Anda menerima notifikasi ini karena Anda pelanggan Larisma Mart")
    assert message["data"]["unsubscribe"] == "https://toko.example/stop/abc"
    assert message["android"]["collapse_key"] == "harbolnas"
    assert "token" not in push.payload


def test_a_push_keeps_its_terms_however_long_its_words():
    push = push_of(content=compile_content(campaign(push_body="Kopi pagi yang hangat " * 20)))
    assert len(push.body) <= 240
    assert push.body.replace("\xa0", " ").endswith(
        "… Diskon 20%, maks. Rp30.000, min. belanja Rp50.000. Sampai 25 Des 2017 00.59 WITA. Selama kuota masih ada."
    )


def test_a_push_does_not_say_the_benefit_twice():
    push = push_of(
        content=compile_content(campaign(push_title="{{ offer.benefit }}", push_body="Untuk {{ customer.called }}."))
    )
    assert (push.title + push.body).count("Diskon 20%") == 1


WORDY = compile_content(
    campaign(push_title="{{ customer.name }} {{ customer.name }}", push_body="{{ customer.name }} " * 5)
)


@settings(max_examples=60)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300),
    st.sampled_from(["", "\\" * 900, "é" * 900]),
)
def test_a_push_keeps_within_its_limits(name, path):
    sender = Sender("Toko", "https://toko.example/" + path)
    push = push_of({"name": name}, content=WORDY, sender=sender)
    assert len(push.title) <= 65
    assert len(push.body) <= 240
    assert len(push.payload.encode()) <= 4_096


# --- people and data -------------------------------------------------------------------------------------------------

NAMES = [
    """O'Neil "Bos" <b>&amp;</b>""",
    "Siti 🎉👩‍👩‍👧 Nurhaliza",
    "محمد عبد الرحمن",
    "Wirjodiningrat" * 20,
    "Budi\r\nBcc: a@b.example",
    "Budi\u2028\u2029\x85\x0b\x1c\x00Santoso",
    "Bu\u202edi",
    "X",
    " ",
    "{{ shop }}{% for i in offers %}{{ i }}{% endfor %}",
    "'; DROP TABLE customers; --",
    "-->]]></style><script>alert(1)</script>",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_laid_out_and_escaped(name):
    email, push = email_of({**SITI, "name": name}), push_of({**SITI, "name": name})
    page, usual = Page(email.html), Page(email_of().html)
    assert page.tags == usual.tags
    assert page.attributes == usual.attributes
    assert page.links == usual.links
    assert len(email.subject) <= 120
    for line in (email.subject, push.title, push.body):
        assert len(line.splitlines()) == 1
        assert line.count("\u2068") == line.count("\u2069")
    assert len(email.html.encode()) <= 100_000


DATA_PAYLOADS = [
    "{{ 7*7 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for x in range(10**9) %}x{% endfor %}",
    "{{ self.__init__.__globals__ }}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{# comment #}",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' style='background:url(//evil.example)",
    "</title><meta http-equiv=refresh content=0>",
    "<!--[if mso]><iframe src=//evil.example><![endif]-->",
    "%(shop)s{0.__class__}{shop}",
    "&lt;script&gt;",
    "{{ config.items() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ request['application']['__globals__'] }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ ().__class__|attr('__base__') }}",
    "{{ shop.__init__ }}",
    "{{ customer }}",
    "{{ offers }}",
    "{{ 'a' * 400000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{%- include '/etc/passwd' -%}",
    "{% import 'os' as os %}{{ os.system('id') }}",
    "{% extends '/etc/passwd' %}",
    "{% set shop = 'evil' %}",
    "{% raw %}{{ 7*7 }}{% endraw %}",
    "{% endraw %}{{ 7*7 }}",
    "{% endfor %}{{ 7*7 }}",
    "{% macro x() %}{{ x() }}{% endmacro %}",
    "{#{{ 7*7 }}#}",
    "{{{{ 7*7 }}}}",
    "{{{7*7}}}",
    "#set($x=7*7)$x",
    "${T(java.lang.Runtime).getRuntime().exec('id')}",
    "${{<%[%'\"}}%\\",
    "*{7*7}",
    "@(7*7)",
    "[[${7*7}]]",
    "<#assign x=7*7>${x}",
    "{php}echo 49;{/php}",
    "{offer}{summary}{called}{salutation}{name}",
    "{name!r:>999999}",
    "{0[__class__]}{called.__class__}",
    "%(name)999999s%n%n",
    "%s%s%s%d%x",
    "<mj-raw>{{ 7*7 }}</mj-raw>",
    '</mj-text><mj-include path="/etc/passwd" />',
    "<style>*{display:none}</style>",
    "<svg/onload=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil.example><input name=x>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<object data=//evil.example></object>",
    "</td></tr></table><h1>x</h1>",
    "]]><script>alert(1)</script>",
    "\\u003cscript\\u003ealert(1)",
    "javascript:alert(1)//https://",
    "=cmd|' /C calc'!A0",
    "a\r\nBcc: all@evil.example",
    "a\u2028Bcc: all@evil.example",
    "\x00\x1b[31mred",
]


@pytest.mark.parametrize("payload", DATA_PAYLOADS)
def test_data_is_never_run_nor_markup(payload):
    everywhere = dict.fromkeys(("name", "salutation", "language", "timezone", "tier", "city"), payload)
    items = {"kopi": dict.fromkeys(("title", "brand", "image_url", "url", "category"), payload) | {"price": 5}}
    email = email_of(everywhere, items=items, sender=Sender(payload, "https://toko.example", payload))
    page, usual = Page(email.html), Page(email_of(items={"kopi": {"title": "K", "brand": "B", "price": 5}}).html)
    assert page.tags == usual.tags
    assert page.attributes == usual.attributes
    assert page.links == usual.links
    assert page.images == []
    shown = " ".join(one_line(payload).split())
    assert shown[:12] in page.text  # shown as it is, and no more


def test_there_are_sixty_payloads_in_data_and_sixty_in_templates():
    assert len(set(DATA_PAYLOADS)) >= 60
    assert len(set(TEMPLATE_PAYLOADS)) >= 60


@pytest.mark.parametrize("payload", DATA_PAYLOADS)
def test_data_in_a_push_is_no_more_than_its_letters(payload):
    everywhere = dict.fromkeys(("name", "salutation", "tier", "city"), payload)
    content = compile_content(campaign(push_title="{{ customer.name }}", push_body="{{ customer.city }}"))
    push = push_of(everywhere, content=content, sender=Sender(payload, "https://toko.example"))
    usual = json.loads(push_of(content=content).payload)["message"]
    message = json.loads(push.payload)["message"]
    assert message["notification"]["title"] == push.title
    assert one_line(payload)[:20].strip() in push.title
    assert {key: sorted(part) for key, part in message.items()} == {key: sorted(part) for key, part in usual.items()}
    assert message["data"]["url"] == usual["data"]["url"]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https://a b",
        'https://a"b',
        "https://" + "a" * 2_000,
    ],
)
def test_an_address_that_is_not_plain_https_is_not_linked(url):
    page = Page(email_of(items={"kopi": {"title": "Kopi", "url": url, "image_url": url}}).html)
    assert all(link.startswith("https://toko.example") for link in page.links)
    assert page.images == []


@pytest.mark.parametrize("value", [1.5, None, object(), datetime(2017, 1, 1, tzinfo=UTC), {1}, (1,), True, len])
def test_a_context_holds_plain_values_alone(value):
    context = context_of()
    context["offer"]["more"] = value
    with pytest.raises(TypeError, match="more: expected dict, list, str or int"):
        render_email(CONTENT, context)
    with pytest.raises(TypeError, match="more"):
        render_push(CONTENT, context)


def test_escaped_text_cannot_be_smuggled_in():
    from markupsafe import Markup

    context = context_of()
    context["shop"] = Markup("<b>")
    with pytest.raises(TypeError, match=r"shop: expected .*, got Markup"):
        render_email(CONTENT, context)


# --- campaigns' texts ------------------------------------------------------------------------------------------------

TEMPLATE_PAYLOADS = [
    "{{ ''.__class__ }}",
    "{{ customer.__class__.__mro__ }}",
    "{{ customer['__class__'] }}",
    "{{ customer|attr('__class__') }}",
    "{{ customer.items() }}",
    "{{ customer.clear() }}",
    "{{ offers.append(1) }}",
    "{{ customer.pop }}",
    "{{ 'a' * 400000000 }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 10000000000 ** 16 }}",
    "{{ '%0999999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ '%s'|format(shop) }}",
    "{{ [1] * 100000000 }}",
    "{{ offers + offers }}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for a in offers %}{% for b in offers %}x{% endfor %}{% endfor %}",
    "{% for a in 'aaaaaaaaaa' %}x{% endfor %}",
    "{% for a in offers recursive %}{{ loop(offers) }}{% endfor %}",
    "{% set x = shop ~ shop %}{{ x }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include 'email.txt' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends 'x' %}",
    "{% block x %}{{ super() }}{% endblock %}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum(n=100000) }}",
    "{{ namespace(a=1) }}",
    "{{ joiner._undefined }}",
    "{{ request.application }}",
    "{{ config }}",
    "{{ shop|map('upper')|list }}",
    "{{ shop|replace('a', 'bbbbbbbbbb') }}",
    "{{ shop|center(100000000) }}",
    "{{ shop|indent(100000000) }}",
    "{{ shop|wordwrap(1)|safe }}",
    "{{ shop|tojson }}",
    "{{ offers|pprint }}",
    "{{ offers }}",
    "{{ customer }}",
    "{% filter upper %}x{% endfilter %}",
    "{% call shop() %}{% endcall %}",
    "{% with a = shop %}{{ a }}{% endwith %}",
    "{% autoescape false %}{{ shop }}{% endautoescape %}",
    "{{ unsubscribe_url }}",
    "{{ 1 // 0 }}",
    "{{ -shop }}",
    "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
    "{% if 1 %}" * 150 + "x" + "{% endif %}" * 150,
    "{{ x",
    "{% endfor %}",
    "x" * 2_001 + "{{ shop }}",
    "{{ offers|sum(attribute='points') }}",
    "{{ shop|e|string|batch(2) }}",
    "{{ ''['__cla' ~ 'ss__'] }}",
    "{{ offers|groupby('id')|first|attr('__class__') }}",
    "{{ customer|xmlattr }}",
    "{{ dict(a=1) }}{{ range(9) }}",
    "{% trans %}x{% endtrans %}",
    "{% do offers.append(1) %}",
    "{{ caller() }}{{ varargs }}",
    "{{ loop.index }}",
    "{{ offer.picks }}",
]


@pytest.mark.parametrize("payload", TEMPLATE_PAYLOADS, ids=range(len(TEMPLATE_PAYLOADS)))
def test_a_text_that_does_more_than_say_fields_is_refused(payload):
    texts = campaign().content["id"].model_copy(update={"subject": payload})
    refused = campaign().model_copy(update={"content": {"id": texts}})
    faults = check_content(refused)
    assert faults
    assert all(fault.startswith("harbolnas.yaml: content.id.subject: ") for fault in faults)
    with pytest.raises(CampaignError):
        compile_content(refused)


@pytest.mark.parametrize("payload", TEMPLATE_PAYLOADS, ids=range(len(TEMPLATE_PAYLOADS)))
def test_the_environment_alone_lets_nothing_out(payload):
    context = {"shop": "Toko", "customer": {"name": "Siti"}, "offers": [{"id": "kopi"}]}
    try:
        said = Sandbox(html=False).from_string(payload).render(context)
    except (TemplateError, RecursionError, SyntaxError, TypeError, ZeroDivisionError):
        return
    assert len(said) < 5_000
    assert not re.search(r"<(class|module|function|bound method|built-in)|/etc|root:", said)


@pytest.mark.parametrize(
    "text",
    [
        "{{ customer.called }}, {{ shop }}, {{ date }}",
        "{% if customer.tier == 'gold' %}Emas{% elif customer.points >= 100 * 2 %}Poin{% else %}-{% endif %}",
        "{{ customer.city|default('Indonesia')|upper }}",
        "{% for offer in offers if offer.quota %}{{ offer.title }}{% endfor %}",
        "{{ offers[0].title }} {{ offers|length }} {{ offer['until'] }}",
        "{{ 'Bu' if customer.salutation in ('Ibu', 'Mbak') else 'Kak' }} {{ 2 ** 10 }} 100% {# aside #}",
        "Kurung kurawal } { biasa",
    ],
)
def test_plain_texts_pass(text):
    assert check_content(campaign(subject=text)) == []


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ({"subject": "{{ custmer.name }}"}, "content.id.subject: unknown field custmer; did you mean customer?"),
        (
            {"intro": "{{ customer.nmae }}"},
            "content.id.intro: unknown field customer.nmae; did you mean customer.name?",
        ),
        (
            {"heading": "{% if customer.tier == 'x' %}{{ offer.tile }}{% endif %}"},
            "content.id.heading: unknown field offer.tile; did you mean offer.title?",
        ),
        ({"push_body": "{{ customer.points / 0 }}"}, "content.id.push_body: division by zero"),
        (
            {"preheader": "{% for o in offers %}{{ o.ttle }}{% endfor %}"},
            "content.id.preheader: unknown field o.ttle; did you mean o.title?",
        ),
    ],
)
def test_a_fault_names_file_key_language_and_field(texts, fault):
    assert check_content(campaign(**texts)) == [f"harbolnas.yaml: {fault}"]


def test_every_faulty_text_is_reported_at_once():
    faulty = campaign(content={"id": {"subject": "{{ a }}", "intro": "{{ b }}"}, "en": {"heading": "{{ c }}"}})
    with pytest.raises(CampaignError) as caught:
        compile_content(faulty)
    assert re.findall(r"harbolnas\.yaml: (content\.\w+\.\w+): unknown field (\w)", str(caught.value)) == [
        ("content.id.subject", "a"), ("content.id.intro", "b"), ("content.en.heading", "c"),
    ]  # fmt: skip


def test_an_offers_text_may_name_its_terms_but_not_itself():
    base = campaign().offers[0].model_dump(mode="json", exclude_none=True)
    words = {"title": "{{ offer.benefit }} {{ offer.until }}"}
    speaking = campaign(offers=[{**base, "text": {"id": words, "en": words}}])
    assert check_content(speaking) == []
    looping = campaign(offers=[{**base, "text": {"id": {"title": "{{ offer.title }}"}}}], content={"id": {}})
    assert check_content(looping)[0].startswith("harbolnas.yaml: offers.kopi.text.id.title: unknown field offer.title")


def test_a_language_must_be_spoken_by_every_offer_and_by_the_system():
    base = campaign().offers[0].model_dump(mode="json", exclude_none=True)
    mute = campaign(offers=[{**base, "text": {"id": {"title": "Kopi"}}}])
    assert check_content(mute) == [
        "harbolnas.yaml: offers.kopi.text.en: is missing; content speaks en, so each offer must"
    ]
    assert check_content(campaign(content={"id": {}, "tlh": {}}))[0].startswith(
        "harbolnas.yaml: content.tlh: there are no"
    )
    assert check_content(campaign(content={"id": {}, "jv-krama": {}}))[0].endswith("; write jv")


def test_a_mail_that_would_be_clipped_is_an_error():
    many = [decision("ongkir", "grid", position) for position in range(1, 60)]
    with pytest.raises(CampaignError, match=r"harbolnas\.yaml: channels\.email\.placements: a mail of .* bytes"):
        email_of(decisions=[decision(), *many])


# --- the sandbox -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["{{ 'a' * 5 }}", "{{ 2 ** 17 }}", "{{ 10 ** 15 * 10 ** 15 * 2 }}", "{{ shop() }}", "{{ 'a' + 'b' }}"]
)
def test_the_environment_refuses(text):
    with pytest.raises(SecurityError):
        Sandbox(html=False).from_string(text).render(shop="Toko")


def test_the_environment_renders_plain_fields_as_jinja_does():
    text = "{% for o in offers %}{{ o.title|upper }} {{ o.n + 1 }} {{ o.tags[0] }};{% endfor %}"
    values = {"offers": [{"title": "<kopi>", "n": 1, "tags": ["x"]}, {"title": "teh", "n": 2, "tags": ["y"]}]}
    plain = Environment(autoescape=True).from_string(text).render(values)
    assert Sandbox(html=True).from_string(text).render(values) == plain == "&lt;KOPI&gt; 2 x;TEH 3 y;"


ENDLESS = [{"title": "x" * 100, "empty": ""}] * 1_000_000


def test_a_text_that_grows_without_end_is_stopped():
    with pytest.raises(SecurityError, match="more than 250,000 characters"):
        Sandbox(html=False).from_string("{% for o in offers %}{{ o.title }}{% endfor %}").render(offers=ENDLESS)


def test_a_text_that_takes_too_long_is_stopped_and_named():
    sandbox = Sandbox(html=False)
    sandbox.concat = partial(within_limits, seconds=0.02)
    slow = sandbox.from_string("{% for o in offers %}{{ o.empty }}{{ 2 ** 9 // 1000 or '' }}{% endfor %}")
    with pytest.raises(CampaignError, match=r"promo\.yaml: heading: a text that takes more than 0\.02 s of"):
        fill(Text("promo.yaml: heading", 120, None, slow), {"offers": ENDLESS})


def test_time_is_looked_at_while_a_text_is_made_and_at_its_end():
    taken = []
    parts = (taken.append(part) or part for part in "x" * 1000)
    with pytest.raises(SecurityError, match="more than 0 s"):
        within_limits(parts, seconds=0)
    assert len(taken) < 1000
    with pytest.raises(SecurityError, match="more than 0 s"):
        within_limits(["x"], seconds=0)
    assert within_limits(["a", "b"]) == "ab"


@given(st.text(max_size=200))
def test_any_text_is_judged_without_a_crash(text):
    for template in (text, "{{ " + text + " }}", "{% " + text + " %}"):
        assert isinstance(template_faults(template, {"shop": "Toko"}), list)


def test_a_price_is_struck_through_where_there_is_a_reference_alone():
    marked = email_of(items={**ITEMS, "kopi": {**ITEMS["kopi"], "was": 30_000}})
    assert ">Rp30.000</s>" in marked.html
    assert "(sebelumnya Rp30.000)" in marked.text
    plain = email_of()
    assert "<s " not in plain.html
    assert "sebelumnya" not in plain.text


def test_a_code_is_said_in_the_mail_and_in_the_push_and_nothing_stands_in_for_a_missing_one():
    coded = [decision(code="NGOPI-1"), decision("ongkir", "grid", 1, code="KIRIM-2"), decision("poin", "grid", 2, [])]
    email = email_of(decisions=coded)
    assert "NGOPI-1" in email.html
    assert "Kode: KIRIM-2." in email.text
    push = render_push(CONTENT, context_of(decisions=[decision(placement="push", code="NGOPI-1")]))
    assert "Kode: NGOPI-1" in push.body
    assert json.loads(push.payload)["message"]["data"]["code"] == "NGOPI-1"
    assert "Kode" not in email_of().text
    assert "Kode" not in push_of().body
