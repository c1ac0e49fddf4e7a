"""The models that have served, each in a folder named by its as-of instant and content, and the one that serves."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.workspace import Workspace, point, publishing, withdraw, write_json
from recsys import artifact
from recsys.artifact import Artifact, ArtifactError
from recsys.interactions import InteractionMatrix
from recsys.models import Recommender
from recsys.tables import InputError

NAME = re.compile(r"(\d{8}t\d{6}z)-[0-9a-f]{12}")
PARTS = ("serving", "at_cut")
MADE_FROM = ("as_of", "cut", "metric", "inputs", "settings", "code", "digests")

Fitted = tuple[Recommender, InteractionMatrix]


@dataclass(frozen=True, eq=False)
class Champion:
    """A model that passed every check.

    id: its folder's name. manifest: what training found, see flows.train.
    serving: fitted on everything before as_of. at_cut: the same recipe fitted on what was before the cut, so that its
    scores and the purchases in [cut, as_of) calibrate a propensity honestly.
    """

    id: str
    manifest: dict[str, Any]
    serving: Artifact
    at_cut: Artifact

    @property
    def name(self) -> str:
        """The kind of model: blend, frequency or another of flows.recipes.FITS."""
        return self.manifest["champion"]

    @property
    def as_of(self) -> datetime:
        return datetime.fromisoformat(self.manifest["as_of"])

    @property
    def cut(self) -> datetime:
        return datetime.fromisoformat(self.manifest["cut"])


def load_champion(workspace: Workspace, as_of: datetime | None = None) -> Champion:
    """The model that serves; or, with as_of, the one that had served then: the newest that saw nothing from after it.

    Raises InputError if there is none, ArtifactError naming the file if it is damaged.
    """
    name = _serving_name(workspace)
    if name is None:
        raise InputError(
            f"{workspace.models}: no model serves yet; make one with: larisma train --workspace {workspace.root}"
        )
    if as_of is not None and name[:16] > _stamp(as_of):
        name = _newest_name(workspace, as_of)
        if name is None:
            raise InputError(
                f"{workspace.models}: every model saw purchases from after {as_of.isoformat()}; make one that did not "
                f"with: larisma train --as-of {as_of.isoformat()} --workspace {workspace.root}"
            )
    return _load(workspace.models / name)


def load_model(folder: Path) -> Champion:
    """A model by its folder, whether it serves or not. Raises ArtifactError naming the file if it is damaged."""
    return _load(folder)


def publish_champion(workspace: Workspace, manifest: Mapping[str, Any], serving: Fitted, at_cut: Fitted) -> Champion:
    """Writes a model into models/ID/ and lets it serve, unless one of a later as-of instant does; each step is atomic.

    A model that is there already, from the same inputs, is not written again.
    """
    workspace.models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.models, prefix=".fitted-") as aside:
        digests = {}
        for part, fitted in zip(PARTS, (serving, at_cut), strict=True):
            folder = Path(aside) / part
            folder.mkdir()
            digests[part] = artifact.save(folder, *fitted, {"part": part})
        content = {**manifest, "digests": digests}
        stamp = _stamp(datetime.fromisoformat(content["as_of"]))
        name = _same(workspace, stamp, content) or f"{stamp}-{_digest(content)}"
        if not (workspace.models / name).exists():
            with publishing(workspace.models / name) as target:
                for part in PARTS:
                    (Path(aside) / part).rename(target / part)
                write_json(target / artifact.MANIFEST, content)
    serves = _serving_name(workspace)
    if serves is None or serves[:16] <= name[:16]:
        point(workspace.champion, workspace.models / name)
    return _load(workspace.models / name)


def discard_models(workspace: Workspace, keep: int) -> list[str]:
    """Deletes all models but the newest `keep` and the one that serves, with what they recommended; their names."""
    names = [path.name for path in workspace.models.iterdir() if NAME.fullmatch(path.name)]
    names.sort(key=lambda name: (name[:16], (workspace.models / name).lstat().st_mtime_ns))
    gone = [name for name in names[:-keep] if name != _serving_name(workspace)]
    for name in gone:
        withdraw(workspace.models / name)
        withdraw(workspace.recommendations(name))
    return gone


def _same(workspace: Workspace, stamp: str, content: Mapping[str, Any]) -> str | None:
    """The whole model that came from the same inputs, whatever it was compared with when it was made."""
    for path in sorted(workspace.models.glob(f"{stamp}-*")):
        try:
            known = _load(path).manifest
        except ArtifactError:
            continue
        if all(known[key] == content[key] for key in MADE_FROM):
            return path.name
    return None


def _load(folder: Path) -> Champion:
    path = folder / artifact.MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not the manifest of a model ({error}); train again") from error
    if folder.name[17:] != _digest(manifest):
        raise ArtifactError(f"{path}: it has changed since the model was saved; train again")
    parts = {part: artifact.load(folder / part) for part in PARTS}
    for part, loaded in parts.items():
        if loaded.digest != manifest["digests"][part]:
            raise ArtifactError(f"{folder / part}: not the part that was saved with this model; train again")
    return Champion(folder.name, manifest, **parts)


def _serving_name(workspace: Workspace) -> str | None:
    try:
        name = Path(os.readlink(workspace.champion)).name
    except OSError:
        return None
    return name if NAME.fullmatch(name) else None


def _newest_name(workspace: Workspace, as_of: datetime) -> str | None:
    """The newest model that saw nothing from as_of on; of those of one instant, the one published last."""
    known = [
        path for path in workspace.models.iterdir() if NAME.fullmatch(path.name) and path.name[:16] <= _stamp(as_of)
    ]
    return max(known, key=lambda path: (path.name[:16], path.lstat().st_mtime_ns)).name if known else None


def _stamp(instant: datetime) -> str:
    """20171204t170000z"""
    return f"{instant.astimezone(UTC):%Y%m%dt%H%M%Sz}"


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
