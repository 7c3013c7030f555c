"""LLaMA and those built like it, as a decoder without a source.

Touvron et al. 2023, "LLaMA: Open and efficient foundation language models" (arXiv:2302.13971), section 2.2; fewer heads
of keys and values by Touvron et al. 2023 (arXiv:2307.09288); Mistral's sliding window by Jiang et al. 2023
(arXiv:2310.06825), section 2.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from attento.errors import DataError
from attento.interop.families.shared import TOKENIZER_FILE, check_numbers, no_tokenizer, rebuild, tokens_of
from attento.interop.family import Family, ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import read_json
from attento.interop.vocabulary import Renumbering, renumber
from attento.text.pieces import SentencePieceTokenizer
from attento.text.renumbering import renumber_pieces
from attento.text.tokenizer import TokenizerPair, read_tokenizer_file

_PIECES, _ADDED = "tokenizer.model", "added_tokens.json"
_ROTARY_KINDS = ("default", "linear", "llama3")
_ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
_FEED_FORWARD = {"gate": "gate_proj", "inner": "up_proj", "outer": "down_proj"}


class Llama(Family):
    """RMSNorm before each sublayer, rotary positions, SwiGLU, grouped heads, no biases."""

    model_type = "llama"
    task = "language_modeling"
    prefix = "model."
    architectures = ("LlamaForCausalLM",)
    kv_heads: int | None = None
    """How many heads keys and values have where the file does not say; as many as queries if None."""

    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model."""
        config.expect_architecture(*self.architectures)
        for name in ("bos_token_id", "eos_token_id"):
            config.need(name)
        config.expect("hidden_act", "silu", "swish", default="silu")
        attention_bias, mlp_bias = config.get("attention_bias", False), config.get("mlp_bias", False)
        if attention_bias != mlp_bias:
            config.problems.append(
                f"`attention_bias: {attention_bias}` with `mlp_bias: {mlp_bias}` is not supported; only both or neither"
            )
        return {
            "architecture": "decoder_only",
            "layers": config.need("num_hidden_layers"),
            "d_model": config.need("hidden_size"),
            "d_ff": config.need("intermediate_size"),
            "num_heads": config.need("num_attention_heads"),
            "num_kv_heads": config.get("num_key_value_heads", self.kv_heads),
            "d_key": config.get("head_dim"),
            "d_value": config.get("head_dim"),
            "sliding_window": self.sliding_window(config),
            "feed_forward": "swiglu",
            "bias": attention_bias,
            "dropout": 0.0,
            "normalization": "rms",
            "norm_epsilon": config.get("rms_norm_eps", 1e-6),
            "norm": "pre",
            "positions": "rotary",
            "position_layout": "halves",
            "max_positions": config.get("max_position_embeddings", 2048),
            "rotary": _rotary(config),
            "scale_embeddings": False,
            "tied_embeddings": config.get("tie_word_embeddings", False),
        }

    def sliding_window(self, config: ForeignConfig) -> int | None:
        """Return how many tokens each one sees; all before it if None."""
        return None

    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read `tokenizer.json`, or `tokenizer.model`, which is sentencepiece's."""
        start, eos, pad = (config.values.get(f"{role}_token_id") for role in ("bos", "eos", "pad"))
        # Of several ends the first ends a text; the others end turns of a talk, and stay tokens like any other.
        roles: dict[str, Any] = {
            "start": start,
            "eos": eos[0] if isinstance(eos, list) and eos else eos,
            "pad": None if pad == -1 else pad,
        }
        for number in roles.values():
            if number is not None and type(number) is not int:
                raise DataError(f"{config.path}: says a special token of number {number!r}; a whole number is needed")
        if (path := folder / TOKENIZER_FILE).is_file():
            document = read_json(path)
            unknown = document.get("model", {}).get("unk_token")
            unk = None if unknown is None else tokens_of(document, path).index(unknown)
            return rebuild(document, path, config, unk=unk, **roles)
        if (path := folder / _PIECES).is_file():
            return _pieces(path, config, **roles)
        raise no_tokenizer(folder, TOKENIZER_FILE, _PIECES)

    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from."""
        kinds = ("weight", "bias") if model["bias"] else ("weight",)
        tied = model["tied_embeddings"]
        copies = ("lm_head.weight",) if tied else ()
        weights = [
            Weight("embedding.weight", "model.embed_tokens.weight", renumbering.rows, copies=copies),
            Weight("decoder_norm.weight", "model.norm.weight"),
        ]
        if not tied:
            weights.append(Weight("output_embedding.weight", "lm_head.weight", renumbering.rows))
        for layer in range(model["layers"]):
            weights += _layer(f"decoder.{layer}", f"model.layers.{layer}", kinds)
        return weights

    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing: older files hold the angles per place."""
        return name.endswith(".rotary_emb.inv_freq")


