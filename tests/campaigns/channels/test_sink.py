"""A rehearsal's messages become files: as many as messages, whoever writes them how often, and no token in any."""

import json
from pathlib import Path

from campaigns.channels.parcel import Answer, Parcel
from campaigns.channels.sink import Sink
from campaigns.ledger.schema import SENT

PUSH = Parcel("pq2", ("token-1", "token-2"), {"message": {"notification": {"title": "Panen"}}})


def test_a_mail_and_a_push_become_a_file_each_and_sent_again_the_same_file(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "here")
    for _ in range(2):
        assert sink.send(Parcel("mn1", ("a@b.example",), b"Subject: x\r\n\r\n"), lambda: True) == Answer(
            SENT, detail="rehearsed"
        )
        assert sink.send(PUSH, lambda: True) is not None
    sink.close()
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert files == [Path("here/mn/mn1.eml"), Path("here/pq/pq2.json")]
    assert (tmp_path / files[0]).read_bytes() == b"Subject: x\r\n\r\n"
    assert json.loads((tmp_path / files[1]).read_text()) == {**PUSH.content, "devices": 2}  # type: ignore[dict-item]
    assert "token" not in (tmp_path / files[1]).read_text()


def test_what_is_no_longer_the_sender_s_becomes_no_file(tmp_path: Path) -> None:
    assert Sink(tmp_path).send(PUSH, lambda: False) is None
    assert list(tmp_path.iterdir()) == []
