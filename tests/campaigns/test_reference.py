"""What editors and readers are told of a campaign file's keys is what the code takes."""

import json
from pathlib import Path

from campaigns.reference import reference_page, undescribed
from campaigns.spec import json_schema

DOCS = Path(__file__).parents[2] / "docs"
MADE = "; make it anew with: make reference"


def test_every_key_is_described() -> None:
    assert undescribed(json_schema()) == []


def test_the_reference_page_is_made_from_the_code() -> None:
    assert (DOCS / "campaign-reference.md").read_text(encoding="utf-8") == reference_page(), MADE


def test_the_published_schema_is_the_codes_own() -> None:
    assert json.loads((DOCS / "campaign.schema.json").read_text(encoding="utf-8")) == json_schema(), MADE


def test_the_schema_takes_one_shift_or_a_list_of_them() -> None:
    days = json_schema()["$defs"]["Phase"]["properties"]["days"]
    assert {kind["type"] for kind in days["anyOf"]} == {"integer", "array"}
