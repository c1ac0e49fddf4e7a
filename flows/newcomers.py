"""Customers without a history: what is popular with customers of their tier, city and age."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from campaigns.reasons import Reason
from recsys.interactions import InteractionMatrix
from recsys.models import Recommender
from recsys.newcomers import Leanings, divided, everybody_alike, fit_leanings
from recsys.ranking import rank
from recsys.tables import RECOMMENDATIONS

LAST = "city"
PEOPLE = ("customer_id", "tier", "city", "birth_date")  # columns of customers that are needed
AGES = (25, 35, 45, 55)  # where one band ends and the next begins
BANDS = ("-25", "25-34", "35-44", "45-54", "55-")  # as campaigns.reasons reads them


@dataclass(frozen=True, eq=False)
class Newcomers:
    """attributes: name → (its values, what their customers lean to), of those that tell anything."""

    matrix: InteractionMatrix
    popularity: NDArray[np.float32]
    attributes: Mapping[str, tuple[pa.Array, Leanings]]
    people: pa.Table
    day: date

    def segments(self, customers: pa.Array) -> list[dict[str, str]]:
        """The segment of each customer: attribute → value, as far as it is known and tells anything."""
        rows = pc.index_in(customers, value_set=self.people["customer_id"].combine_chunks())
        found: list[dict[str, str]] = [{} for _ in range(len(customers))]
        for name, values in attributes(self.people.take(rows), self.day).items():
            if name in self.attributes:
                known, leanings = self.attributes[name]
                places = pc.index_in(values, value_set=known).to_pylist()
                for segment, place, value in zip(found, places, values.to_pylist(), strict=True):
                    if place is not None and leanings.known(place):
                        segment[name] = value
        return found

    def scores(self, segment: Mapping[str, str]) -> NDArray[np.float64]:
        """The score of each item: as the model scores whom it does not know, times the ratios of the segment."""
        scores = self.popularity.astype(np.float64)
        for name, value in segment.items():
            values, leanings = self.attributes[name]
            scores *= leanings.ratio(values.index(value).as_py())
        return scores

    def recommend(self, customers: pa.Array, keep: NDArray[np.bool_], n: int) -> pa.Table:
        """RECOMMENDATIONS of the n best of the kept items for each customer, in their order."""
        segments, columns = self.segments(customers), np.flatnonzero(keep)
        codes = [Reason("popular", segment=segment).code for segment in segments]
        of_segment = {}
        for code, segment in dict(zip(codes, segments, strict=True)).items():
            scores = self.scores(segment)[columns].astype(np.float32)
            best = rank(scores[None], n)[0]
            of_segment[code] = columns[best[best >= 0]], scores[best[best >= 0]]
        lengths = [len(of_segment[code][0]) for code in codes]
        none = np.zeros(0, np.int64)
        items = np.concatenate([none, *(of_segment[code][0] for code in codes)])
        return pa.table(
            [
                customers.take(pa.array(np.repeat(np.arange(len(codes)), lengths))),
                pa.array(np.concatenate([none, *(np.arange(length) + 1 for length in lengths)]), pa.int32()),
                self.matrix.items.take(pa.array(items)),
                pa.array(np.concatenate([none, *(of_segment[code][1] for code in codes)]), pa.float32()),
                pa.array(np.repeat(np.array(codes, object), lengths), pa.string()),
            ],
            schema=RECOMMENDATIONS.schema,
        )

    def in_scopes(
        self, customers: pa.Array, scope: NDArray[np.integer], scopes: csc_matrix, n: int
    ) -> tuple[NDArray[np.int32], list[str]]:
        """(the n best item rows [pairs × n], -1 where a scope has no more; the reason's code) of each pair.

        scopes: [items × scopes] of 0/1; scope: the column of each customer's.
        """
        top, codes = np.full((len(scope), n), -1, np.int32), []
        found: dict[tuple[str, int], NDArray[np.int32]] = {}
        for k, segment in enumerate(self.segments(customers)):
            code = Reason("popular", segment=segment).code
            key = code, int(scope[k])
            if key not in found:
                span = slice(scopes.indptr[scope[k]], scopes.indptr[scope[k] + 1])
                columns = np.sort(scopes.indices[span][scopes.data[span] != 0])
                best = rank(self.scores(segment)[None, columns], n)[0]
                found[key] = np.where(best >= 0, np.append(columns, -1)[best], -1)
            top[k] = found[key]
            codes.append(code)
        return top, codes


def fit_newcomers(model: Recommender, matrix: InteractionMatrix, people: pa.Table, day: date) -> Newcomers:
    """model, fitted on matrix: its scores of whom it does not know are what segments differ from.

    people: rows of customers with at least the columns PEOPLE; day: on which their age counts.
    """
    people = people.select(PEOPLE)
    rows = pc.index_in(matrix.customers, value_set=people["customer_id"].combine_chunks())
    found, kinds = {}, everybody_alike(*matrix.matrix.shape)
    for name, values in attributes(people.take(rows), day).items():
        known = values.drop_null().unique().sort()
        group = pc.fill_null(pc.index_in(values, value_set=known), -1).to_numpy()
        leanings = fit_leanings(matrix.matrix, group, len(known), kinds)
        if leanings.tell:
            found[name] = known, leanings
            kinds = divided(kinds, group, leanings) if name != LAST else kinds
    return Newcomers(matrix, model.scores(np.array([-1]))[0], found, people, day)


def attributes(people: pa.Table, day: date) -> dict[str, pa.Array]:
    """tier, age band and city of each row; null where it is not known, or blank. The one with most values is LAST."""
    values = {name: people[name].combine_chunks() for name in ("tier", "city")}
    blank = pa.scalar(None, pa.string())
    found = {name: pc.if_else(pc.equal(pc.utf8_length(value), 0), blank, value) for name, value in values.items()}
    return {"tier": found["tier"], "age": age_bands(people["birth_date"].combine_chunks(), day), LAST: found["city"]}


def age_bands(born: pa.Array, day: date) -> pa.Array:
    """One of BANDS for each date of birth."""
    year, month, of_month = (pc.fill_null(part(born), 1).to_numpy() for part in (pc.year, pc.month, pc.day))
    ages = day.year - year - ((month > day.month) | ((month == day.month) & (of_month > day.day)))
    bands = np.array(BANDS, object)[np.searchsorted(AGES, ages, side="right")]
    return pa.array(bands, pa.string(), mask=born.is_null().to_numpy(zero_copy_only=False))


def without_history(matrix: InteractionMatrix, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each row is of a customer of whom the matrix holds no purchase: -1, or an empty row."""
    cells = np.diff(matrix.matrix.indptr)
    return (rows < 0) | (np.append(cells, 0)[rows] == 0)
