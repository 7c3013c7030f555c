"""Hold the native engine against the torch engine on the test sets of trained runs, and write it to `results/`.

    python benchmarks/native_quality.py runs/multi30k-de-en runs/compare-modern/runs/* runs/english-french \
        --data data runs/pronoun-data

For every translation run, greedy and by beam: in how many sentences fp32 finds the same ids, the BLEU of fp32, and how
far bf16 and int8 are from it; the cosine of logits on 100 of the sentences, while the torch engine's own output is
read. For every language model: in how many prompts of the test text it goes on with the same ids, perplexity, cosine.
A run that is left out is named with its reason. Nothing is chosen by it. Every run is written when it is done: what is
stopped keeps what it has.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from facts import provenance, write_result
from native_quality_table import table
from numpy.typing import NDArray
from translation_quality import read_lines

from attento.config import load_settings
from attento.data.pairs.config import DataConfig
from attento.data.stream.config import TextDataConfig
from attento.data.stream.prepare import read_text
from attento.engines.language import LanguageEngine
from attento.engines.native import NativeEngine
from attento.engines.packed.panels import ComputeType
from attento.engines.prompts import Row
from attento.engines.task import run_kind
from attento.engines.torch import TorchEngine
from attento.errors import RunFolderError
from attento.evaluation.metrics import bleu_metric, corpus_score
from attento.interop.export.base import TrainedModel
from attento.interop.export.native import NativeExporter
from attento.interop.exporting import load_trained
from attento.run_folder import RunFolder
from attento.training.config import RecipeConfig

NUMBERS: tuple[ComputeType, ...] = ("fp32", "bf16", "int8")
Result = dict[str, Any]
_FOR_COSINE = 100
_RESAMPLES = 1000
# Of a language model's context, which bos begins: what is read, and what is written behind it.
_PROMPT = 24
_PROMPTS = 1000
_WINDOWS = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, nargs="+", default=[Path("data")], help="folders that test sets lie in")
    parser.add_argument("--sentences", type=int, default=1000, help="the most of a test set")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    result: Result = {"provenance": provenance(), "translation": [], "language": [], "refused": []}
    for run in options.runs:
        reason = refusal(run)
        if reason:
            result["refused"].append({"run": name_of(run), "reason": reason})
        elif run_kind(run).task == "translation":
            result["translation"] += measure_translation(run, options.data, options.sentences, options.threads)
        else:
            result["language"].append(measure_language(run, options.data, options.threads))
        write_result("native_quality", result, table(result))


def name_of(run: Path) -> str:
    """Return the name of a run, behind that of the comparison that it belongs to."""
    comparison = run.parent.parent.name
    return f"{comparison}: {run.name}" if comparison.startswith("compare-") else run.name


def refusal(run: Path) -> str | None:
    """Return why a run is left out: the native engine does not have its model, or there is none. None if it is not."""
    try:
        kind = run_kind(run)
    except RunFolderError:
        return "holds no finished model"
    if kind.task == "translation" or kind.task == "language_modeling":
        return "; ".join(NativeExporter().problems(load_trained(run, kind.task))) or None
    return f"{kind.text}: not a task of this engine"


def measure_translation(run: Path, data: Sequence[Path], most: int, threads: int) -> list[Result]:
    """Translate a run's test set with every engine, greedy and by its own beam."""
    config = load_settings(RecipeConfig, RunFolder(run).config)
    assert isinstance(config.data, DataConfig) and config.data.test is not None
    test = config.data.test
    assert test.source and test.target
    trained, place = load_trained(run, "translation"), root_of(data, test.source)
    ids = [trained.encode(line) for line in read_lines(place / test.source)[:most]]
    references = read_lines(place / test.target)[:most]
    scorer = Scorer(trained, references, config.data.target_language, config.training.validation.tokenize)
    torch_engine = TorchEngine.load(run, "cpu")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        engines = {numbers: packed(trained, numbers, Path(folder), threads) for numbers in NUMBERS}
        for beam_size in (1, max(config.search.beam_size, 4)):
            search = replace(config.search, beam_size=beam_size)
            wanted = [found[0].ids for found in torch_engine.translate(ids, search)]
            outputs = {
                numbers: [found[0].ids for found in engine.translate(ids, search)]
                for numbers, engine in engines.items()
            }
            row: Result = {"run": name_of(run), "beam_size": beam_size, "sentences": len(ids)}
            row["torch"] = scorer.bleu(wanted)
            read = list(zip(ids[:_FOR_COSINE], wanted[:_FOR_COSINE], strict=True))
            logits = [np.asarray(trained.logits(*each)) for each in read]
            for numbers, engine in engines.items():
                row[numbers] = {
                    "bleu": scorer.bleu(outputs[numbers]),
                    "less_fp32": scorer.difference(outputs[numbers], outputs["fp32"]),
                    "same": count_same(outputs[numbers], wanted),
                    "cosine": cosines(logits, [np.asarray(engine.logits(*each)) for each in read]),
                }
            rows.append(row)
    return rows


