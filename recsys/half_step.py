# mypy: allow-untyped-defs
"""Customers' factors from the items' factors, exactly: one half-step of alternating least squares.

u = (YᵀY + λI + Yᵀ(C − I)Y)⁻¹ YᵀC·1, as in section 4 of Hu, Koren and Volinsky (2008). The systems of many customers
are solved side by side, so that each step of the Cholesky decomposition is a few vector instructions.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.topk import in_threads

Floats = NDArray[np.float32]

LANES = 64  # customers solved side by side; of fewer, numba does not make vector instructions
TASK = 4096  # customers that one thread takes at a time


def customer_factors(
    confidence: csr_matrix, item_factors: Floats, regularization: float, *, threads: int = 0
) -> Floats:
    """float32 [customers × f]; 0 of a customer without purchases. The same bits for any number of threads (0: all
    cores).

    confidence: CSR [customers × items], not negative. item_factors: float32 [items × f].
    """
    customers, f = confidence.shape[0], item_factors.shape[1]
    out = np.zeros((customers, f), np.float32)
    indptr, indices, weights = confidence.indptr.astype(np.int64), confidence.indices, confidence.data
    Y = np.ascontiguousarray(item_factors, np.float32)

    def task(start: int) -> None:
        _solve(start, min(start + TASK, customers), indptr, indices, weights, Y, gram, out)

    with threadpool_limits(1, "blas"):  # whose number of threads would change its bits
        gram = Y.T @ Y + np.float32(regularization) * np.eye(f, dtype=np.float32)
    in_threads(task, range(0, customers, TASK), threads)
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _solve(start, stop, indptr, indices, weights, Y, gram, out):
    f = Y.shape[1]
    own = np.empty((f, f), np.float32)
    A, b = np.empty((f, f, LANES), np.float32), np.empty((f, LANES), np.float32)
    some, weighted = np.empty((16, f), np.float32), np.empty((16, f), np.float32)
    for first in range(start, stop, LANES):
        for lane in range(LANES):
            customer = min(first + lane, stop - 1)
            low, high = indptr[customer], indptr[customer + 1]
            size = high - low
            if size > len(some):
                some, weighted = np.empty((2 * size, f), np.float32), np.empty((2 * size, f), np.float32)
            b[:, lane] = 0
            for e in range(size):
                item, weight = indices[low + e], weights[low + e]
                for i in range(f):
                    some[e, i] = Y[item, i]
                    weighted[e, i] = (weight - np.float32(1)) * Y[item, i]
                    b[i, lane] += weight * Y[item, i]
            np.dot(weighted[:size].T, some[:size], own)
            for i in range(f):
                for j in range(i + 1):
                    A[i, j, lane] = gram[i, j] + own[i, j]
        _decompose(A, b)
        for lane in range(min(LANES, stop - first)):
            if indptr[first + lane + 1] > indptr[first + lane]:
                for i in range(f):
                    out[first + lane, i] = b[i, lane]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _decompose(A, b):
    """b [f × LANES] becomes the solution of A x = b in every lane. A [f × f × LANES]: its lower half is read, and
    becomes its Cholesky factor, with the inverse of the diagonal."""
    f = len(b)
    cells, right = A.reshape(-1), b.reshape(-1)
    total = np.empty(LANES, np.float32)
    for i in range(f):
        for j in range(i + 1):
            at = (i * f + j) * LANES
            for lane in range(LANES):
                total[lane] = cells[at + lane]
            for p in range(j):
                one, two = (i * f + p) * LANES, (j * f + p) * LANES
                for lane in range(LANES):
                    total[lane] -= cells[one + lane] * cells[two + lane]
            if j < i:
                diagonal = (j * f + j) * LANES
                for lane in range(LANES):
                    cells[at + lane] = total[lane] * cells[diagonal + lane]
            else:
                for lane in range(LANES):
                    cells[at + lane] = np.float32(1) / np.sqrt(total[lane])
    for step in range(2 * f):  # forwards, then backwards
        i = step if step < f else 2 * f - 1 - step
        at = i * LANES
        for lane in range(LANES):
            total[lane] = right[at + lane]
        for p in range(i) if step < f else range(i + 1, f):
            one, two = (max(i, p) * f + min(i, p)) * LANES, p * LANES
            for lane in range(LANES):
                total[lane] -= cells[one + lane] * right[two + lane]
        diagonal = (i * f + i) * LANES
        for lane in range(LANES):
            right[at + lane] = total[lane] * cells[diagonal + lane]
