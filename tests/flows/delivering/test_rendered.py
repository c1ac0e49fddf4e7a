"""Messages fetched a few at a time from a file of many blocks."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.tables import MESSAGES
from flows.delivering.rendered import Rendered
from flows.delivering.run import Run
from flows.workspace import write_parquet_blocks


def row(k: int) -> dict[str, Any]:
    at = 1_512_698_400_000_000
    return {
        **dict.fromkeys(MESSAGES.schema.names, ""),
        "message_id": f"m{k:03}",
        "customer_id": f"c{k:03}",
        "channel": "push" if k % 3 == 0 else "email",
        "body_text": f"text {k}",
        "send_after": at,
        "send_before": at,
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    blocks = [[row(k) for k in range(start, start + 7)] for start in range(0, 42, 7)]
    tables = [pa.Table.from_pylist(block, schema=MESSAGES.schema) for block in blocks]
    write_parquet_blocks(tmp_path / "messages.parquet", MESSAGES.schema, tables)
    assert pq.read_metadata(tmp_path / "messages.parquet").num_row_groups == 6
    return Run(tmp_path, {}, "digest")


@pytest.mark.parametrize("channel", ["email", "push"])
def test_each_message_is_found_in_whatever_order_they_are_asked_for(run: Run, channel: str) -> None:
    rendered = Rendered(run, channel)
    own = [k for k in range(42) if (k % 3 == 0) == (channel == "push")]
    assert len(rendered) == len(own)
    for asked in (own, own[::-1], own[5:6], own[1::4], []):
        found = rendered.rows([f"m{k:03}" for k in asked])
        assert {name: one["body_text"] for name, one in found.items()} == {f"m{k:03}": f"text {k}" for k in asked}


def test_a_message_of_another_channel_is_not_there(run: Run) -> None:
    assert Rendered(run, "email").rows(["m000", "m999"]) == {}


def test_each_message_knows_its_block(run: Run) -> None:
    assert run.blocks.tolist() == [k // 7 for k in range(42)]
    assert run.channels == ["email", "push"]
