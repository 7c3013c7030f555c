"""How fast this machine multiplies matrices in torch: the ceiling that training is held against.

    python matmul.py '{"threads": 2, "d_model": 512, "d_ff": 2048, "vocab_size": 8000, "tokens": 3500}'

Prints FLOP/s as JSON: for each precision the median of large square products, and of one round of the products of the
model itself.
"""

import json
import sys
import time
from statistics import median

import torch

_LARGE = 2048
_REPEATS = 5


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    tokens, d_model, d_ff, vocab_size = (task[name] for name in ("tokens", "d_model", "d_ff", "vocab_size"))
    # (rows, inner, columns): four projections of attention, the feed-forward network's two, the output's.
    model = 4 * [(tokens, d_model, d_model)] + [
        (tokens, d_model, d_ff),
        (tokens, d_ff, d_model),
        (tokens, d_model, vocab_size),
    ]
    rates = {}
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        rates[precision] = {"large": _rate([(_LARGE,) * 3], dtype), "model": _rate(model, dtype)}
    print(json.dumps(rates))


def _rate(sizes: list[tuple[int, int, int]], dtype: torch.dtype) -> float:
    factors = [
        (torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)) for rows, inner, columns in sizes
    ]
    results = [torch.empty(rows, columns, dtype=dtype) for rows, _, columns in sizes]
    operations = sum(2 * rows * inner * columns for rows, inner, columns in sizes)
    rates = []
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        for (left, right), result in zip(factors, results, strict=True):
            torch.matmul(left, right.T, out=result)
        rates.append(operations / (time.perf_counter() - started))
    # The first one prepares the kernels.
    return median(rates[1:])


if __name__ == "__main__":
    main()
