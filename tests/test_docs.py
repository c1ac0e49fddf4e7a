"""What the README and the pages promise: every command parses, every example loads."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from campaigns.marked_yaml import read_yaml
from campaigns.schedule import Schedule
from campaigns.spec import load_campaign
from flows.cli import app
from flows.new_campaign import presets
from flows.settings import Settings

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEXT = {page.name: page.read_text(encoding="utf-8") for page in PAGES}


def blocks(page, language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT[page], re.MULTILINE | re.DOTALL)
    return [body for tag, body in fenced if tag == language]


def promised_commands():
    for page, text in TEXT.items():
        in_blocks = [line.partition("#")[0] for block in blocks(page, "") for line in block.splitlines()]
        in_prose = re.findall(r"`(larisma [^`]*)`", text)
        for line in [*in_blocks, *in_prose]:
            for command in re.split(r"&&", line):
                words = shlex.split(command)
                start = next((k for k, word in enumerate(words) if word.endswith("larisma")), None)
                if start is not None and len(words) > start + 1:
                    yield pytest.param(words[start + 1 :], id=f"{page}: {' '.join(words[start + 1 :])}")


@pytest.mark.parametrize("words", list(promised_commands()))
def test_a_command_on_the_pages_is_one_that_larisma_takes(words):
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    if words == ["--help"]:
        return
    missing_is_fine = {} if words else {"resilient_parsing": True}  # prose names a command without its arguments
    command.make_context("larisma", list(words), **missing_is_fine)


def test_the_example_campaign_on_the_campaigns_page_has_no_fault():
    (example,) = blocks("campaigns.md", "yaml")
    assert load_campaign(Path("harbolnas.yaml"), example).id == "harbolnas"


def test_the_phases_on_the_campaigns_page_are_a_schedule():
    (example,) = blocks("campaigns.md", "yml")
    assert Schedule.model_validate(read_yaml(example).value["schedule"]).phase("hari-raya").estimate == "wait"


def test_every_preset_stands_on_the_campaigns_page():
    assert [name for name in presets() if f"`{name}`" not in TEXT["campaigns.md"]] == []


def test_the_settings_on_the_readme_are_settings():
    (example,) = blocks("README.md", "toml")
    assert Settings(**tomllib.loads(example)).sources["purchases"][0].columns["item_id"] == "sku"


def test_the_settings_on_the_delivery_page_are_settings():
    (example,) = blocks("delivery.md", "toml")
    settings = Settings(**tomllib.loads(example))
    assert (settings.email.host, settings.delivery.waves.messages) == ("smtp.toko.example", 20_000)


@pytest.mark.parametrize("page", TEXT)
def test_a_link_within_the_project_leads_somewhere(page):
    folder = next(path.parent for path in PAGES if path.name == page)
    links = re.findall(r"\]\((?!http|#)([^)#]+)\)", TEXT[page])
    assert [link for link in links if not (folder / link).exists()] == []
