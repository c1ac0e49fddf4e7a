"""Speed and size of recsys, as ratios in one run: python tests/benchmarks/speed.py [PART …] [SCALE] [--cpu]

PART: matrix, training, top, scopes, blend, memory; all of them where none is named. SCALE: a share of the full size,
such as 0.1 for a quick look. --cpu: processor time instead of the wall's, for a machine that others use. Set
OPENBLAS_NUM_THREADS=1.
"""

import sys

import interactions
import scoring
import training
from stopwatch import count_processor_time, table

PARTS = {
    "matrix": interactions.rows,
    "training": training.rows,
    "top": scoring.top_rows,
    "scopes": scoring.scope_rows,
    "blend": scoring.blend_rows,
    "memory": scoring.memory_rows,
}

if __name__ == "__main__":
    if "--cpu" in sys.argv:
        sys.argv.remove("--cpu")
        count_processor_time()
    parts = [word for word in sys.argv[1:] if word in PARTS] or list(PARTS)
    scale = next((float(word) for word in sys.argv[1:] if word not in PARTS), 1.0)
    for part in parts:
        print(table(PARTS[part](scale)), end="\n\n", flush=True)
