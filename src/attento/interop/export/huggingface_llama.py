"""A language model as Hugging Face's `LlamaForCausalLM`.

Touvron et al. 2023, "LLaMA: Open and efficient foundation language models" (arXiv:2302.13971), section 2.2.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from attento.interop.export.base import NEVER_WRITTEN, Exporter, Runner, TrainedModel, misfits
from attento.interop.export.huggingface import quiet_library, save_json, save_readme, save_weights
from attento.interop.export.tokenizer_json import json_problems, make_tokenizer_json
from attento.interop.families.llama import Llama
from attento.interop.vocabulary import Renumbering
from attento.models.language.config import DecoderOnlyConfig
from attento.models.stack_config import RotaryConfig
from attento.text.pieces import SentencePieceTokenizer
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import save_joint

_ALLOWED: dict[str, tuple[Any, ...]] = {
    "positions": ("rotary",),
    "normalization": ("rms",),
    "norm": ("pre",),
    "feed_forward": ("swiglu",),
    "scores": ("scaled",),
    "projections": (True,),
    "residual": (True,),
    "sliding_window": (None,),
    "embedding_norm": (False,),
    "output_bias": (False,),
}

_CODE = """\
from transformers import AutoTokenizer, LlamaForCausalLM

tokenizer, model = AutoTokenizer.from_pretrained("."), LlamaForCausalLM.from_pretrained(".")
batch = tokenizer("A beginning", return_tensors="pt")
print(tokenizer.decode(model.generate(**batch, max_new_tokens=50)[0], skip_special_tokens=True))
"""


class LlamaExporter(Exporter):
    """Queries and keys whose rotary pairs are neighbours are sorted into halves, the only layout that LLaMA knows."""

    packages = ("google.protobuf", "tokenizers", "transformers")

    def problems(self, run: TrainedModel) -> list[str]:
        """Return every reason why the run is no LLaMA."""
        config = run.config
        if not isinstance(config, DecoderOnlyConfig):
            return [f"`model.architecture: {config.architecture}` cannot be said in LLaMA; only decoder_only"]
        found = misfits(config, _ALLOWED, "LLaMA")
        key, value = _head_widths(config)
        if key != value:
            found.append(f"`model.d_key: {key}` and `model.d_value: {value}` must be equal in LLaMA")
        if config.d_model % config.num_heads:
            found.append(
                f"`model.num_heads: {config.num_heads}` must divide `model.d_model: {config.d_model}` in LLaMA"
            )
        return found + json_problems(run.tokenizers.target)

    def write(self, run: TrainedModel, folder: Path) -> None:
        """Write `config.json`, `generation_config.json`, `model.safetensors` and the tokenizer."""
        config = run.config
        assert isinstance(config, DecoderOnlyConfig)
        save_json(folder / "config.json", _config(config, run))
        save_json(
            folder / "generation_config.json",
            {
                "bos_token_id": BOS_ID,
                "eos_token_id": EOS_ID,
                "pad_token_id": PAD_ID,
                "suppress_tokens": list(NEVER_WRITTEN[run.task]),
            },
        )
        save_weights(folder, _weights(config, run))
        tokenizer = run.tokenizers.target
        assert isinstance(tokenizer, SentencePieceTokenizer)
        save_joint(tokenizer, folder)
        make_tokenizer_json(tokenizer).save(str(folder / "tokenizer.json"))
        pad, unk, bos, eos = tokenizer.pieces((PAD_ID, UNK_ID, BOS_ID, EOS_ID))
        save_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": bos,
                "eos_token": eos,
                "pad_token": pad,
                "unk_token": unk,
                "padding_side": "left",
                "model_max_length": config.max_positions,
                "clean_up_tokenization_spaces": False,
            },
        )
        save_readme(folder, pipeline="text-generation", languages=(), code=_CODE)

    def reread(self, folder: Path) -> Runner:
        """Load what was written with `transformers`."""
        return LlamaRunner(folder)


class LlamaRunner:
    """`LlamaForCausalLM` and its tokenizer, as anybody would load them."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, LlamaForCausalLM

        with quiet_library():
            self.model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model.train(False)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without bos."""
        ids: list[int] = self.tokenizer(text)["input_ids"]
        assert ids[0] == BOS_ID
        return ids[1:]

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits of the token after bos, after each of the prompt and after each of `target`."""
        with torch.inference_mode():
            found: Tensor = self.model(input_ids=torch.tensor([[BOS_ID, *source, *target]])).logits
        return found[0]

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable tokens behind bos and a prompt."""
        ids = torch.tensor([[BOS_ID, *source]])
        with quiet_library():
            found = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=1, max_new_tokens=max_length
            )
        written: list[int] = found[0, ids.size(1) :].tolist()
        return written


def _head_widths(config: DecoderOnlyConfig) -> tuple[int, int]:
    shared = config.d_model // config.num_heads
    return config.d_key or shared, config.d_value or shared


def _tied(config: DecoderOnlyConfig) -> bool:
    """Tell whether one matrix serves: a factor that only what goes in is multiplied by makes two of it."""
    return config.tied_embeddings and not config.scale_embeddings


def _config(config: DecoderOnlyConfig, run: TrainedModel) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": run.tokenizers.target.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads or config.num_heads,
        "head_dim": _head_widths(config)[0],
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_epsilon,
        "attention_bias": config.bias,
        "mlp_bias": config.bias,
        "max_position_embeddings": config.max_positions,
        # By the names that versions before 5 know too.
        "rope_theta": config.rotary.base,
        "rope_scaling": _scaling(config.rotary),
        "tie_word_embeddings": _tied(config),
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": PAD_ID,
    }


def _scaling(rotary: RotaryConfig) -> dict[str, Any] | None:
    scaling = rotary.scaling
    if scaling is None:
        return None
    if scaling.kind == "linear":
        return {"rope_type": "linear", "factor": scaling.factor}
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low,
        "high_freq_factor": scaling.high,
        "original_max_position_embeddings": scaling.original_length,
    }


def _weights(config: DecoderOnlyConfig, run: TrainedModel) -> dict[str, Tensor]:
    ours = dict(run.model.state_dict())
    if not _tied(config):
        ours.setdefault("output_embedding.weight", ours["embedding.weight"])
    if config.scale_embeddings:
        ours["embedding.weight"] = ours["embedding.weight"] * math.sqrt(config.d_model)
    settings = config.model_dump() | {"tied_embeddings": _tied(config)}
    unchanged = Renumbering(tuple(range(run.tokenizers.target.vocab_size)), frozenset())
    weights = {}
    for weight in Llama().weights(settings, unchanged):
        tensor = weight.write(ours[weight.ours])
        if config.position_layout == "interleaved" and ".self_attention.query." in weight.ours:
            tensor = in_halves(tensor, config.num_heads)
        if config.position_layout == "interleaved" and ".self_attention.key." in weight.ours:
            tensor = in_halves(tensor, config.num_kv_heads or config.num_heads)
        weights[weight.theirs] = tensor
    return weights


def in_halves(projection: Float[Tensor, "HK ..."], heads: int) -> Float[Tensor, "HK ..."]:
    """Sort the features of each head: the first of every neighbouring pair, then the second of every pair.

    A score is a sum over features, so that it is the same where queries and keys are sorted alike.
    """
    by_head = torch.unflatten(projection, 0, (heads, -1))
    return torch.cat((by_head[:, 0::2], by_head[:, 1::2]), dim=1).flatten(0, 1)
