"""The table of `attento bench`: one model on every engine there is, in one run, in turn, beside the least time."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from attento.engines.choose import choose_engine
from attento.engines.native import NativeEngine
from attento.engines.packed.file import read_packed
from attento.errors import ConfigError, InputError, MissingExtraError
from attento.evaluation.report.section import NOTHING, Grid, Section, number
from attento.speed.cases import Case
from attento.speed.contenders import Contender, CTranslate2, Native, Torch
from attento.speed.floor import Rates, Work, least_seconds
from attento.speed.measure import Timed, ratios, time_case


@dataclass(frozen=True)
class Bench:
    """What was measured.

    Attributes:
        run: the run or packed file.
        kernels: the kernels that the native engine chose.
        rates: what the processor does in a second.
        timed: by case, every contender in order; the native engine first.
        shares: by case, the least time as a share of the native engine's; None where outputs end by themselves.
    """

    run: str
    kernels: str
    rates: Rates
    timed: tuple[tuple[Timed, ...], ...]
    shares: tuple[float | None, ...]

    def to_json(self) -> str:
        """Return all numbers as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2)

    def section(self) -> Section:
        """Return the table."""
        names = [each.contender for each in self.timed[0]]
        rows = []
        for timed, share in zip(self.timed, self.shares, strict=True):
            rates = [number(round(each.median)) for each in timed]
            faster = [_ratio(timed[0], other) for other in timed[1:]]
            unit = "pieces/s" if timed[0].case.length else "sentences/s"
            rows.append((timed[0].case.text, unit, *rates, *faster, NOTHING if share is None else f"{share:.0%}"))
        columns = ("case", "unit", *names, *(f"{names[0]} / {name}" for name in names[1:]), "share of the least time")
        products, read = self.rates.products / 1e9, self.rates.bytes / 1e9
        words = (
            f"Medians of {len(self.timed[0][0].rates)} rounds in turn; ratios of the same round, median, least and "
            f"greatest. Kernels {self.kernels}. The least time: all products at {products:.0f} billion multiplications "
            f"a second, and the decoder's weights read once a step at {read:.0f} GB/s, measured here on one thread."
        )
        return Section(f"Translating with {self.run}", words, (Grid(columns, tuple(rows)),))


def bench(
    run: Path,
    texts: Sequence[str],
    cases: Sequence[Case],
    rounds: int = 5,
    tell: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Time every engine that can translate with a model.

    Args:
        run: a run folder with a packed model in it, or the packed file; without a run folder, torch and CTranslate2
            have nothing to load.
        texts: real text, a sentence each.
        cases: how to translate.
        rounds: how often each engine is timed in each case.
        tell: called with what is being timed.

    Raises:
        ConfigError: there is no packed model, or one older than the weights.
        MissingExtraError: the native engine is not installed.
        InputError: there is no text to translate.
        RunFolderError: the run or the packed file is damaged.
    """
    if find_spec("attento_native") is None:
        raise MissingExtraError("attento_native", "native")
    packed = choose_engine(run, "native").model
    engine, work = NativeEngine.load(packed, threads=1), Work.of(read_packed(packed))
    rates = Rates.measure(engine, work)
    with _contenders(run, packed) as (contenders, sources):
        ids = [each for each in map(sources, texts) if each]
        if not ids:
            raise InputError("there is no text to translate: all lines are empty")
        timed = [tuple(time_case(case, contenders, ids, rounds, tell)) for case in cases]
    shares = [_share(each[0], work, rates) for each in timed]
    return Bench(run.name, engine.kernels, rates, tuple(timed), tuple(shares))


@contextmanager
def _contenders(run: Path, packed: Path) -> Iterator[tuple[list[Contender], Callable[[str], list[int]]]]:
    from attento.text.tokenizer import TokenizerPair
    from attento.translator import Translator

    contenders: list[Contender] = [Native(packed)]
    if not run.is_dir() or find_spec("torch") is None:
        yield contenders, Translator.load(packed).tokenizers.source.encode
        return
    contenders.append(Torch(run))
    with TemporaryDirectory() as folder:
        if find_spec("ctranslate2") is not None:
            contenders += _ctranslate2(run, Path(folder))
        yield contenders, TokenizerPair.load(run).source.encode


def _ctranslate2(run: Path, folder: Path) -> list[CTranslate2]:
    """Write a run for CTranslate2; nothing where that cannot hold it."""
    from attento.interop.export.ctranslate2 import CTranslate2Exporter, vocabulary
    from attento.interop.exporting import load_trained

    exporter, trained = CTranslate2Exporter(), load_trained(run, "translation")
    if exporter.problems(trained):
        return []
    exporter.write(trained, folder)
    pair = trained.tokenizers
    return [CTranslate2(folder, (vocabulary(pair.source), vocabulary(pair.target)))]


def _share(timed: Timed, work: Work, rates: Rates) -> float | None:
    if timed.case.length is None:
        return None
    # Threads share nothing but what memory gives: each has a batch of its own.
    pieces = timed.case.batch * timed.case.length
    return least_seconds(work, rates, timed.case) * timed.median / timed.case.threads / pieces


def _ratio(one: Timed, other: Timed) -> str:
    median, least, most = ratios(one, other)
    return f"{median:.2f}x [{least:.2f}, {most:.2f}]"


def usual_cases(batch: int, beam_size: int, length: int, threads: int) -> list[Case]:
    """Return the cases of the verb: full batches and single sentences, greedy and by beam, of one and more threads.

    Raises:
        ConfigError: a number is less than 1.
    """
    for name, value in {"batch": batch, "beam-size": beam_size, "length": length, "threads": threads}.items():
        if value < 1:
            raise ConfigError(f"--{name} must be at least 1, but got {value}")
    cases = [Case(size, beam, length) for size in dict.fromkeys((batch, 1)) for beam in dict.fromkeys((1, beam_size))]
    if threads > 1:
        cases += [Case(batch, beam, length, threads) for beam in dict.fromkeys((1, beam_size))]
    return [*cases, Case(batch, beam_size, None, threads)]
