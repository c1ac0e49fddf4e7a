"""The best few columns of each row of scores, exactly, with ties in one order."""

import numpy as np
from numpy.typing import NDArray


def rank(scores: NDArray[np.floating], k: int) -> NDArray[np.int32]:
    """The k best columns of each row, best first, equals by column; -1 where fewer have a score above -inf.

    >>> rank(np.array([[0.5, 2.0, 2.0, -np.inf]]), 4).tolist()
    [[1, 2, 0, -1]]
    """
    top = np.full((len(scores), k), -1, np.int32)
    items = scores.shape[1]
    least = np.full((len(scores), 1), -np.inf)
    if items > k:
        # The k-th best of the maxima of at least k groups of columns is no more than the k-th best of all.
        width = max(1, items // max(256, 4 * k))
        maxima = np.maximum.reduceat(scores, np.arange(0, items, width), axis=1)
        least = np.partition(maxima, -k, axis=1)[:, -k, None]
    row, column = np.nonzero((scores >= least) & (scores > -np.inf))
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < k
    top[row[kept], place[kept]] = column[kept]
    return top
