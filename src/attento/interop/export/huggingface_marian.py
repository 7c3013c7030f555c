"""A translation model as Hugging Face's `MarianMTModel`, which is the paper's Transformer with other names.

Junczys-Dowmunt et al. 2018, "Marian: Fast neural machine translation in C++" (arXiv:1804.00344).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attento.interop.export.base import NEVER_WRITTEN, Exporter, Runner, TrainedModel, misfits
from attento.interop.export.huggingface import (
    MAX_TOKENS,
    numbered_pieces,
    quiet_library,
    save_json,
    save_readme,
    save_weights,
)
from attento.interop.families.bart import stack_weights
from attento.models.translation.config import TransformerConfig
from attento.text.pieces import BLANK, SentencePieceTokenizer
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, TokenizerPair

_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new", "silu": "silu"}
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "positions": ("sinusoidal",),
    "normalization": ("layer",),
    "norm": ("post",),
    "norm_epsilon": (1e-5,),
    "feed_forward": tuple(_ACTIVATIONS),
    "scores": ("scaled",),
    "projections": (True,),
    "residual": (True,),
    "sliding_window": (None,),
    "embedding_norm": (False,),
}
_POSITIONS = 1024
"""Their table of sinusoidal positions has an end; a longer text is an error there."""

_CODE = """\
from transformers import MarianMTModel, MarianTokenizer

tokenizer, model = MarianTokenizer.from_pretrained("."), MarianMTModel.from_pretrained(".")
batch = tokenizer(["A sentence.", "Another one."], return_tensors="pt", padding=True)
print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))
"""


class MarianExporter(Exporter):
    """Features are sorted so that the sines of a position stand before its cosines, the only layout that Marian knows.

    Ids stay as they are. Their search divides by n^alpha where ours divides by ((5 + n) / 6)^alpha (Wu et al. 2016, eq.
    14): the same for an alpha of 0, and in a beam of 1.
    """

    packages = ("transformers",)

    def problems(self, run: TrainedModel) -> list[str]:
        """Return every reason why the run is no Marian model."""
        config = run.config
        if not isinstance(config, TransformerConfig):
            return [f"`model.architecture: {config.architecture}` cannot be said in Marian; only transformer"]
        found = misfits(config, _ALLOWED | {"num_kv_heads": (None, config.num_heads)}, "Marian")
        if config.d_model % config.num_heads:
            found.append(
                f"`model.num_heads: {config.num_heads}` must divide `model.d_model: {config.d_model}` in Marian"
            )
        shared = config.d_model // config.num_heads
        found += misfits(config, {"d_key": (None, shared), "d_value": (None, shared)}, "Marian")
        sides = ("",) if run.tokenizers.joint else ("source ", "target ")
        for side, tokenizer in zip(sides, (run.tokenizers.source, run.tokenizers.target), strict=False):
            found += [f"the {side}tokenizer {problem}" for problem in _tokenizer_problems(tokenizer)]
        return found

    def write(self, run: TrainedModel, folder: Path) -> None:
        """Write `config.json`, `generation_config.json`, `model.safetensors` and the tokenizer."""
        config = run.config
        assert isinstance(config, TransformerConfig)
        save_json(folder / "config.json", _config(config, run.tokenizers))
        save_json(folder / "generation_config.json", _search(run))
        save_weights(folder, _weights(config, run))
        _save_tokenizer(run, folder)
        save_readme(folder, pipeline="translation", languages=run.languages or (), code=_CODE)

    def reread(self, folder: Path) -> Runner:
        """Load what was written with `transformers`."""
        return MarianRunner(folder)


class MarianRunner:
    """`MarianMTModel` and `MarianTokenizer`, as anybody would load them."""

    def __init__(self, folder: Path) -> None:
        from transformers import MarianMTModel, MarianTokenizer

        with quiet_library():
            self.model: Any = MarianMTModel.from_pretrained(folder, dtype=torch.float32)
            self.tokenizer: Any = MarianTokenizer.from_pretrained(folder)
        self.model.train(False)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a source text, without eos."""
        ids: list[int] = self.tokenizer(text)["input_ids"]
        assert ids[-1] == EOS_ID
        return ids[:-1]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits of the token after bos and after each of `target`."""
        read = torch.tensor([[BOS_ID, *target]])
        with torch.inference_mode():
            found: Tensor = self.model(input_ids=torch.tensor([[*source, EOS_ID]]), decoder_input_ids=read).logits
        return found[0]

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable translation, token by token."""
        ids = torch.tensor([[*source, EOS_ID]])
        with quiet_library():
            found = self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                num_beams=1,
                length_penalty=1.0,
                max_new_tokens=max_length + 1,
            )
        written: list[int] = found[0].tolist()
        return written[1 : written.index(EOS_ID)]


def _tokenizer_problems(tokenizer: Tokenizer) -> Iterator[str]:
    if not isinstance(tokenizer, SentencePieceTokenizer):
        yield "is no sentencepiece model, but Marian's must be"
    elif all(piece.startswith(BLANK) for piece in tokenizer.pieces(range(EOS_ID + 1, tokenizer.vocab_size))):
        yield "has whole words for pieces (`data.tokenizer.model: word`); in Marian a row of unknown ones would be one"


