"""What the README and the pages promise: every command parses, every example loads."""

import re
import shlex
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from typer.main import get_command

from campaigns.marked_yaml import read_yaml
from campaigns.schedule import Schedule
from campaigns.spec import load_campaign
from flows.cli import app
from flows.ingest import ingest_tables
from flows.new_campaign import presets
from flows.settings import Settings
from flows.workspace import Workspace, read_table

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


def readings():
    return re.findall(r"^\| `(.+?)` \| `(\w+ = \".+\")` \| `(.+?)` \|$", TEXT["data.md"], re.MULTILINE)


@pytest.mark.parametrize(("value", "mapping", "taken"), readings(), ids=lambda text: text[:30])
def test_a_mapping_on_the_data_page_reads_what_stands_beside_it(value, mapping, taken, tmp_path):
    (tmp_path / "lines.csv").write_text(f"x;y\n{value};1\n", encoding="utf-8")
    ((column, expression),) = tomllib.loads(mapping).items()
    usual = {"order_id": "y", "customer_id": "y", "item_id": "y", "quantity": "y", "amount": "y", "kind": "'purchase'"}
    columns = {**usual, "occurred_at": "'2017-01-01'", column: expression}
    source = {"path": "lines.csv", "timezone": "Asia/Jakarta", "columns": columns}
    workspace = Workspace(tmp_path)
    workspace.settings_file.write_text("")
    ingest_tables(workspace, Settings(sources={"purchases": source}), datetime(2026, 1, 1, tzinfo=UTC))
    (found,) = read_table(workspace, "purchases")[column].to_pylist()
    if column == "occurred_at":
        found = f"{found.astimezone(ZoneInfo('Asia/Jakarta')):%Y-%m-%d %H:%M}"
    assert str(found) == taken


def test_the_data_page_has_readings():
    assert len(readings()) > 10
