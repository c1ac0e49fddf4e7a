import json
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys import artifact
from recsys.artifact import ArtifactError, load, not_finite, save
from recsys.baselines import fit_frequency, fit_popularity
from recsys.interactions import build_matrix
from recsys.models import fit_als, fit_hybrid
from recsys.synthetic import taste_groups
from recsys.tables import InputError

AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
FITS = {
    "popularity": fit_popularity,
    "frequency": fit_frequency,
    "als": lambda matrix: fit_als(matrix, factors=4),
    "hybrid": lambda matrix: fit_hybrid(fit_als(matrix, factors=4), matrix),
}


@pytest.fixture(scope="module")
def matrix():
    return build_matrix(taste_groups(1, customers=30, items=12).purchases, AS_OF)


@pytest.fixture
def saved(matrix, tmp_path):
    save(tmp_path, FITS["hybrid"](matrix.matrix), matrix, {"part": "serving"})
    return tmp_path


@pytest.mark.parametrize("name", FITS)
def test_a_model_comes_back_as_it_was(matrix, tmp_path, name):
    model = FITS[name](matrix.matrix)
    digest = save(tmp_path, model, matrix, {"as_of": "2018", "note": "Rp1.000 – ya"})
    loaded = load(tmp_path)
    assert (loaded.model.name, loaded.model.shape, loaded.digest) == (name, model.shape, digest)
    assert loaded.about == {"as_of": "2018", "note": "Rp1.000 – ya"}
    rows = np.array([0, 5, -1])
    np.testing.assert_array_equal(loaded.model.scores(rows), model.scores(rows))
    scopes = csr_matrix(np.eye(len(matrix.items), 3, dtype=np.float32))
    np.testing.assert_array_equal(loaded.model.scope_scores(rows, scopes), model.scope_scores(rows, scopes))
    assert loaded.model.explain(3, 2) == model.explain(3, 2)


def test_the_matrix_and_its_ids_come_back_as_they_were(matrix, saved):
    loaded = load(saved).matrix
    assert loaded.customers.equals(matrix.customers)
    assert loaded.items.equals(matrix.items)
    assert (loaded.matrix != matrix.matrix).nnz == 0
    assert loaded.matrix.shape == matrix.matrix.shape


def test_saving_twice_gives_the_same_bytes(matrix, tmp_path):
    model = FITS["hybrid"](matrix.matrix)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        save(folder, model, matrix, {"b": 1, "a": 2})
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second


def test_an_array_in_two_places_is_stored_once(saved):
    manifest = json.loads((saved / artifact.MANIFEST).read_text())
    assert manifest["arrays"]["model.indices"] == manifest["arrays"]["matrix.indices"]
    assert len(set(manifest["files"].values())) == len(manifest["files"])


def test_nothing_in_the_folder_needs_pickle(saved):
    assert {path.suffix for path in saved.iterdir()} == {".npy", ".parquet", ".json"}
    for path in saved.glob("*.npy"):
        assert np.load(path, allow_pickle=False).dtype != object


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_file_that_changes_by_one_bit_is_named(saved):
    for name in names(saved):
        path = saved / name
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 3):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ArtifactError, match=name):
                load(saved)
        path.write_bytes(whole)
    load(saved)


def test_every_file_that_is_missing_is_named(saved):
    for name in names(saved):
        path = saved / name
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(ArtifactError, match=f"{name}.*missing"):
            load(saved)
        path.write_bytes(whole)
    load(saved)


def test_a_file_cut_short_is_named(saved):
    path = saved / "matrix.data.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"matrix\.data\.npy.*changed"):
        load(saved)


def test_an_object_array_is_never_unpickled(saved):
    path = saved / "model.popularity.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    forge(saved, lambda manifest: manifest["files"].update({path.name: artifact._checksum(path)}))
    with pytest.raises(ArtifactError, match="not a model"):
        load(saved)


def test_a_manifest_cannot_name_files_elsewhere(saved):
    (saved.parent / "outside.npy").write_bytes((saved / "matrix.data.npy").read_bytes())
    forge(saved, lambda manifest: manifest["files"].update({"../outside.npy": "0"}))
    with pytest.raises(ArtifactError, match="not the name of a file"):
        load(saved)


def test_another_format_is_refused(saved):
    forge(saved, lambda manifest: manifest.update(format=99))
    with pytest.raises(ArtifactError, match="format 99, this version reads 2"):
        load(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '"digest"', "\0"])
def test_what_is_no_manifest_is_refused(saved, text):
    (saved / artifact.MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        load(saved)


def test_a_damaged_model_is_wrong_input():
    assert issubclass(ArtifactError, InputError)


def test_arrays_that_are_not_finite_are_named(matrix):
    model = FITS["hybrid"](matrix.matrix)
    assert not_finite(model) == []
    model.item_factors[1, 1] = np.nan
    model.popularity[0] = np.inf
    assert not_finite(model) == ["item_factors", "popularity"]


def forge(folder, change):
    """Changes a manifest and makes its digest right again."""
    path = folder / artifact.MANIFEST
    manifest = json.loads(path.read_text())
    manifest.pop("digest")
    change(manifest)
    path.write_text(json.dumps({**manifest, "digest": artifact._digest(manifest)}))