def _config(config: TransformerConfig, tokenizers: TokenizerPair) -> dict[str, Any]:
    stacks = {
        f"{side}_{name}": value
        for side, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers))
        for name, value in (("layers", layers), ("attention_heads", config.num_heads), ("ffn_dim", config.d_ff))
    }
    return {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "dtype": "float32",
        "is_encoder_decoder": True,
        "vocab_size": tokenizers.source.vocab_size,
        "decoder_vocab_size": tokenizers.target.vocab_size,
        "d_model": config.d_model,
        **stacks,
        "activation_function": _ACTIVATIONS[config.feed_forward],
        "dropout": config.dropout,
        "max_position_embeddings": _POSITIONS,
        "scale_embedding": config.scale_embeddings,
        "static_position_embeddings": True,
        "normalize_before": False,
        "normalize_embedding": False,
        "share_encoder_decoder_embeddings": config.tied_embeddings == "all",
        "tie_word_embeddings": config.tied_embeddings != "none",
        "pad_token_id": PAD_ID,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "forced_eos_token_id": EOS_ID,
        "decoder_start_token_id": BOS_ID,
    }


def _search(run: TrainedModel) -> dict[str, Any]:
    return {
        "pad_token_id": PAD_ID,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "forced_eos_token_id": EOS_ID,
        "decoder_start_token_id": BOS_ID,
        "suppress_tokens": list(NEVER_WRITTEN[run.task]),
        "num_beams": run.search.beam_size,
        # For one beam there is nothing to compare, and the library would complain.
        "length_penalty": run.search.length_penalty if run.search.beam_size > 1 else 1.0,
        "max_length": MAX_TOKENS,
        "min_new_tokens": run.search.min_length or None,
        "no_repeat_ngram_size": run.search.no_repeat_ngram,
    }


def _save_tokenizer(run: TrainedModel, folder: Path) -> None:
    tokenizers = run.tokenizers
    tokenizers.source.save(folder / "source.spm")
    tokenizers.target.save(folder / "target.spm")
    save_json(folder / "vocab.json", numbered_pieces(tokenizers.source))
    if not tokenizers.joint:
        save_json(folder / "target_vocab.json", numbered_pieces(tokenizers.target))
    pad, unk, bos, eos = tokenizers.source.pieces((PAD_ID, UNK_ID, BOS_ID, EOS_ID))
    source_language, target_language = run.languages or (None, None)
    save_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "MarianTokenizer",
            "source_lang": source_language,
            "target_lang": target_language,
            "separate_vocabs": not tokenizers.joint,
            "pad_token": pad,
            "unk_token": unk,
            # So that it is left out of what is decoded: their own models start from padding.
            "bos_token": bos,
            "eos_token": eos,
            "model_max_length": MAX_TOKENS,
            "clean_up_tokenization_spaces": False,
        },
    )


def _weights(config: TransformerConfig, run: TrainedModel) -> dict[str, Tensor]:
    ours = dict(run.model.state_dict())
    if config.position_layout == "interleaved":
        ours = {name: in_halves(name, tensor) for name, tensor in ours.items()}
    weights = dict(_embeddings(config, ours))
    bias = ours.get("output_bias", torch.zeros(run.tokenizers.target.vocab_size))
    weights["final_logits_bias"] = bias[None]
    for weight in stack_weights(config.model_dump()):
        linear = weight.ours.removesuffix(".bias")
        # Without `bias`, what would be added is nothing.
        tensor = ours[weight.ours] if weight.ours in ours else torch.zeros(ours[f"{linear}.weight"].size(0))
        weights[weight.theirs] = weight.write(tensor)
    return weights


def _embeddings(config: TransformerConfig, ours: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    target = ours["target_embedding.weight"]
    if config.tied_embeddings == "all":
        yield "model.shared.weight", target
        return
    yield "model.encoder.embed_tokens.weight", ours["source_embedding.weight"]
    yield "model.decoder.embed_tokens.weight", target
    if config.tied_embeddings == "none":
        yield "lm_head.weight", ours["output_embedding.weight"]


_READS = (".query.weight", ".key.weight", ".value.weight", ".inner.weight", "embedding.weight")
"""Weights with a column for each feature of the model's vectors."""
_WRITES = ("_attention.output.", ".outer.", ".norm.")
"""Weights with a row for each feature of the model's vectors."""


def in_halves(name: str, weight: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Sort the features of the model's vectors: those of even number first, then the others.

    Interleaved sines and cosines become halves. All that a Transformer computes of a vector is a sum over its features,
    or the same for each, so that it computes the same when all its weights are sorted alike.

    Args:
        name: what our model calls the weight.
        weight: the weight.
    """
    if name.endswith(_READS):
        return torch.cat((weight[:, 0::2], weight[:, 1::2]), dim=1)
    if any(part in name for part in _WRITES):
        return torch.cat((weight[0::2], weight[1::2]))
    return weight
