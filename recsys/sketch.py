"""Where item factors may begin: the directions in which customers differ most, from two passes over what they bought.

A randomized singular value decomposition (Halko, Martinsson and Tropp 2011), of rows in blocks.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.topk import in_threads

Floats = NDArray[np.float32]

EXTRA = 8  # directions looked at beyond those asked for
BLOCKS = 16  # of customers, whatever the threads, so that sums have one order


def directions(confidence: csr_matrix, count: int, seed: int, *, threads: int = 0) -> Floats:
    """float32 [items × count], the strongest first, each as long as the root of its singular value.

    confidence: CSR [customers × items], not negative. A cell counts c / (1 + c), what least squares would make of it
    alone. The same bits for any number of threads (0: all cores).
    """
    customers, items = confidence.shape
    share = csr_matrix(
        (confidence.data / (1 + confidence.data), confidence.indices, confidence.indptr), (customers, items)
    )
    size = max(1, -(-customers // BLOCKS))
    blocks = [share[start : start + size] for start in range(0, customers, size)]
    looked = np.random.default_rng(seed).standard_normal((items, min(count + EXTRA, items)), np.float32)

    def summed(back: bool) -> Floats:
        """SᵀS·looked, or (S·looked)ᵀ(S·looked)."""
        parts: list[Floats] = [looked] * len(blocks)

        def task(k: int) -> None:
            product = blocks[k] @ looked
            parts[k] = blocks[k].T @ product if back else product.T @ product

        in_threads(task, range(len(blocks)), threads)
        return np.sum(parts, axis=0)

    looked = np.linalg.qr(summed(back=True))[0]
    strength, turned = np.linalg.eigh(summed(back=False).astype(np.float64))
    best = np.argsort(-strength, kind="stable")[:count]
    scale = np.maximum(strength[best], 0) ** 0.25
    return np.ascontiguousarray((looked @ turned[:, best]) * scale, np.float32)
