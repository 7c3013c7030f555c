"""Measure the native engine beside CTranslate2 int8 with the same weights, in one run, in turn; write it to `results/`.

    python benchmarks/native_speed.py                            # random weights: 15 minutes
    python benchmarks/native_speed.py --run RUN --text test.de   # and a trained run, outputs ending by themselves

Shapes: tiny = 3+3 layers, d 256, FFN 1024, 4 heads; base = 6+6, d 512, FFN 2048, 8 heads; vocabulary 8,000. Every
source has 24 pieces and every output is made to have 24. All of it runs on as many cores as it has threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ctranslate2
import numpy as np
import torch
from facts import provenance, write_result

from attento.engines.native import NativeEngine
from attento.engines.packed.file import read_packed, write_packed
from attento.interop.export.ctranslate2_spec import make_translation_spec
from attento.interop.export.native_tensors import NativeTensors, native_settings
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.speed.cases import Case
from attento.speed.contenders import Contender, CTranslate2, Native
from attento.speed.floor import Rates, Work, least_seconds
from attento.speed.measure import Timed, ratios, time_case

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"encoder_layers": 3, "decoder_layers": 3, "d_model": 256, "d_ff": 1024, "num_heads": 4},
    "base": {"encoder_layers": 6, "decoder_layers": 6, "d_model": 512, "d_ff": 2048, "num_heads": 8},
}
# What holds both engines to a lesser processor; it is read where a process begins.
HELD = {
    "avx512": {"ATTENTO_KERNELS": "avx512", "CT2_FORCE_CPU_ISA": "AVX512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2": {"ATTENTO_KERNELS": "avx2", "CT2_FORCE_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}
LENGTH = 24
CASES = [Case(batch, beam_size, LENGTH) for batch in (64, 1) for beam_size in (1, 4)]
SEED = 1


class Made:
    """A model with random weights, packed for the native engine and written for CTranslate2."""

    def __init__(self, folder: Path, shape: str, vocab_size: int = 8000) -> None:
        torch.manual_seed(SEED)
        config = TransformerConfig(norm="pre", **SHAPES[shape])
        model = build_translation_model(config, vocab_size, vocab_size).eval()
        self.path = folder / f"{shape}-{vocab_size}"
        self.path.mkdir()
        sizes = SimpleNamespace(vocab_size=vocab_size)
        run: Any = SimpleNamespace(model=model, tokenizers=SimpleNamespace(source=sizes, target=sizes))
        for numbers in ("int8", "bf16"):
            write_packed(
                self.path / f"{numbers}.attento",
                native_settings(run, config, numbers),
                NativeTensors(config, model.state_dict(), numbers).made,
            )
        self.tokens = ["<pad>", "<unk>", "<s>", "</s>", *(f"t{number}" for number in range(4, vocab_size))]
        spec = make_translation_spec(config, model.state_dict())
        spec.register_source_vocabulary(self.tokens)
        spec.register_target_vocabulary(self.tokens)
        spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = "<unk>", "<s>", "</s>"
        spec.config.decoder_start_token, spec.config.add_source_eos = "<s>", True
        spec.validate()
        spec.optimize()
        (self.path / "ctranslate2").mkdir()
        spec.save(str(self.path / "ctranslate2"))
        self.texts = np.random.default_rng(SEED).integers(4, vocab_size, (512, LENGTH)).tolist()

    def native(self, numbers: str = "int8", kernels: str | None = None) -> Native:
        """Return the native engine with this model."""
        return Native(self.path / f"{numbers}.attento", kernels, " ".join(filter(None, ["native", numbers, kernels])))

    def peer(self) -> CTranslate2:
        """Return CTranslate2 with this model."""
        return CTranslate2(self.path / "ctranslate2", (self.tokens, self.tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run with a packed model in it, for outputs that end")
    parser.add_argument("--text", type=Path, help="text for it, a sentence a line")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--held", choices=list(HELD), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.held:
        print(json.dumps(both_held(options.rounds)))
        return
    cores = sorted(os.sched_getaffinity(0))
    # One core until two threads are measured; what is started later inherits it.
    os.sched_setaffinity(0, cores[-1:])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = {shape: Made(Path(folder), shape) for shape in SHAPES}
        result: dict[str, Any] = {
            "provenance": provenance() | {"seed": SEED, "ctranslate2": ctranslate2.__version__},
            "main": {shape: main_table(each, options.rounds) for shape, each in made.items()},
            "held": {name: run_held(name, options.rounds) for name in HELD},
            "curves": {shape: curves(each, Path(folder), shape) for shape, each in made.items()},
            "start": {shape: cold_start(each) for shape, each in made.items()},
        }
        os.sched_setaffinity(0, cores[-2:])
        result["two threads"] = {
            shape: [
                compare(Case(64, beam, LENGTH, 2), each, options.rounds, [each.native(), each.peer()])
                for beam in (1, 4)
            ]
            for shape, each in made.items()
        }
        os.sched_setaffinity(0, cores[-1:])
        if options.run and options.text:
            result["trained"] = trained(options.run, options.text, Path(folder), options.rounds)
    write_result("native_speed", result, lines(result))


def main_table(made: Made, rounds: int) -> dict[str, Any]:
    """Time every case with every kernel set and number format that this processor runs."""
    import attento_native

    sets = [each for each in attento_native.available_kernels()[1:] if each != "portable"]
    contenders = [made.native(), made.native("bf16"), *(made.native(kernels=each) for each in sets), made.peer()]
    packed = made.path / "int8.attento"
    work = Work.of(read_packed(packed))
    rates = Rates.measure(NativeEngine.load(packed, threads=1), work)
    found = []
    for case in CASES:
        row = compare(case, made, rounds, contenders)
        pieces = case.batch * LENGTH
        row["share"] = least_seconds(work, rates, case) * row["rates"]["native int8"]["median"] / pieces
        found.append(row)
    return {"cases": found, "floor": asdict(rates) | asdict(work)}


def run_held(name: str, rounds: int) -> dict[str, Any]:
    """Time both engines in a process of its own, held to what a lesser processor can do."""
    command = [sys.executable, __file__, "--rounds", str(rounds), "--held", name]
    done = subprocess.run(command, env=os.environ | HELD[name], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def both_held(rounds: int) -> dict[str, Any]:
    """Time every case with the native engine and CTranslate2, as the environment holds them."""
    with tempfile.TemporaryDirectory() as folder:
        made = {shape: Made(Path(folder), shape) for shape in SHAPES}
        return {
            shape: [compare(case, each, rounds, [each.native(), each.peer()]) for case in CASES]
            for shape, each in made.items()
        }


def compare(case: Case, made: Made, rounds: int, contenders: list[Contender]) -> dict[str, Any]:
    """Time contenders in a case; the last one is what the others are compared with."""
    print(case.text, file=sys.stderr)
    return told(time_case(case, contenders, made.texts, rounds))


def told(timed: list[Timed]) -> dict[str, Any]:
    """Return medians, spreads, and ratios to the last contender."""
    return {
        "case": asdict(timed[0].case) | {"text": timed[0].case.text},
        "rates": {
            each.contender: {"median": each.median, "least": min(each.rates), "most": max(each.rates)} for each in timed
        },
        "ratios": {
            each.contender: dict(zip(("median", "least", "most"), ratios(each, timed[-1]), strict=True))
            for each in timed[:-1]
        },
    }


def curves(made: Made, folder: Path, shape: str) -> dict[str, list[dict[str, Any]]]:
    """Time batches, lengths and vocabularies, greedy, a few rounds each."""
    both = [made.native(), made.peer()]
    found = {
        "batch": [compare(Case(batch, 1, LENGTH), made, 3, both) for batch in (1, 4, 16, 64, 256)],
        "length": [compare(Case(16 if length < 500 else 2, 1, length), made, 3, both) for length in (5, 20, 100, 500)],
        "vocabulary": [],
    }
    for size in (4000, 16000, 64000):
        other = Made(folder, shape, size)
        found["vocabulary"].append(
            {"vocabulary": size} | compare(Case(16, 1, LENGTH), other, 3, [other.native(), other.peer()])
        )
    return found


_START = {
    "native": "import attento_native as a; e = a.Engine({path!r}); s = a.SearchSettings(); "
    "e.translate([{source}], [24], search=s)",
    "CTranslate2": "import ctranslate2; t = ctranslate2.Translator({path!r}, compute_type='int8', intra_threads=1); "
    "t.translate_batch([{source}])",
}
_MEMORY = "\nimport re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"


def cold_start(made: Made) -> dict[str, dict[str, float]]:
    """Time a fresh process from nothing to its first translation, and the most memory that it held."""
    paths = {"native": made.path / "int8.attento", "CTranslate2": made.path / "ctranslate2"}
    sources = {"native": made.texts[0], "CTranslate2": [made.tokens[piece] for piece in made.texts[0]]}
    found = {}
    for name, code in _START.items():
        program = code.format(path=str(paths[name]), source=sources[name])
        seconds, kibibytes = [], []
        for _ in range(7):
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    f"import time; began = time.perf_counter()\n{program}\nprint(time.perf_counter() - began){_MEMORY}",
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            first, second = done.stdout.split()
            seconds.append(float(first))
            kibibytes.append(float(second))
        found[name] = {"seconds": statistics.median(seconds), "mebibytes": statistics.median(kibibytes) / 1024}
    return found


def trained(run: Path, text: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Time a trained model on real text, each sentence to the end that the model gives it."""
    from attento.interop.export.ctranslate2 import CTranslate2Exporter, vocabulary
    from attento.interop.exporting import load_trained

    model = load_trained(run, "translation")
    written = folder / "trained"
    written.mkdir()
    CTranslate2Exporter().write(model, written)
    pair = model.tokenizers
    contenders = [
        Native(run / "model.attento", name="native int8"),
        CTranslate2(written, (vocabulary(pair.source), vocabulary(pair.target))),
    ]
    ids = [model.encode(line) for line in text.read_text(encoding="utf-8").split("\n") if line.strip()]
    return {
        "run": run.name,
        "sentences": len(ids),
        "cases": [
            told(time_case(Case(batch, beam, None), contenders, ids, rounds)) for batch in (64, 1) for beam in (1, 4)
        ],
    }