class Mistral(Llama):
    """LLaMA whose tokens see only so many before them."""

    model_type = "mistral"
    architectures = ("MistralForCausalLM",)
    kv_heads = 8

    def sliding_window(self, config: ForeignConfig) -> int | None:
        """Return how many tokens each one sees; all before it if None."""
        # Null is a value of its own here, and another one than the library's default.
        window: int | None = config.values.get("sliding_window", 4096)
        return window


def _pieces(path: Path, config: ForeignConfig, *, start: int, eos: int, pad: int | None) -> ForeignVocabulary:
    """Return a sentencepiece model in our order, with the tokens that were added behind its own."""
    model = read_tokenizer_file(path)
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        tokens, unk = [str(processor.id_to_piece(i)) for i in range(processor.vocab_size())], int(processor.unk_id())
    except (RuntimeError, UnicodeDecodeError) as problem:
        raise DataError(f"{path}: is not a sentencepiece model; download it again") from problem
    added = read_json(path.with_name(_ADDED)) if path.with_name(_ADDED).is_file() else {}
    new = sorted(added.keys() - set(tokens), key=added.__getitem__)
    check_numbers(config, path, len(tokens) + len(new), pad, start, eos)
    renumbering = renumber(len(tokens) + len(new), pad=pad, unk=unk, start=start, eos=eos)
    try:
        tokenizer = SentencePieceTokenizer(renumber_pieces(model, renumbering([*tokens, *new]), hidden=new))
    except ValueError as problem:
        raise DataError(f"{path}: cannot be used: {problem}") from problem
    return ForeignVocabulary(renumbering, TokenizerPair(tokenizer, tokenizer))


def _rotary(config: ForeignConfig) -> dict[str, Any]:
    """Return the settings of rotary positions; in older files base and scaling stand apart from each other."""
    given = config.get("rope_scaling", {}) or config.get("rope_parameters", {})
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in _ROTARY_KINDS:
        config.problems.append(f"`rope_type: {kind}` is not supported; only {' or '.join(_ROTARY_KINDS)}")
    share = given.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    if share != 1:
        config.problems.append(f"`partial_rotary_factor: {share}` is not supported; only 1.0")
    rotary: dict[str, Any] = {"base": given.get("rope_theta", config.get("rope_theta", 10000.0))}
    if kind in ("linear", "llama3"):
        rotary["scaling"] = {"kind": kind, "factor": given.get("factor")}
    if kind == "llama3":
        rotary["scaling"] |= {
            "low": given.get("low_freq_factor"),
            "high": given.get("high_freq_factor"),
            "original_length": given.get(
                "original_max_position_embeddings", config.get("max_position_embeddings", 2048)
            ),
        }
    return rotary


def _layer(ours: str, theirs: str, kinds: Sequence[str]) -> Iterator[Weight]:
    for kind in kinds:
        for name, foreign in _ATTENTION.items():
            yield Weight(f"{ours}.self_attention.{name}.{kind}", f"{theirs}.self_attn.{foreign}.{kind}")
        for name, foreign in _FEED_FORWARD.items():
            yield Weight(f"{ours}.feed_forward.{name}.{kind}", f"{theirs}.mlp.{foreign}.{kind}")
    yield Weight(f"{ours}.self_attention_residual.norm.weight", f"{theirs}.input_layernorm.weight")
    yield Weight(f"{ours}.feed_forward_residual.norm.weight", f"{theirs}.post_attention_layernorm.weight")
