"""GPT-2 as a decoder without a source.

Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from attento.errors import DataError
from attento.interop.families.shared import ACTIVATIONS, TOKENIZER_FILE, no_tokenizer, rebuild, weight_and_bias
from attento.interop.family import Family, ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import read_json
from attento.interop.vocabulary import Renumbering

_VOCABULARY, _MERGES = "vocab.json", "merges.txt"
_LINEAR = {
    "self_attention.output": "attn.c_proj",
    "feed_forward.inner": "mlp.c_fc",
    "feed_forward.outer": "mlp.c_proj",
}
_NORMS = {"self_attention_residual.norm": "ln_1", "feed_forward_residual.norm": "ln_2"}


class GPT2(Family):
    """Learned positions, normalization before each sublayer, and one token that begins and ends every text."""

    model_type = "gpt2"
    task = "language_modeling"
    prefix = "transformer."

    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model."""
        config.expect_architecture("GPT2LMHeadModel", "GPT2Model")
        config.expect("activation_function", *ACTIVATIONS, default="gelu_new")
        for name in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"):
            config.expect(name, False, default=False)
        width = config.get("n_embd", 768)
        return {
            "architecture": "decoder_only",
            "layers": config.get("n_layer", 12),
            "d_model": width,
            "d_ff": config.get("n_inner", 4 * width),
            "num_heads": config.get("n_head", 12),
            "scores": "scaled" if config.get("scale_attn_weights", True) else "unscaled",
            "feed_forward": ACTIVATIONS.get(config.get("activation_function", "gelu_new")),
            "dropout": config.get("resid_pdrop", 0.1),
            "norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
            "norm": "pre",
            "positions": "learned",
            "max_positions": config.get("n_positions", 1024),
            "scale_embeddings": False,
            "tied_embeddings": config.get("tie_word_embeddings", True),
        }

    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read `tokenizer.json`, or make it of `vocab.json` and `merges.txt` (Radford et al. 2019, section 2.2)."""
        start, eos = (config.get(name, 50256) for name in ("bos_token_id", "eos_token_id"))
        path = folder / TOKENIZER_FILE
        if path.is_file():
            document = read_json(path)
        elif (folder / _VOCABULARY).is_file() and (folder / _MERGES).is_file():
            path = folder / _VOCABULARY
            document = _byte_level(path, folder / _MERGES)
        else:
            raise no_tokenizer(folder, TOKENIZER_FILE, f"{_VOCABULARY} and {_MERGES}")
        return rebuild(document, path, config, pad=None, unk=None, start=start, eos=eos)

    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from."""
        tied = model["tied_embeddings"]
        copies = ("lm_head.weight",) if tied else ()
        weights = [
            Weight("embedding.weight", "transformer.wte.weight", renumbering.rows, copies=copies),
            Weight("positions.weight", "transformer.wpe.weight"),
            *weight_and_bias("decoder_norm", "transformer.ln_f"),
        ]
        if not tied:
            weights.append(Weight("output_embedding.weight", "lm_head.weight", renumbering.rows))
        for layer in range(model["layers"]):
            weights += _layer(f"decoder.{layer}", f"transformer.h.{layer}")
        return weights

    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing: older files hold the mask of what comes later."""
        return name.endswith((".attn.bias", ".attn.masked_bias"))


def _byte_level(vocabulary: Path, merges: Path) -> dict[str, Any]:
    """Return the `tokenizer.json` of bytes and the pairs that are joined, a line each in their order."""
    try:
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{merges}: cannot be read ({problem}); download it again") from problem
    pairs = [line for line in lines if line and not line.startswith("#version")]
    by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": by_bytes,
        "post_processor": None,
        "decoder": by_bytes,
        "model": {"type": "BPE", "vocab": read_json(vocabulary), "merges": pairs},
    }


def _layer(ours: str, theirs: str) -> Iterator[Weight]:
    for kind in ("weight", "bias"):
        for part, name in enumerate(("query", "key", "value")):
            read = partial(_third, part=part)
            yield Weight(f"{ours}.self_attention.{name}.{kind}", f"{theirs}.attn.c_attn.{kind}", read)
        for name, foreign in _LINEAR.items():
            yield Weight(f"{ours}.{name}.{kind}", f"{theirs}.{foreign}.{kind}", _turned)
    for name, foreign in _NORMS.items():
        yield from weight_and_bias(f"{ours}.{name}", f"{theirs}.{foreign}")


def _third(tensor: Tensor, part: int) -> Tensor:
    """Return the part of queries, keys or values: they stand side by side."""
    return _turned(tensor.chunk(3, dim=-1)[part])


def _turned(tensor: Tensor) -> Tensor:
    """Return a matrix with a row for what comes out, as ours are; a vector as it is."""
    return tensor.T.contiguous() if tensor.dim() == 2 else tensor
