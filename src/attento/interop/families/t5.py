"""T5 as an encoder-decoder, 1.0 and 1.1.

Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text Transformer"
(arXiv:1910.10683), section 2.1; the gates of 1.1 are those of Shazeer 2020 (arXiv:2002.05202).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from torch import Tensor

from attento.errors import DataError
from attento.interop.families.shared import TOKENIZER_FILE, check_numbers, no_tokenizer, rebuild, tokens_of
from attento.interop.family import Family, ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import read_json
from attento.interop.vocabulary import Renumbering, renumber
from attento.text.pieces import SentencePieceTokenizer
from attento.text.renumbering import renumber_pieces
from attento.text.tokenizer import TokenizerPair, read_tokenizer_file

_PIECES = "spiece.model"
_LEFT_OUT = 100
_ROUND = 128
_MARK = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}

_FEED_FORWARDS = {
    "relu": "relu",
    "gelu": "gelu",
    "silu": "silu",
    "gated-relu": "reglu",
    # Named after the exact function, but computed by the tanh.
    "gated-gelu": "geglu_tanh",
    "gated-silu": "swiglu",
}
_PROJECTIONS = {"query": "q", "key": "k", "value": "v", "output": "o"}
_PLAIN = {"inner": "wi", "outer": "wo"}
_GATED = {"gate": "wi_0", "inner": "wi_1", "outer": "wo"}
_EMBEDDING_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


class T5(Family):
    """RMSNorm before each sublayer, no biases, and positions as a learned bias for each distance.

    1.0 has one matrix of token vectors, and multiplies what the decoder made by 1 / sqrt(d_model) before the output's
    product: here a part of the last normalization's gain. 1.1 has gates, and an output matrix of its own.
    """

    model_type = "t5"
    task = "translation"

    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model."""
        config.expect_architecture("T5ForConditionalGeneration", "T5WithLMHeadModel")
        config.expect("feed_forward_proj", *_FEED_FORWARDS, default="relu")
        layers, head = config.get("num_layers", 6), config.get("d_kv", 64)
        # Newer files say what the older ones meant by their matrices being one.
        one_matrix = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
        return {
            "architecture": "transformer",
            "d_model": config.get("d_model", 512),
            "d_ff": config.get("d_ff", 2048),
            "num_heads": config.get("num_heads", 8),
            "d_key": head,
            "d_value": head,
            "scores": "unscaled",
            "encoder_layers": layers,
            "decoder_layers": config.get("num_decoder_layers", layers),
            "feed_forward": _FEED_FORWARDS.get(config.get("feed_forward_proj", "relu")),
            "bias": False,
            "dropout": config.get("dropout_rate", 0.1),
            "normalization": "rms",
            "norm_epsilon": config.get("layer_norm_epsilon", 1e-6),
            "norm": "pre",
            "positions": "relative",
            "relative": {
                "buckets": config.get("relative_attention_num_buckets", 32),
                "max_distance": config.get("relative_attention_max_distance", 128),
            },
            "scale_embeddings": False,
            "tied_embeddings": "all" if one_matrix else "none",
        }

    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read `tokenizer.json`, else the sentencepiece model behind it."""
        pad, eos = config.number("pad_token_id", 0), config.number("eos_token_id", 1)
        start = config.number("decoder_start_token_id", pad)
        if (path := folder / TOKENIZER_FILE).is_file():
            document = read_json(path)
            tokens = tokens_of(document, path)
            filled = list(enumerate(_filled_up(tokens, config, path)))
            document["added_tokens"] += [
                {"id": number, "content": token} | _MARK for number, token in filled[len(tokens) :]
            ]
            unk = document["model"].get("unk_id")
            return rebuild(document, path, config, pad=pad, unk=unk, start=start, eos=eos)
        if (path := folder / _PIECES).is_file():
            return _pieces(path, config, pad=pad, start=start, eos=eos)
        raise no_tokenizer(folder, TOKENIZER_FILE, _PIECES)

    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from."""
        rows, one_matrix = renumbering.rows, model["tied_embeddings"] == "all"
        if one_matrix:
            copies = (*_EMBEDDING_COPIES, "lm_head.weight")
            weights = [Weight("target_embedding.weight", "shared.weight", rows, copies=copies)]
        else:
            weights = [
                Weight("source_embedding.weight", "shared.weight", rows, copies=_EMBEDDING_COPIES),
                Weight("target_embedding.weight", "shared.weight", rows, copies=_EMBEDDING_COPIES),
                Weight("output_embedding.weight", "lm_head.weight", rows, copies=("shared.weight",)),
            ]
        for side, stack in (("source", "encoder"), ("target", "decoder")):
            biases = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            weights.append(Weight(f"{side}_relations.weight", biases))
            weights += _layers(model, stack)
        factor = model["d_model"] ** -0.5 if one_matrix else 1.0
        last = partial(_scaled, factor=factor), partial(_scaled, factor=1 / factor)
        weights.append(Weight("encoder_norm.weight", "encoder.final_layer_norm.weight"))
        weights.append(Weight("decoder_norm.weight", "decoder.final_layer_norm.weight", *last))
        return weights

    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing: the first files have distances to the source, never used."""
        return name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def _pieces(path: Path, config: ForeignConfig, *, pad: int, start: int, eos: int) -> ForeignVocabulary:
    """Read a sentencepiece model, behind which the tokens follow that stand for what was left out (section 3.1.4)."""
    model = read_tokenizer_file(path)
    try:
        processor = SentencePieceProcessor(model_proto=model)
        pieces = [str(processor.id_to_piece(number)) for number in range(processor.vocab_size())]
    except (RuntimeError, UnicodeDecodeError):
        raise DataError(f"{path}: is not a sentencepiece model; download it again") from None
    left_out = [f"<extra_id_{number}>" for number in reversed(range(_LEFT_OUT))]
    tokens = _filled_up([*pieces, *left_out], config, path)
    check_numbers(config, path, len(tokens), pad, start, eos)
    renumbering = renumber(len(tokens), pad=pad, unk=processor.unk_id(), start=start, eos=eos)
    try:
        ours = renumber_pieces(model, renumbering(tokens), hidden=tokens[len(pieces) :])
    except ValueError as problem:
        raise DataError(f"{path}: cannot be used: {problem}") from problem
    tokenizer = SentencePieceTokenizer(ours)
    return ForeignVocabulary(renumbering, TokenizerPair(tokenizer, tokenizer))


def _filled_up(tokens: Sequence[str], config: ForeignConfig, path: Path) -> list[str]:
    """Return the tokens with names for the rows that the matrix was filled up with to a round number, for speed."""
    rows = config.number("vocab_size", 32128)
    filling = range(len(tokens), rows) if rows == -(-len(tokens) // _ROUND) * _ROUND else range(0)
    return [*tokens, *(f"<row {number} without a token>" for number in filling)]


def _layers(model: Mapping[str, Any], stack: str) -> Iterator[Weight]:
    inside = _GATED if model["feed_forward"] in ("reglu", "geglu_tanh", "swiglu") else _PLAIN
    attentions = {"self_attention": "SelfAttention", "cross_attention": "EncDecAttention"}
    if stack == "encoder":
        del attentions["cross_attention"]
    for layer in range(model[f"{stack}_layers"]):
        ours, theirs = f"{stack}.{layer}", f"{stack}.block.{layer}.layer"
        for place, (name, foreign) in enumerate(attentions.items()):
            for part, short in _PROJECTIONS.items():
                yield Weight(f"{ours}.{name}.{part}.weight", f"{theirs}.{place}.{foreign}.{short}.weight")
            yield Weight(f"{ours}.{name}_residual.norm.weight", f"{theirs}.{place}.layer_norm.weight")
        last = len(attentions)
        for part, short in inside.items():
            yield Weight(f"{ours}.feed_forward.{part}.weight", f"{theirs}.{last}.DenseReluDense.{short}.weight")
        yield Weight(f"{ours}.feed_forward_residual.norm.weight", f"{theirs}.{last}.layer_norm.weight")


def _scaled(gain: Tensor, factor: float) -> Tensor:
    return gain * factor