def lines(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    text = [
        "# The native engine beside CTranslate2 int8, the same weights, one thread on one core",
        "",
        "Pieces a second, median of the rounds; ratio to CTranslate2 int8 of the same round: median [least, most].",
        "",
    ]
    for shape, table in result["main"].items():
        names = list(table["cases"][0]["rates"])
        rows = [
            [row["case"]["text"], *(_cell(row, name) for name in names), f"{row['share']:.0%}"]
            for row in table["cases"]
        ]
        text += _table([shape, *names, "share of the least time"], rows)
        floor = table["floor"]
        text += [
            f"The least time: products at {floor['products'] / 1e9:.0f} billion multiplications a second, weights read "
            f"at {floor['bytes'] / 1e9:.0f} GB/s, both measured in this run.",
            "",
        ]
    for name, held in result["held"].items():
        text += _beside(f"both held to {name}", held)
    text += _beside("two threads on two cores", result["two threads"])
    if "trained" in result:
        found = result["trained"]
        title = f"trained, {found['sentences']} sentences to their own ends, sentences a second"
        text += _beside(title, {found["run"]: found["cases"]})
    for shape, start in result["start"].items():
        text += _table(
            [f"a fresh process, {shape}, to its first translation", "seconds", "MiB at most"],
            [[name, f"{each['seconds']:.3f}", f"{each['mebibytes']:.0f}"] for name, each in start.items()],
        )
    for shape, curve in result["curves"].items():
        for kind, rows in curve.items():
            text += _beside(f"{shape} by {kind}, greedy", {"": rows})
    return text


def _beside(title: str, groups: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return a table of the native engine and its peer, in several groups of cases."""
    rows = []
    for group, cases in groups.items():
        for row in cases:
            size = f"vocabulary {row['vocabulary']:,}" if "vocabulary" in row else row["case"]["text"]
            label = ", ".join(filter(None, [group, size]))
            rows.append([label, _cell(row, "native int8"), _cell(row, "CTranslate2 int8")])
    return _table([title, "native int8", "CTranslate2 int8"], rows)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows), ""]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(row: dict[str, Any], name: str) -> str:
    shown = f"{row['rates'][name]['median']:,.0f}"
    ratio = row["ratios"].get(name)
    return shown if ratio is None else f"{shown}, {ratio['median']:.2f}x [{ratio['least']:.2f}, {ratio['most']:.2f}]"


if __name__ == "__main__":
    main()
