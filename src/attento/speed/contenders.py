"""Who is timed: the native engine, torch, and CTranslate2 with the same weights, each through one door."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from attento.engines.native import NativeEngine
from attento.speed.cases import Case

Translate = Callable[[Sequence[Sequence[int]]], int]
"""Translate sources and return how many pieces the best hypotheses have together."""


@runtime_checkable
class Contender(Protocol):
    """Something that translates."""

    name: str

    def prepare(self, case: Case) -> Translate:
        """Return what translates in the way of a case; making it is not timed."""
        ...


class Native:
    """The native engine with a packed model."""

    def __init__(self, packed: Path, kernels: str | None = None, name: str = "native") -> None:
        self.packed, self.kernels, self.name = packed, kernels, name

    def prepare(self, case: Case) -> Translate:
        """Map the file, and start the workers."""
        engine = NativeEngine.load(
            self.packed, threads=case.threads, max_rows=case.batch * case.beam_size, kernels=self.kernels
        )
        search = case.search
        return lambda sources: sum(len(found[0].ids) for found in engine.translate(sources, search))


class Torch:
    """The torch engine with the run's own weights, in float32."""

    name = "torch fp32"

    def __init__(self, run: Path) -> None:
        from attento.engines.torch import TorchEngine

        self.engine = TorchEngine.load(run, "cpu")

    def prepare(self, case: Case) -> Translate:
        """Set torch's threads and how much it translates at once."""
        import torch

        torch.set_num_threads(case.threads)
        search = case.search

        def translate(sources: Sequence[Sequence[int]]) -> int:
            longest = max(map(len, sources)) + 1
            self.engine.max_batch_tokens = case.batch * longest * case.beam_size
            return sum(len(found[0].ids) for found in self.engine.translate(sources, search))

        return translate


class CTranslate2:
    """CTranslate2 with the same weights, as `attento export --format ctranslate2` writes them, quantized by itself."""

    def __init__(
        self, folder: Path, vocabulary: tuple[Sequence[str], Sequence[str]], compute_type: str = "int8"
    ) -> None:
        self.folder, self.compute_type = folder, compute_type
        self.source, self.target = vocabulary
        self.name = f"CTranslate2 {compute_type}"

    def prepare(self, case: Case) -> Translate:
        """Load the model, with as many workers of one thread as the case has threads."""
        import ctranslate2

        translator = ctranslate2.Translator(
            str(self.folder),
            device="cpu",
            compute_type=self.compute_type,
            inter_threads=case.threads,
            intra_threads=1,
        )
        # Never what no search of ours writes either: the first three ids are padding, unknown and beginning.
        options = {"beam_size": case.beam_size, "max_batch_size": case.batch, "length_penalty": 0.6}
        if case.length is not None:
            options |= {"min_decoding_length": case.length, "max_decoding_length": case.length}

        def translate(sources: Sequence[Sequence[int]]) -> int:
            tokens = [[self.source[piece] for piece in source] for source in sources]
            return sum(len(found.hypotheses[0]) for found in translator.translate_batch(tokens, **options))

        return translate
