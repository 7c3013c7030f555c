"""Masked language models with text on one side: how well they tell what is hidden in it."""

from pathlib import Path

import torch
from pydantic import PositiveInt

from attento.data.masked.batching import masked_evaluation_windows
from attento.data.masked.config import MASK_PIECE
from attento.data.masked.hiding import Hiding
from attento.data.stream.prepare import encode_text
from attento.device import choose_device
from attento.engines.loading import PartOfSettings, evaluating, load_weights, open_run
from attento.engines.scoring import TokenScore, score_hidden
from attento.errors import ConfigError, DataError, InputError, RunFolderError
from attento.models.base import MaskedLanguageModel
from attento.models.build import build_masked_model
from attento.models.config import MaskedModelConfig
from attento.text.tokenizer import Tokenizer, load_joint


class MaskedEngine:
    """Tells the tokens that are hidden in a text, with one model.

    The model is moved to the device and used as it is at each call, without dropout; its training mode is restored.

    Args:
        model: the model.
        tokenizer: the one it was trained with.
        hiding: how tokens are hidden when a text is scored: as in training.
        context: how many tokens of the text are read together then: as many as in training.
        device: where to compute, as torch names it; None for a CUDA device if there is one, else the CPU.
        max_batch_tokens: the most tokens in one batch, but one window at least. It bounds memory and changes speed, not
            results.

    Raises:
        ConfigError: the device cannot be used, or `max_batch_tokens` is not positive.
    """

    def __init__(
        self,
        model: MaskedLanguageModel,
        tokenizer: Tokenizer,
        *,
        hiding: Hiding,
        context: int,
        device: torch.device | str | None = None,
        max_batch_tokens: int = 4096,
    ) -> None:
        if max_batch_tokens < 1:
            raise ConfigError(f"`max_batch_tokens` must be at least 1, but got {max_batch_tokens}")
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.tokenizer = tokenizer
        self.hiding = hiding
        self.context = context
        self.max_batch_tokens = max_batch_tokens

    @classmethod
    def load(cls, run: Path, device: torch.device | str | None = None) -> "MaskedEngine":
        """Load the trained model of a run folder.

        Raises:
            RunFolderError: the folder holds no finished masked language model, one without a head, its weights cannot
                be read, or they do not fit the model that its settings describe.
            ConfigError: the settings in the folder are wrong, or the device cannot be used.
            DataError: the tokenizer in the folder is missing or damaged, or has no piece that hides.
        """
        folder, settings = open_run(run, "masked_language_modeling", _RunSettings)
        if not settings.model.head:
            raise RunFolderError(
                f"{run}: holds a model without the head that tells hidden tokens (`model.head: false`); "
                "use `attento embed` with it"
            )
        tokenizer = load_joint(folder.path)
        hiding = hiding_of(tokenizer, settings.data.mask_share, folder.path)
        model = build_masked_model(settings.model, tokenizer.vocab_size)
        load_weights(model, folder.weights)
        return cls(model, tokenizer, hiding=hiding, context=settings.data.context, device=device)

    def score(self, text: str) -> TokenScore:
        """Hide tokens of a text, always the same ones, and let the model tell them.

        Raises:
            InputError: there is no text, or it is not Unicode text.
        """
        ids = encode_text(self.tokenizer, text)
        if len(ids) == 1:
            raise InputError("there is no text to score")
        windows = masked_evaluation_windows(ids, self.context, self.max_batch_tokens, self.hiding)
        with evaluating(self.model):
            return score_hidden(self.model, windows, self.device)


def hiding_of(tokenizer: Tokenizer, share: float, folder: Path) -> Hiding:
    """Return how a tokenizer's text is hidden.

    Raises:
        DataError: the tokenizer, which is the folder's, has no piece that hides.
    """
    mask_id = tokenizer.piece_id(MASK_PIECE)
    if mask_id is None:
        raise DataError(
            f"{folder}: its tokenizer lacks `{MASK_PIECE}`, which stands for a hidden token; copy it again whole"
        )
    return Hiding(share, mask_id, tokenizer.vocab_size)


class _DataSettings(PartOfSettings):
    context: PositiveInt
    mask_share: float


class _RunSettings(PartOfSettings):
    data: _DataSettings
    model: MaskedModelConfig
