"""How each kind of model is made from a workspace's purchases, the simplest first."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.settings import Train
from recsys.artifact import Artifact
from recsys.baselines import fit_frequency, fit_popularity
from recsys.blend import aligned, category_groups, fit_blend
from recsys.cells import Cells, cells_of
from recsys.history import history
from recsys.interactions import InteractionMatrix
from recsys.models import LinearModel, Recommender, fit_als, fit_bpr, fit_hybrid, fit_neighbours


@dataclass(frozen=True, eq=False)
class Material:
    """What models are made from: all that was known as of an instant. Factors are fitted once, whoever needs them.

    matrix: of the purchases before as_of. items: the items table; only categories are taken from it. window_days: how
    far ahead is looked. earlier: the material of as_of less the window, if it was ever made. before: what an earlier
    training fitted as of a little earlier, whose factors are gone on from; None: they are fitted from scratch.
    """

    matrix: InteractionMatrix
    purchases: pa.Table
    items: pa.Table
    as_of: datetime
    window_days: float
    train: Train
    earlier: "Material | None" = None
    before: Artifact | None = None

    @cached_property
    def als(self) -> LinearModel:
        return fit_als(
            self.matrix.matrix,
            factors=self.train.factors,
            start=aligned(self.before.model, self.before.matrix, self.matrix) if self.before else None,
            sample=self.train.sample_customers,
            seed=self.train.seed,
        )

    @cached_property
    def cells(self) -> Cells:
        return cells_of(history(self.purchases, self.as_of, self.matrix.items), self.matrix)

    @cached_property
    def groups(self) -> NDArray[np.int32]:
        place = pc.index_in(self.matrix.items, value_set=self.items["item_id"].combine_chunks())
        return category_groups(self.items["category"].combine_chunks().take(place).to_pylist())


def blend(material: Material) -> Recommender:
    earlier, train = material.earlier, material.train
    return fit_blend(
        material.cells,
        material.matrix.matrix,
        window_days=material.window_days,
        half_life_days=train.half_life_days,
        min_item_buyers=train.min_item_buyers,
        groups=material.groups,
        als=material.als,
        als_before=aligned(earlier.als, earlier.matrix, material.matrix) if earlier else None,
        factors=train.factors,
        seed=train.seed,
    )


# Simplest first: of equals, the simpler one serves.
FITS: dict[str, Callable[[Material], Recommender]] = {
    "popularity": lambda material: fit_popularity(material.matrix.matrix),
    "frequency": lambda material: fit_frequency(material.matrix.matrix),
    "cosine": lambda material: fit_neighbours(material.matrix.matrix, "cosine"),
    "bm25": lambda material: fit_neighbours(material.matrix.matrix, "bm25"),
    "bpr": lambda material: fit_bpr(material.matrix.matrix, factors=material.train.factors, seed=material.train.seed),
    "als": lambda material: material.als,
    "hybrid": lambda material: fit_hybrid(material.als, material.matrix.matrix),
    "blend": blend,
}
FACTORED = ("als", "hybrid", "blend")  # with factors that alternating least squares can go on from
BASELINES = ("popularity", "frequency")  # what a model must beat
