"""Denoising models with text on one side: how well they write the spans that are cut out of it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import PositiveInt

from attento.data.denoising.batching import evaluation_pairs
from attento.data.denoising.config import sentinel_pieces
from attento.data.denoising.spans import Noise
from attento.data.stream.prepare import encode_text
from attento.device import choose_device
from attento.engines.loading import PartOfSettings, evaluating, load_weights, open_run
from attento.engines.scoring import TokenScore, score_pairs
from attento.errors import ConfigError, DataError, InputError
from attento.models.base import EncoderDecoder
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.text.tokenizer import Tokenizer, load_joint


class DenoisingEngine:
    """Writes the spans that are cut out of a text, with one model.

    The model is moved to the device and used as it is at each call, without dropout; its training mode is restored.

    Args:
        model: the model.
        tokenizer: the one it was trained with.
        noise: how much is cut out when a text is scored: as in training.
        context: how many tokens of the text are read together then: as many as in training.
        device: where to compute, as torch names it; None for a CUDA device if there is one, else the CPU.
        max_batch_tokens: the most tokens in one batch, but one window at least. It bounds memory and changes speed, not
            results.

    Raises:
        ConfigError: the device cannot be used, or `max_batch_tokens` is not positive.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        tokenizer: Tokenizer,
        *,
        noise: Noise,
        sentinels: Sequence[int],
        context: int,
        device: torch.device | str | None = None,
        max_batch_tokens: int = 4096,
    ) -> None:
        if max_batch_tokens < 1:
            raise ConfigError(f"`max_batch_tokens` must be at least 1, but got {max_batch_tokens}")
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.tokenizer = tokenizer
        self.noise = noise
        self.sentinels = sentinels
        self.context = context
        self.max_batch_tokens = max_batch_tokens

    @classmethod
    def load(cls, run: Path, device: torch.device | str | None = None) -> "DenoisingEngine":
        """Load the trained model of a run folder.

        Raises:
            RunFolderError: the folder holds no finished denoising model, its weights cannot be read, or they do not fit
                the model that its settings describe.
            ConfigError: the settings in the folder are wrong, or the device cannot be used.
            DataError: the tokenizer in the folder is missing or damaged, or lacks a sentinel.
        """
        folder, settings = open_run(run, "denoising", _RunSettings)
        tokenizer = load_joint(folder.path)
        noise, context = Noise(settings.data.noise_share, settings.data.mean_span), settings.data.context
        sentinels = sentinels_of(tokenizer, noise.counts(context)[1] + 1, folder.path)
        model = build_translation_model(settings.model, tokenizer.vocab_size, tokenizer.vocab_size)
        load_weights(model, folder.weights)
        return cls(model, tokenizer, noise=noise, sentinels=sentinels, context=context, device=device)

    def score(self, text: str) -> TokenScore:
        """Cut spans out of a text, always the same ones, and let the model write them under teacher forcing.

        Raises:
            InputError: there is no text, or it is not Unicode text.
        """
        ids = encode_text(self.tokenizer, text)
        if len(ids) == 1:
            raise InputError("there is no text to score")
        pairs = evaluation_pairs(ids, self.context, self.noise, self.sentinels)
        with evaluating(self.model):
            return score_pairs(self.model, pairs, self.device, self.max_batch_tokens)


def sentinels_of(tokenizer: Tokenizer, count: int, folder: Path) -> list[int]:
    """Return the ids of so many sentinels.

    Raises:
        DataError: the tokenizer, which is the folder's, lacks one.
    """
    ids = []
    for piece in sentinel_pieces(count):
        number = tokenizer.piece_id(piece)
        if number is None:
            raise DataError(
                f"{folder}: its tokenizer lacks `{piece}`, which stands for what is cut out; copy it again whole"
            )
        ids.append(number)
    return ids


class _DataSettings(PartOfSettings):
    context: PositiveInt
    noise_share: float
    mean_span: float


class _RunSettings(PartOfSettings):
    data: _DataSettings
    model: TransformerConfig
