"""Translation with the very model that was trained, in torch, in float32."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from attento.data.batches import inference_batches
from attento.decoding.beam import beam_search
from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.constraints import Constraints
from attento.decoding.greedy import greedy_search
from attento.decoding.hypothesis import Hypothesis
from attento.decoding.sampling import sample
from attento.device import choose_device
from attento.engines.inputs import OF_NOTHING, check_prefixes, check_sources, output_cap
from attento.engines.loading import PartOfSettings, evaluating, load_weights, open_run
from attento.errors import ConfigError, RunFolderError
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.config import TranslationModelConfig
from attento.nn.state import DecoderState
from attento.text.special import BOS_ID, EOS_ID, PAD_ID
from attento.text.tokenizer import TokenizerPair


class TorchEngine:
    """An engine around a model of `attento.models`.

    The model is moved to the device and used as it is at each call, without dropout; its training mode is restored, so
    that a training loop can translate with the model it trains.

    Args:
        model: the model.
        device: where to compute, as torch names it; None for a CUDA device if there is one, else the CPU.
        max_batch_tokens: rows times longest source of one batch, each sentence counted `beam_size` times (when
            sampling, `n_best` times). It bounds memory and changes speed, not results.

    Raises:
        ConfigError: the device cannot be used, or `max_batch_tokens` is not positive.
    """

    def __init__(
        self, model: EncoderDecoder, *, device: torch.device | str | None = None, max_batch_tokens: int = 4096
    ) -> None:
        if max_batch_tokens < 1:
            raise ConfigError(f"`max_batch_tokens` must be at least 1, but got {max_batch_tokens}")
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.max_batch_tokens = max_batch_tokens

    @classmethod
    def load(cls, run: Path, device: torch.device | str | None = None) -> "TorchEngine":
        """Load the trained model of a run folder.

        Raises:
            RunFolderError: the folder holds no finished translation model, its weights cannot be read, or they do not
                fit the model that its settings describe; every tensor that does not fit is listed.
            ConfigError: the settings in the folder are wrong, or the device cannot be used.
            DataError: the tokenizer in the folder is missing or damaged.
        """
        folder, settings = open_run(run, "translation", _RunSettings)
        tokenizers = TokenizerPair.load(folder.path)
        model = build_translation_model(settings.model, tokenizers.source.vocab_size, tokenizers.target.vocab_size)
        load_weights(model, folder.weights)
        return cls(model, device=device)

    @property
    def max_source_length(self) -> int | None:
        """The most tokens a source may have, with the eos that the engine adds; None where there is no limit."""
        return self.model.max_source_length

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return for every source, in order, its hypotheses, best first.

        A beam of one is searched greedily. With `search.sampling` all hypotheses are drawn instead, each by itself,
        from seeds made of the seed, the number of the draw and the source, so that no source's draws depend on the
        others; two draws may be alike.

        Sources are pieces without bos and eos; an output may be `search.max_extra_length` pieces longer, or as long as
        the model can write if that is less. An empty source has the empty hypothesis, and the model is not asked. The
        hypotheses of a source begin with its prefix, if prefixes are given (see `decoding.constraints`).

        Raises:
            InputError: a source is longer than the model can read, a prefix is longer than the output may be, there are
                not as many prefixes as sources, or an id is not in the model's vocabulary.
            RunFolderError: the model's scores are not numbers.
        """
        check_sources(sources, self.model.max_source_length, self.model.source_vocab_size)
        caps = [output_cap(source, search, self.model.max_target_length) for source in sources]
        if prefixes is not None:
            check_prefixes(prefixes, caps, self.model.target_vocab_size)
        results = [[OF_NOTHING]] * len(sources)
        filled = [index for index, source in enumerate(sources) if len(source)]
        lengths = [len(sources[index]) + 1 for index in filled]
        with torch.inference_mode(), evaluating(self.model):
            width = search.n_best if search.sampling else search.beam_size
            for batch in inference_batches(lengths, max(1, self.max_batch_tokens // width)):
                indices = [filled[place] for place in batch]
                found = self._search(
                    [sources[index] for index in indices],
                    [caps[index] for index in indices],
                    search,
                    [] if prefixes is None else [prefixes[index] for index in indices],
                )
                for index, hypotheses in zip(indices, found, strict=True):
                    results[index] = hypotheses
        return results

    def _search(
        self,
        sources: Sequence[Sequence[int]],
        caps: Sequence[int],
        search: SearchConfig,
        prefixes: Sequence[Sequence[int]],
    ) -> list[list[Hypothesis]]:
        state = self.model.start(self.model.encode(*_pad(sources, self.device)))
        max_lengths = torch.tensor(caps, device=self.device)
        constraints = Constraints.of(search, prefixes, self.device)
        if search.sampling:
            found = self._sample(sources, state, max_lengths, search, search.sampling, constraints)
        elif search.beam_size == 1:
            best = greedy_search(
                self.model.decode,
                state,
                bos_id=BOS_ID,
                eos_id=EOS_ID,
                max_lengths=max_lengths,
                length_penalty=search.length_penalty,
                constraints=constraints,
            )
            found = [[hypothesis] for hypothesis in best]
        else:
            found = beam_search(
                self.model.decode,
                state,
                beam_size=search.beam_size,
                bos_id=BOS_ID,
                eos_id=EOS_ID,
                max_lengths=max_lengths,
                length_penalty=search.length_penalty,
                n_best=search.n_best,
                constraints=constraints,
            )
        # Where scores are no numbers, a beam search finds nothing and the others find nonsense.
        if not all(hypotheses and all(math.isfinite(each.score) for each in hypotheses) for hypotheses in found):
            raise RunFolderError("the model's scores are not numbers: its weights are damaged or its training diverged")
        return found

    def _sample(
        self,
        sources: Sequence[Sequence[int]],
        state: DecoderState,
        max_lengths: Int[Tensor, " B"],
        search: SearchConfig,
        sampling: SamplingConfig,
        constraints: Constraints | None,
    ) -> list[list[Hypothesis]]:
        rows = torch.arange(len(sources), device=self.device).repeat_interleave(search.n_best)
        drawn = sample(
            self.model.decode,
            state.select(rows),
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            max_lengths=max_lengths[rows],
            seeds=[(sampling.seed, number, *source) for source in sources for number in range(search.n_best)],
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            length_penalty=search.length_penalty,
            constraints=None if constraints is None else constraints.select(rows),
        )
        groups = [drawn[start : start + search.n_best] for start in range(0, len(drawn), search.n_best)]
        return [sorted(group, key=lambda each: each.score, reverse=True) for group in groups]


class _RunSettings(PartOfSettings):
    model: TranslationModelConfig = Field(discriminator="architecture")


def _pad(sources: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids with eos, padded to the longest, and the mask of what is no padding."""
    longest = max(map(len, sources)) + 1
    ids = [[*source, EOS_ID] + [PAD_ID] * (longest - len(source) - 1) for source in sources]
    lengths = torch.tensor([len(source) + 1 for source in sources])
    mask = torch.arange(longest) < lengths[:, None]
    return torch.tensor(ids).to(device), mask.to(device)
