"""Would it pay to multiply with likely target pieces alone? Measure lists of them, predict the gain; write `results/`.

    python benchmarks/shortlist.py --run runs/multi30k-de-en --data data

A sentence's list is the likely translations of each of its source pieces, by IBM model 1 on the run's training text,
and the most frequent target pieces (Jean et al. 2015, arXiv:1412.2007, section 3.3). Lists are held against what the
model writes with its whole vocabulary, greedy, on its validation text: an output that lies wholly in its list is
written with the list, too. The others are written anew. No list is built into the engine: what it would save is
predicted, from multiplications that are counted, and from speeds that were measured at several vocabularies.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from facts import RESULTS, provenance, write_result
from ibm_model1 import Ids, Pair, estimate
from native_quality import Scorer, packed
from numpy.typing import NDArray
from translation_quality import read_lines

from attento.config import load_settings
from attento.data.pairs.config import CorpusConfig, DataConfig
from attento.decoding.config import SearchConfig
from attento.engines.inputs import output_cap
from attento.engines.packed.file import read_packed
from attento.engines.reference.engine import ReferenceEngine
from attento.engines.reference.model import State
from attento.engines.reference.search import Wanted, greedy_search
from attento.interop.exporting import load_trained
from attento.run_folder import RunFolder
from attento.speed.floor import Work
from attento.text.special import EOS_ID
from attento.training.config import RecipeConfig

CANDIDATES = (10, 25, 50, 100)
COMMON = (100, 500)
BATCHES = (1, 16, 64)
ITERATIONS = 5
# Where speeds are known: for lists as long as those that lose least here.
VOCABULARIES = (8000, 32000, 64000)
SHAPES = {"tiny": (3, 256, 1024), "base": (6, 512, 2048)}
"""Layers of either stack, d_model and d_ff of the models of `native_speed`."""

Lists = NDArray[np.bool_]
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/multi30k-de-en"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--sentences", type=int, default=10_000, help="the most of the validation text")
    options = parser.parse_args()
    config = load_settings(RecipeConfig, RunFolder(options.run).config)
    assert isinstance(config.data, DataConfig)
    trained = load_trained(options.run, "translation")
    search = replace(config.search, beam_size=1)

    def encode(corpus: CorpusConfig) -> list[Pair]:
        assert corpus.source and corpus.target
        tokenizers = trained.tokenizers
        source = tokenizers.source.encode_batch(read_lines(options.data / corpus.source))
        target = tokenizers.target.encode_batch(read_lines(options.data / corpus.target))
        return list(zip(source, target, strict=True))

    train = [pair for corpus in config.data.train for pair in encode(corpus)]
    validation = config.data.validation
    sources = [source for source, _ in encode(validation)[: options.sentences]]
    assert validation.target
    references = read_lines(options.data / validation.target)[: options.sentences]
    scorer = Scorer(trained, references, config.data.target_language, config.training.validation.tokenize)
    with tempfile.TemporaryDirectory() as folder:
        native = packed(trained, "fp32", Path(folder), 1)
        outputs = [found[0].ids for found in native.translate(sources, search)]
        file = read_packed(RunFolder(Path(folder) / "fp32").packed)
        writer, work = ListWriter(ReferenceEngine.load(file.path), search), Work.of(file)
    result: Result = {"provenance": provenance(), "run": options.run.name, "pairs": len(train)}
    result |= {"sentences": len(sources), "bleu": scorer.bleu(outputs)}
    result["step"] = step_of(work, writer, sources, outputs)
    lists = ListMaker(train, writer.vocabulary)
    result["lists"] = [
        measure(lists.make(sources, candidates, common), outputs, sources, writer, scorer)
        | {"candidates": candidates, "common": common}
        for common in COMMON
        for candidates in CANDIDATES
    ]
    for each in result["lists"]:
        each["gain"] = {size: gain_by_counts(result["step"], length["mean"]) for size, length in each["length"].items()}
    result["measured"] = gain_by_speeds(result["lists"][-1])
    write_result("shortlist", result, lines(result))


class ListMaker:
    """Lists of the target pieces that are likely for a source."""

    def __init__(self, train: Sequence[Pair], vocabulary: int) -> None:
        self.dictionary = estimate(train, ITERATIONS)
        counts = np.bincount(np.concatenate([target for _, target in train]), minlength=vocabulary)
        self.by_frequency = np.argsort(-counts, kind="stable")
        self.vocabulary = vocabulary

    def make(self, sources: Sequence[Sequence[int]], candidates: int, common: int) -> Lists:
        """Return which pieces are in the list of each source, (N, V); eos always is."""
        likely = self.dictionary.candidates(candidates)
        found = np.zeros((len(sources), self.vocabulary), dtype=np.bool_)
        found[:, self.by_frequency[:common]] = True
        found[:, EOS_ID] = True
        for row, source in zip(found, sources, strict=True):
            for piece in source:
                # A piece that was never trained on has none.
                row[likely.get(piece, [])] = True
        return found


class ListWriter:
    """Writes a sentence with the pieces of its list alone, greedy, in numpy."""

    def __init__(self, engine: ReferenceEngine, search: SearchConfig) -> None:
        self.model, self.search = engine.model, search
        self.vocabulary = engine.model.settings.target_vocab_size

    def write(self, source: Sequence[int], allowed: Lists) -> tuple[int, ...]:
        """Return the output of a source, with the pieces that are allowed, (V,)."""
        s = self.model.settings

        def step(tokens: Ids, state: State) -> tuple[NDArray[np.float32], State]:
            logits, state = self.model.decode(tokens, state)
            return np.where(allowed, logits, np.float32(-np.inf)), state

        cap = output_cap(source, self.search, s.max_target_length)
        _, state = self.model.encode(np.array([*source, s.eos_id]))
        return greedy_search(step, state, Wanted(s.bos_id, s.eos_id, cap, self.search)).ids


def measure(
    lists: Lists,
    outputs: Sequence[Sequence[int]],
    sources: Sequence[Sequence[int]],
    writer: ListWriter,
    scorer: Scorer,
) -> Result:
    """Tell how much of the outputs is in their lists, what becomes of the rest, and how long the lists are."""
    held = [row[list(output)] for row, output in zip(lists, outputs, strict=True)]
    whole = [bool(each.all()) for each in held]
    written = [
        output if same else writer.write(source, row)
        for output, same, source, row in zip(outputs, whole, sources, lists, strict=True)
    ]
    return {
        "pieces": float(np.concatenate(held).mean()),
        "sentences": float(np.mean(whole)),
        "less_bleu": scorer.difference(written, outputs),
        "length": {str(size): union_length(lists, size) for size in BATCHES},
    }


def union_length(lists: Lists, size: int) -> dict[str, float]:
    """Return the mean and the greatest length of the lists of `size` neighbours together; what is left over is not."""
    whole = lists[: len(lists) // size * size].reshape(-1, size, lists.shape[1])
    lengths = whole.any(axis=1).sum(axis=1)
    return {"mean": float(lengths.mean()), "most": int(lengths.max())}


def step_of(
    work: Work, writer: ListWriter, sources: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]
) -> Result:
    """Count the multiplications for a piece that is written, those of its share of the source too, without attention's.

    Greedy, one piece a step. One sentence alone reads all weights for each piece: the same share of bytes as of
    products, but for the source, which is read at once.
    """
    source, target = (sum(len(each) + 1 for each in side) for side in (sources, outputs))
    output = writer.vocabulary * writer.model.settings.d_model
    whole = work.target_products + work.source_products * source / target
    return {"vocabulary": writer.vocabulary, "whole": whole, "output": output, "share": output / whole}


def gain_by_counts(step: Result, length: float) -> float:
    """Return how much faster it is if the product with the vocabulary is one with a list, and no other work is made."""
    return float(1 / (1 - step["share"] * (1 - length / step["vocabulary"])))


def gain_by_speeds(listed: Result) -> list[Result]:
    """Predict gains for the models of `native_speed`, from its speeds at several vocabularies, batch 16, greedy.

    Seconds for a piece are a line over the size of the vocabulary, of least squares of relative errors.
    """
    curves = json.loads((RESULTS / "native_speed.json").read_text(encoding="utf-8"))["curves"]
    found = []
    for shape, curve in curves.items():
        sizes = [row["vocabulary"] for row in curve["vocabulary"]]
        seconds = [1 / row["rates"]["native int8"]["median"] for row in curve["vocabulary"]]
        rest, each = line_of(sizes, seconds)
        for vocabulary in VOCABULARIES:
            whole = rest + each * vocabulary
            gains = {
                size: whole / (rest + each * min(length["mean"], vocabulary))
                for size, length in listed["length"].items()
            }
            shares = {"share": each * vocabulary / whole, "counted": counted_share(*SHAPES[shape], vocabulary)}
            found.append({"shape": shape, "vocabulary": vocabulary, **shares, "gain": gains})
    return found


def counted_share(layers: int, d_model: int, d_ff: int, vocabulary: int) -> float:
    """Count the share of the vocabulary's product where a source has as many pieces as its output, as in `step_of`."""
    # Queries, keys, values and output; in the decoder twice, of which the keys and values of the source stand with it.
    decoder = layers * (6 * d_model**2 + 2 * d_model * d_ff)
    encoder = layers * (6 * d_model**2 + 2 * d_model * d_ff)
    output = vocabulary * d_model
    return output / (output + decoder + encoder)


