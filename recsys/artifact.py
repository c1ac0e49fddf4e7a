"""A fitted model as a folder: arrays as .npy, ids as Parquet, a manifest with the checksum of every file; no pickle."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend import blend_model
from recsys.interactions import InteractionMatrix
from recsys.models import Recommender, linear_model
from recsys.neighbours import NeighbourModel
from recsys.tables import InputError

FORMAT = 2
MANIFEST = "manifest.json"


class ArtifactError(InputError):
    """A model's folder is incomplete, damaged, or of another format. The message names the file."""


@dataclass(frozen=True, eq=False)
class Artifact:
    """model: fitted on matrix; about: what `save` was told of it; digest: SHA-256 of all its content."""

    model: Recommender
    matrix: InteractionMatrix
    about: dict[str, Any]
    digest: str


def save(folder: Path, model: Recommender, matrix: InteractionMatrix, about: Mapping[str, Any]) -> str:
    """Writes the model and the matrix it was fitted on into an existing folder; returns the digest of its content.

    about: plain JSON values, given back by `load`. The same arguments give the same bytes. An array that stands in two
    places is written once.
    """
    files: dict[str, str] = {}  # name → checksum
    written: dict[str, str] = {}  # checksum → name
    places: dict[str, str] = {}
    for part, array in _arrays(model, matrix).items():
        path = folder / f"{part}.npy"
        np.save(path, array, allow_pickle=False)
        checksum = _checksum(path)
        if checksum in written:
            path.unlink()
        else:
            written[checksum], files[path.name] = path.name, checksum
        places[part] = written[checksum]
    for column, ids in (("customer_id", matrix.customers), ("item_id", matrix.items)):
        path = folder / f"{column}.parquet"
        pq.write_table(pa.table({column: ids}), path, compression="zstd", write_page_checksum=True)
        files[path.name] = _checksum(path)
    content = {"format": FORMAT, "name": model.name, "arrays": places, "files": files, "about": dict(about)}
    digest = _digest(content)
    text = json.dumps({**content, "digest": digest}, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return digest


def load(folder: Path) -> Artifact:
    """What `save` wrote, every file verified before it is used.

    Raises ArtifactError naming the file that is missing, changed, or not understood.
    """
    manifest = _read_manifest(folder)
    for name, checksum in sorted(manifest["files"].items()):
        path = folder / name
        if Path(name).name != name:
            raise ArtifactError(f"{folder / MANIFEST}: {name!r} is not the name of a file in this folder")
        if not path.is_file():
            raise ArtifactError(f"{path}: this file of the model is missing; restore it, or train again")
        if _checksum(path) != checksum:
            raise ArtifactError(f"{path}: this file of the model has changed since it was saved; train again")
    try:
        stored = {name: np.load(folder / name, allow_pickle=False) for name in set(manifest["arrays"].values())}
        parts = {part: stored[name] for part, name in manifest["arrays"].items()}
        customers, items = (_read_ids(folder, column) for column in ("customer_id", "item_id"))
        cells = (parts.pop("matrix.data"), parts.pop("matrix.indices"), parts.pop("matrix.indptr"))
        matrix = InteractionMatrix(csr_matrix(cells, shape=(len(customers), len(items))), customers, items)
        model = from_arrays(manifest["name"], {part.removeprefix("model."): array for part, array in parts.items()})
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ArtifactError(f"{folder}: not a model that this version can read ({error}); train again") from error
    return Artifact(model, matrix, manifest["about"], manifest["digest"])


def from_arrays(name: str, arrays: Mapping[str, NDArray]) -> Recommender:
    """The model of this kind that gave these arrays. Raises TypeError if they are not its own."""
    if name == "blend":
        return blend_model(name, arrays)
    if name in ("bm25", "cosine"):
        return NeighbourModel(name=name, **arrays)
    return linear_model(name, arrays)


def not_finite(model: Recommender) -> list[str]:
    """The names of the model's arrays that hold NaN or infinity, sorted."""
    return sorted(
        name for name, array in model.arrays().items() if array.dtype.kind == "f" and not np.isfinite(array).all()
    )


def _arrays(model: Recommender, matrix: InteractionMatrix) -> dict[str, NDArray]:
    cells = matrix.matrix
    parts = {"matrix.data": cells.data, "matrix.indices": cells.indices, "matrix.indptr": cells.indptr}
    parts |= {f"model.{name}": array for name, array in model.arrays().items()}
    return dict(sorted(parts.items()))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("digest")
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing, so there is no model in this folder; train again") from None
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not the manifest of a model ({error}); train again") from error
    if content.get("format") != FORMAT:
        raise ArtifactError(f"{path}: format {content.get('format')!r}, this version reads {FORMAT}; train again")
    if digest != _digest(content):
        raise ArtifactError(f"{path}: it has changed since it was saved; train again")
    return {**content, "digest": digest}


def _read_ids(folder: Path, column: str) -> pa.StringArray:
    return pq.read_table(folder / f"{column}.parquet")[column].combine_chunks()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
