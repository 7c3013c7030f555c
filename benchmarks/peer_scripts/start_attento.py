"""Take training batches of a prepared folder: python start_attento.py FOLDER TOKENS_PER_STEP; answers in JSON."""

import json
import sys
import time
from pathlib import Path

from attento.data.batches import Position
from attento.data.pairs.batching import POOL_PAIRS, TokenBatches
from attento.data.pairs.prepared import PreparedCorpus


def main() -> None:
    folder, tokens = Path(sys.argv[1]), int(sys.argv[2])
    before = private_bytes()
    started = time.perf_counter()
    corpus = PreparedCorpus.open(folder)
    batches = TokenBatches(corpus.train, tokens, seed=1)
    opened = time.perf_counter()
    next(batches.from_position())
    first = time.perf_counter()
    last_pool = -(-len(corpus.train) // POOL_PAIRS) - 1
    next(batches.from_position(Position(epoch=7, pool=last_pool, index=5)))
    amid = time.perf_counter()
    answer = {
        "pairs": len(corpus.train),
        "open": opened - started,
        "first": first - opened,
        "amid": amid - first,
        "private_bytes": private_bytes() - before,
    }
    print(json.dumps(answer))


def private_bytes() -> int:
    """Return the memory that this process shares with nobody: what is mapped from files is not counted."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not say how much memory a process has to itself")


if __name__ == "__main__":
    main()