def line_of(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return a and b of seconds = a + b size, for which the relative errors are least in their squares."""
    rows = np.stack([np.ones(len(sizes)), np.array(sizes)], axis=1) / np.array(seconds)[:, None]
    rest, each = np.linalg.lstsq(rows, np.ones(len(sizes)), rcond=None)[0]
    return float(rest), float(each)


def lines(result: Result) -> list[str]:
    """Return the result as Markdown lines."""
    step = result["step"]
    text = [
        f"# Lists of likely target pieces: {result['run']}",
        "",
        f"IBM model 1 on {result['pairs']:,} training pairs, {ITERATIONS} iterations; {result['sentences']:,} "
        f"sentences of validation, greedy: {result['bleu']:.2f} BLEU with all {step['vocabulary']:,} pieces.",
        "",
        "A batch is multiplied with the union of the lists of its sentences, neighbours in the text; each of them may "
        "write pieces of its own list alone, or it would depend on the others. Gain: predicted; to make the lists, to "
        "copy their rows together and to keep a sentence from others' pieces is not counted.",
        "",
        f"The product with the vocabulary is {step['share']:.0%} of the multiplications for a piece, those of the "
        f"source among them and those of attention not: without it all is {gain_by_counts(step, 0):.2f}x as fast.",
        "",
        "| candidates a source piece | most frequent | pieces in the list | outputs in the list | BLEU, list - whole "
        + "".join(f"| length, batch {size} | gain " for size in BATCHES)
        + "|",
        "|---|---|---|---|---" + "|---|---" * len(BATCHES) + "|",
    ]
    for row in result["lists"]:
        low, high = row["less_bleu"]["interval"]
        cells = [str(row["candidates"]), str(row["common"]), f"{row['pieces']:.2%}", f"{row['sentences']:.1%}"]
        cells.append(f"{row['less_bleu']['value']:+.2f} [{low:+.2f}, {high:+.2f}]")
        for size in map(str, BATCHES):
            cells += [f"{row['length'][size]['mean']:,.0f}", f"{row['gain'][size]:.2f}x"]
        text.append(f"| {' | '.join(cells)} |")
    text += [
        "",
        "Greater models and vocabularies, by the speeds measured at batch 16, with lists of the last row:",
        "",
        "| model | vocabulary | share of the product, measured | counted | "
        + " | ".join(f"gain, batch {size}" for size in BATCHES)
        + " |",
        "|---|---|---|---|" + "---|" * len(BATCHES),
    ]
    for row in result["measured"]:
        gains = " | ".join(f"{row['gain'][str(size)]:.2f}x" for size in BATCHES)
        text.append(f"| {row['shape']} | {row['vocabulary']:,} | {row['share']:.0%} | {row['counted']:.0%} | {gains} |")
    return [*text, "", conclusion(result)]


def conclusion(result: Result) -> str:
    """Return what the longest lists cost and are predicted to gain."""
    longest, measured = result["lists"][-1], result["measured"]
    least = min(measured, key=lambda row: row["gain"]["1"])
    most = max(measured, key=lambda row: row["gain"]["1"])
    others = " and ".join(
        f"{row['gain'][str(BATCHES[-1])]:.2f}x to {row['gain']['1']:.2f}x ({row['shape']}, {row['vocabulary']:,})"
        for row in (least, most)
    )
    low, high = longest["less_bleu"]["interval"]
    alone, many = (f"{longest['gain'][str(size)]:.2f}x (batch {size})" for size in (BATCHES[0], BATCHES[-1]))
    return (
        f"Even with the longest lists {1 - longest['sentences']:.0%} of the outputs are not what the model writes "
        f"(BLEU {longest['less_bleu']['value']:+.2f} [{low:+.2f}, {high:+.2f}]). That would buy {many} to "
        f"{alone} for this model by counts; elsewhere, by speeds, {others}. It pays where a small model has a great "
        "vocabulary, and an engine that is to write what the model writes can offer it as a choice alone."
    )


if __name__ == "__main__":
    main()
