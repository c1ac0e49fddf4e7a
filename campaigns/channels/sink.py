"""A channel that sends nothing: each message becomes a file, as in a full rehearsal (gladi resik)."""

import json
from pathlib import Path

from campaigns.channels.parcel import Answer, Leaving, Parcel
from campaigns.failpoints import failpoint
from campaigns.ledger.schema import SENT


class Sink:
    """Writes folder/ab/abcd….eml for a mail and .json for a push, by the message's id; of a push's devices it keeps
    how many there are, not their tokens. Sent again, a message replaces its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, parcel: Parcel, leaving: Leaving) -> Answer | None:
        if not leaving():
            return None
        failpoint("sink.write")
        if isinstance(parcel.content, bytes):
            ending, content = "eml", parcel.content
        else:
            push = {**parcel.content, "devices": len(parcel.recipients)}
            ending, content = "json", json.dumps(push, indent=2, ensure_ascii=False).encode()
        place = self.folder / parcel.message_id[:2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{parcel.message_id}.{ending}").write_bytes(content)
        failpoint("sink.written")
        return Answer(SENT, detail="rehearsed")

    def close(self) -> None:
        """There is nothing to end."""
