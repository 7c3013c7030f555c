"""Hold the native engine against the torch engine on the test sets of trained runs, and write it to `results/`.

    python benchmarks/native_quality.py runs/multi30k-de-en runs/multi30k-en-de --data DATA

For every run, greedy and by beam: in how many sentences fp32 finds the same ids, and the BLEU of fp32, bf16 and int8;
the cosine of logits on 100 of the sentences, while the torch engine's own output is read. Nothing is chosen by it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from facts import provenance, write_result
from translation_quality import read_lines

from attento.config import load_settings
from attento.engines.native import NativeEngine
from attento.engines.packed.panels import ComputeType
from attento.engines.torch import TorchEngine
from attento.evaluation import evaluate_translations
from attento.interop.export.native import NativeExporter
from attento.interop.exporting import load_trained
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig
from attento.translator import Translator

NUMBERS: tuple[ComputeType, ...] = ("fp32", "bf16", "int8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = [row for run in options.runs for row in measure(run, options.data, options.threads)]
    write_result("native_quality", {"provenance": provenance(), "runs": rows}, table(rows))


def measure(run: Path, data: Path, threads: int) -> list[dict[str, Any]]:
    """Translate a run's test set with every engine, greedy and by its own beam."""
    config = load_settings(RecipeConfig, RunFolder(run).config)
    assert config.data.test is not None and config.data.test.source and config.data.test.target
    trained = load_trained(run, "translation")
    ids = [trained.encode(line) for line in read_lines(data / config.data.test.source)]
    references = read_lines(data / config.data.test.target)
    torch_engine = TorchEngine.load(run, "cpu")
    decode = Translator.load(run, engine="torch").tokenizers.target.decode

    def bleu(outputs: Sequence[Sequence[int]]) -> float:
        report = evaluate_translations(
            [decode(each) for each in outputs],
            references,
            target_language=config.data.target_language,
            tokenize=config.training.validation.tokenize,
        )
        return report.bleu.value

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        engines = {numbers: packed(trained, numbers, Path(folder), threads) for numbers in NUMBERS}
        for beam_size in (1, max(config.search.beam_size, 4)):
            search = config.search.model_copy(update={"beam_size": beam_size})
            wanted = [found[0].ids for found in torch_engine.translate(ids, search)]
            row: dict[str, Any] = {
                "run": run.name,
                "beam_size": beam_size,
                "sentences": len(ids),
                "torch": bleu(wanted),
            }
            for numbers, engine in engines.items():
                outputs = [found[0].ids for found in engine.translate(ids, search)]
                row[numbers] = {
                    "bleu": bleu(outputs),
                    "same": sum(a == b for a, b in zip(outputs, wanted, strict=True)),
                    "cosine": cosines(trained, engine, ids[:100], wanted[:100]),
                }
            rows.append(row)
    return rows


def packed(trained: Any, numbers: ComputeType, folder: Path, threads: int) -> NativeEngine:
    """Pack a run and load it."""
    place = folder / numbers
    place.mkdir()
    NativeExporter(numbers).write(trained, place)
    return NativeEngine.load(RunFolder(place).packed, threads=threads)


def cosines(
    trained: Any, engine: NativeEngine, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> dict[str, float]:
    """Return the mean and the least cosine between both engines' logits, over all steps."""
    found = []
    for source, target in zip(sources, targets, strict=True):
        ours, theirs = np.asarray(trained.logits(source, target)), np.asarray(engine.logits(source, target))
        found.append((ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1))
    flat = np.concatenate(found)
    return {"mean": float(flat.mean()), "least": float(flat.min())}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        "# The native engine's translations beside the torch engine's",
        "",
        "BLEU on the run's test set; ids that are the torch engine's; cosine of logits, mean and least over all steps.",
        "",
        "| run | beam | torch fp32 | native fp32, same ids | bf16 | int8 | cosine bf16 | cosine int8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["run"], str(row["beam_size"]), f"{row['torch']:.2f}"]
        cells.append(f"{row['fp32']['bleu']:.2f}, {row['fp32']['same']} of {row['sentences']}")
        cells += [f"{row[numbers]['bleu']:.2f}" for numbers in ("bf16", "int8")]
        for numbers in ("bf16", "int8"):
            cosine = row[numbers]["cosine"]
            cells.append(f"{cosine['mean']:.5f}, {cosine['least']:.5f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