class Scorer:
    """BLEU of ids against one test set's references, and the difference of two outputs by paired bootstrap."""

    def __init__(
        self, trained: TrainedModel, references: Sequence[str], language: str | None, tokenize: str | None
    ) -> None:
        self.decode = trained.tokenizers.target.decode
        self.references = references
        self.metric = bleu_metric(tokenize, language, lowercase=False)

    def bleu(self, outputs: Sequence[Sequence[int]]) -> float:
        """Score some outputs."""
        return corpus_score(self.metric, [self.decode(each) for each in outputs], self.references).value

    def difference(self, ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> Result:
        """Return our BLEU less theirs, and its 95% interval where both are scored on the same drawn sentences.

        Koehn 2004, "Statistical significance tests for machine translation evaluation", section 4.
        """
        counts = [
            np.array(self.metric._extract_corpus_statistics([self.decode(each) for each in outputs], [self.references]))
            for outputs in (ours, theirs)
        ]
        generator, size = np.random.default_rng(1), len(self.references)
        drawn = [np.arange(size), *(generator.integers(size, size=size) for _ in range(_RESAMPLES))]
        found = []
        for places in drawn:
            first, second = (self.metric._compute_score_from_stats(each[places].sum(axis=0)).score for each in counts)
            found.append(first - second)
        return {"value": found[0], "interval": [float(end) for end in np.percentile(found[1:], (2.5, 97.5))]}


def measure_language(run: Path, data: Sequence[Path], threads: int) -> Result:
    """Go on with prompts of a run's test text, and foretell the text's beginning, with every engine."""
    config = load_settings(RecipeConfig, RunFolder(run).config)
    assert isinstance(config.data, TextDataConfig) and config.data.test is not None
    trained = load_trained(run, "language_modeling")
    ids = trained.encode(read_text(config.data.test, root_of(data, config.data.test.text)))
    assert trained.context is not None
    length, written = trained.context - 1, trained.context - 1 - _PROMPT
    starts = np.linspace(0, len(ids) - _PROMPT, _PROMPTS).astype(int)
    prompts = [Row(i, tuple(ids[start : start + _PROMPT]), 0) for i, start in enumerate(starts)]
    # Each window is read behind bos, as a prompt is.
    windows = [ids[first : first + length] for first in range(0, min(len(ids), _WINDOWS * length), length)]
    wanted = LanguageEngine.load(run, "cpu").write(prompts, written, None)
    logits = [np.asarray(trained.logits([], each)) for each in windows]
    row: Result = {"run": name_of(run), "prompts": _PROMPTS, "characters": sum(map(len, windows))}
    row["torch"] = perplexity(logits, windows)
    with tempfile.TemporaryDirectory() as folder:
        for numbers in NUMBERS:
            engine = packed(trained, numbers, Path(folder), threads)
            theirs = [np.asarray(engine.logits([], each)) for each in windows]
            row[numbers] = {
                "perplexity": perplexity(theirs, windows),
                "same": count_same(engine.write(prompts, written, None), wanted),
                "cosine": cosines(logits, theirs),
            }
    return row


def root_of(folders: Sequence[Path], name: str) -> Path:
    """Return the folder that a file lies in.

    Raises:
        FileNotFoundError: it lies in none.
    """
    for folder in folders:
        if (folder / name).is_file():
            return folder
    raise FileNotFoundError(f"{name} lies in none of {', '.join(map(str, folders))}; name its folder with --data")


def packed(trained: TrainedModel, numbers: ComputeType, folder: Path, threads: int) -> NativeEngine:
    """Pack a run and load it."""
    place = folder / numbers
    place.mkdir()
    NativeExporter(numbers).write(trained, place)
    return NativeEngine.load(RunFolder(place).packed, threads=threads)


def count_same(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> int:
    """Count the outputs that are equal in every piece."""
    return sum(tuple(a) == tuple(b) for a, b in zip(ours, theirs, strict=True))


def cosines(ours: Sequence[NDArray[np.float32]], theirs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return the mean and the least cosine between both engines' logits, over all steps."""
    found = [
        (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        for a, b in zip(ours, theirs, strict=True)
    ]
    flat = np.concatenate(found)
    return {"mean": float(flat.mean()), "least": float(flat.min())}


def perplexity(logits: Sequence[NDArray[np.float32]], texts: Sequence[Sequence[int]]) -> float:
    """Return exp of the mean of -log p over all tokens of the texts; the logits behind a text's last are not used."""
    nats = []
    for each, text in zip(logits, texts, strict=True):
        fine = each[: len(text)].astype(np.float64)
        largest = fine.max(axis=-1)
        total = largest + np.log(np.exp(fine - largest[:, None]).sum(axis=-1))
        nats.append(total - fine[np.arange(len(text)), text])
    return float(np.exp(np.concatenate(nats).mean()))


if __name__ == "__main__":
    main()
