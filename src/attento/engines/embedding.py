"""Sentence encoders with text on one side and vectors on the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray

from attento.data.batches import inference_batches, pad
from attento.device import choose_device
from attento.engines.loading import PartOfSettings, evaluating, load_weights, open_run
from attento.errors import ConfigError, InputError, RunFolderError
from attento.models.base import MaskedLanguageModel, Sentences
from attento.models.build import build_masked_model
from attento.models.masked.config import MaskedEncoderConfig
from attento.text.special import BOS_ID
from attento.text.tokenizer import Tokenizer, load_joint


class SentenceEncoder:
    """Makes one vector of each sentence (Reimers & Gurevych 2019, arXiv:1908.10084), which stand near where they agree.

    The model is moved to the device and used as it is at each call, without dropout; its training mode is restored.

    Args:
        model: the model.
        tokenizer: the one it was trained with.
        device: where to compute, as torch names it; None for a CUDA device if there is one, else the CPU.
        max_batch_tokens: rows times tokens of the longest sentence of one batch. It bounds memory and changes speed,
            not results.

    Raises:
        ConfigError: the device cannot be used, or `max_batch_tokens` is not positive.
    """

    def __init__(
        self,
        model: MaskedLanguageModel,
        tokenizer: Tokenizer,
        *,
        device: torch.device | str | None = None,
        max_batch_tokens: int = 4096,
    ) -> None:
        if max_batch_tokens < 1:
            raise ConfigError(f"`max_batch_tokens` must be at least 1, but got {max_batch_tokens}")
        self.device = choose_device("auto" if device is None else str(device))
        self.model = model.to(self.device)
        self.tokenizer = tokenizer
        self.max_batch_tokens = max_batch_tokens

    @classmethod
    def load(cls, run: Path, device: torch.device | str | None = None) -> "SentenceEncoder":
        """Load the model of a run folder.

        Raises:
            RunFolderError: the folder holds no finished model that reads both ways, its weights cannot be read, or they
                do not fit the model that its settings describe.
            ConfigError: the settings in the folder are wrong, or the device cannot be used.
            DataError: the tokenizer in the folder is missing or damaged.
            MissingExtraError: a package that the tokenizer needs is not installed.
        """
        folder, settings = open_run(run, "masked_language_modeling", _RunSettings)
        tokenizer = load_joint(folder.path)
        model = build_masked_model(settings.model, tokenizer.vocab_size)
        load_weights(model, folder.weights)
        return cls(model, tokenizer, device=device)

    def embed(self, texts: Sequence[str], *, unit: bool = False) -> Float[np.ndarray, "N D"]:
        """Return a float32 vector for every text, in order; no text's vector depends on the others.

        Args:
            texts: sentences, or anything that the model can read at once.
            unit: make each vector one unit long, so that the product of two is their cosine.

        Raises:
            InputError: `texts` is a single string, or a text is no Unicode text or longer than the model can read.
            RunFolderError: the model's vectors are not numbers.
        """
        if isinstance(texts, str):
            raise InputError("embed takes a list of texts; put a single one into brackets: embed([text])")
        rows = [self._encode(text, number) for number, text in enumerate(texts)]
        vectors = np.zeros((len(rows), self.model.d_model), dtype=np.float32)
        with torch.inference_mode(), evaluating(self.model):
            for places in inference_batches([len(row) + 1 for row in rows], self.max_batch_tokens):
                ids, mask = pad([rows[place] for place in places])
                found = self.model.embed(Sentences(ids.to(self.device), mask.to(self.device))).float()
                vectors[places] = (F.normalize(found, dim=-1) if unit else found).cpu().numpy()
        if not np.isfinite(vectors).all():
            raise RunFolderError(
                "the model's vectors are not numbers: its weights are damaged or its training diverged"
            )
        return vectors

    def _encode(self, text: str, number: int) -> NDArray[np.int32]:
        """Return the ids of a text behind bos; eos comes with the padding."""
        row = np.array([BOS_ID, *self.tokenizer.encode(text)], dtype=np.int32)
        limit = self.model.max_length
        if limit is not None and len(row) + 1 > limit:
            raise InputError(
                f"text {number} (counted from 0) has {len(row) + 1} tokens, its begin and end counted, but the model "
                f"reads at most {limit}; shorten it or split it into sentences"
            )
        return row


class _RunSettings(PartOfSettings):
    model: MaskedEncoderConfig
