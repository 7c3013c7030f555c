"""The models that the paper names (Vaswani et al. 2017, Table 3), and some of its heirs, by name.

The heirs are the shapes that were released, in our parts. Where a count of parameters is not that of the release, the
difference is in what stands outside of the layers: T5 1.1 has one matrix for source and target and another for the
output, ours are three; BERT's count has the head that tells whether two sentences follow each other, ours has not;
BART has two learned positions more on either side, which it never uses; a number for each token's logit (Marian, BART)
is a parameter here and a fixed table there, and Marian's sinusoids are counted there.
"""

from dataclasses import dataclass
from typing import Any

from attento.errors import ConfigError
from attento.models.config import ModelConfig
from attento.models.language.config import DecoderOnlyConfig
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.translation.config import TransformerConfig
from attento.setting_trees import suggest


@dataclass(frozen=True)
class Preset:
    """A model by name.

    Attributes:
        about: what it is and where it is described.
        model: its settings.
        label_smoothing: that of its training; 0 where none was used.
        printed_parameters: how many parameters its authors say that it has, where they do.
        vocab_size: how many tokens there are; by default those of the paper's English-German models (section 5.1).
    """

    about: str
    model: ModelConfig
    label_smoothing: float = 0.1
    printed_parameters: float | None = None
    vocab_size: int = 37_000


def _variant(row: str, millions: float | None, label_smoothing: float = 0.1, **changes: Any) -> Preset:
    what = ", ".join(f"{key}={value}" for key, value in changes.items()) or f"label_smoothing={label_smoothing}"
    return Preset(
        f"Table 3, row {row}: {what}",
        TransformerConfig(**changes),
        label_smoothing,
        None if millions is None else millions * 1e6,
    )


def _layers(count: int) -> dict[str, int]:
    return {"encoder_layers": count, "decoder_layers": count}


_T5: dict[str, Any] = {
    "d_key": 64,
    "d_value": 64,
    "scores": "unscaled",
    "bias": False,
    "normalization": "rms",
    "norm_epsilon": 1e-6,
    "norm": "pre",
    "positions": "relative",
    "scale_embeddings": False,
}
_BIG = {"d_model": 1024, "d_ff": 4096, "num_heads": 16, "dropout": 0.3}

PRESETS: dict[str, Preset] = {
    "transformer_base": Preset("the base model", TransformerConfig(), printed_parameters=65e6),
    "transformer_big": Preset("the big model", TransformerConfig(**_BIG), printed_parameters=213e6),
    "transformer_a_1_head": _variant("A", None, num_heads=1, d_key=512, d_value=512),
    "transformer_a_4_heads": _variant("A", None, num_heads=4, d_key=128, d_value=128),
    "transformer_a_16_heads": _variant("A", None, num_heads=16, d_key=32, d_value=32),
    "transformer_a_32_heads": _variant("A", None, num_heads=32, d_key=16, d_value=16),
    "transformer_b_key_16": _variant("B", 58, d_key=16, d_value=64),
    "transformer_b_key_32": _variant("B", 60, d_key=32, d_value=64),
    "transformer_c_2_layers": _variant("C", 36, **_layers(2)),
    "transformer_c_4_layers": _variant("C", 50, **_layers(4)),
    "transformer_c_8_layers": _variant("C", 80, **_layers(8)),
    "transformer_c_model_256": _variant("C", 28, d_model=256, d_key=32, d_value=32),
    "transformer_c_model_1024": _variant("C", 168, d_model=1024, d_key=128, d_value=128),
    "transformer_c_ff_1024": _variant("C", 53, d_ff=1024),
    "transformer_c_ff_4096": _variant("C", 90, d_ff=4096),
    "transformer_d_dropout_0": _variant("D", None, dropout=0.0),
    "transformer_d_dropout_02": _variant("D", None, dropout=0.2),
    "transformer_d_smoothing_0": _variant("D", None, label_smoothing=0.0),
    "transformer_d_smoothing_02": _variant("D", None, label_smoothing=0.2),
    "transformer_e_learned_positions": _variant("E", None, positions="learned"),
    "gpt2": Preset(
        "GPT-2 (Radford et al. 2019), the smallest",
        DecoderOnlyConfig(
            architecture="decoder_only",
            layers=12,
            d_model=768,
            d_ff=3072,
            num_heads=12,
            feed_forward="gelu_tanh",
            positions="learned",
            max_positions=1024,
            scale_embeddings=False,
        ),
        label_smoothing=0.0,
        # The paper's 117 million were a mistake, as its authors say where they released it.
        printed_parameters=124e6,
        vocab_size=50_257,
    ),
    "llama_7b": Preset(
        "LLaMA (Touvron et al. 2023, arXiv:2302.13971), Table 2, first row",
        DecoderOnlyConfig(
            architecture="decoder_only",
            layers=32,
            d_model=4096,
            d_ff=11_008,
            num_heads=32,
            dropout=0.0,
            feed_forward="swiglu",
            bias=False,
            normalization="rms",
            norm_epsilon=1e-6,
            positions="rotary",
            position_layout="halves",
            scale_embeddings=False,
            tied_embeddings=False,
        ),
        label_smoothing=0.0,
        printed_parameters=6.7e9,
        vocab_size=32_000,
    ),
    "bert_base": Preset(
        "BERT base (Devlin et al. 2019), section 3",
        MaskedEncoderConfig(
            architecture="encoder_only",
            layers=12,
            d_model=768,
            d_ff=3072,
            num_heads=12,
            norm_epsilon=1e-12,
            segments=2,
            pooling="tanh",
        ),
        label_smoothing=0.0,
        printed_parameters=110e6,
        vocab_size=30_522,
    ),
    "t5_small": Preset(
        "T5 small (Raffel et al. 2020), section 3.7",
        TransformerConfig(**_T5),
        label_smoothing=0.0,
        printed_parameters=60e6,
        vocab_size=32_128,
    ),
    "t5_1_1_small": Preset(
        "T5 1.1 small, as released: gates (Shazeer 2020), six heads, eight layers, an output matrix of its own",
        TransformerConfig(
            **_T5 | _layers(8) | {"d_ff": 1024, "num_heads": 6, "feed_forward": "geglu_tanh", "tied_embeddings": "none"}
        ),
        label_smoothing=0.0,
        printed_parameters=77e6,
        vocab_size=32_128,
    ),
    "marian_base": Preset(
        "Marian (Junczys-Dowmunt et al. 2018) in the shape of OPUS-MT, English to German (Tiedemann & Thottingal 2020)",
        TransformerConfig(feed_forward="silu", position_layout="halves", output_bias=True),
        vocab_size=58_101,
    ),
    "bart_base": Preset(
        "BART base (Lewis et al. 2020, arXiv:1910.13461), section 5",
        TransformerConfig(
            d_model=768,
            d_ff=3072,
            num_heads=12,
            feed_forward="gelu",
            positions="learned",
            max_positions=1024,
            scale_embeddings=False,
            embedding_norm=True,
            output_bias=True,
        ),
        printed_parameters=140e6,
        vocab_size=50_265,
    ),
}


def find_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"`preset`: there is no preset `{name}`{suggest(name, list(PRESETS))}")
    return PRESETS[name]
