"""BERT as a model that reads both ways.

Devlin et al. 2019, "BERT: Pre-training of deep bidirectional Transformers for language understanding"
(arXiv:1810.04805); sentence encoders made of it are Reimers & Gurevych 2019, "Sentence-BERT" (arXiv:1908.10084).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attento.data.masked.config import MASK_PIECE
from attento.errors import DataError
from attento.interop.families.shared import (
    ACTIVATIONS,
    TOKENIZER_FILE,
    no_tokenizer,
    rebuild,
    tokens_of,
    weight_and_bias,
)
from attento.interop.family import Family, ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import HubFolder, read_json
from attento.interop.vocabulary import Renumbering

_WORDS, _MODULES, _MODE, _POOLER = "vocab.txt", "modules.json", "pooling_mode_", "pooler.dense.weight"
_ROLES = ("pad", "unk", "cls", "sep", "mask")
_WITH_HEAD, _BARE = ("BertForMaskedLM", "BertForPreTraining"), "BertModel"
_POOLINGS = {"mean_tokens": "mean", "cls_token": "first"}
_LINEAR = {
    "self_attention.query": "attention.self.query",
    "self_attention.key": "attention.self.key",
    "self_attention.value": "attention.self.value",
    "self_attention.output": "attention.output.dense",
    "feed_forward.inner": "intermediate.dense",
    "feed_forward.outer": "output.dense",
}
_NORMS = {
    "self_attention_residual.norm": "attention.output.LayerNorm",
    "feed_forward_residual.norm": "output.LayerNorm",
}


class Bert(Family):
    """Learned positions and segments, normalization after each sublayer, and a head that tells hidden tokens or none.

    A sentence's vector is what the files of a sentence-transformers model say. Of other models, one without a head
    gives what its own library does, the layer over the first token, where it has that layer; else the mean is taken,
    the better of the two where no training for sentences followed (Reimers & Gurevych 2019, section 4.1).
    """

    model_type = "bert"
    task = "masked_language_modeling"
    prefix = "bert."

    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model."""
        names = config.get("architectures", [_BARE])
        config.expect_architecture(*_WITH_HEAD, _BARE)
        head = _BARE not in names
        config.expect("hidden_act", *(["gelu"] if head else ACTIVATIONS), default="gelu")
        config.expect("position_embedding_type", "absolute", default="absolute")
        config.expect("type_vocab_size", 2, default=2)
        config.expect("tie_word_embeddings", True, default=True)
        for name in ("is_decoder", "add_cross_attention"):
            config.expect(name, False, default=False)
        return {
            "architecture": "encoder_only",
            "layers": config.get("num_hidden_layers", 12),
            "d_model": config.get("hidden_size", 768),
            "d_ff": config.get("intermediate_size", 3072),
            "num_heads": config.get("num_attention_heads", 12),
            "feed_forward": ACTIVATIONS.get(config.get("hidden_act", "gelu")),
            "dropout": config.get("hidden_dropout_prob", 0.1),
            "norm_epsilon": config.get("layer_norm_eps", 1e-12),
            "norm": "post",
            "positions": "learned",
            "max_positions": config.get("max_position_embeddings", 512),
            "scale_embeddings": False,
            "embedding_norm": True,
            "segments": 2,
            "head": head,
            "pooling": _pooling(config, head),
        }

    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read `tokenizer.json`, or make it of `vocab.txt`."""
        told = HubFolder(folder).tokenizer_config
        path = folder / TOKENIZER_FILE
        if path.is_file():
            document = read_json(path)
        elif (path := folder / _WORDS).is_file():
            document = _word_pieces(path, told)
        else:
            raise no_tokenizer(folder, TOKENIZER_FILE, _WORDS)
        tokens = tokens_of(document, path)
        specials = [_special(told, role) for role in _ROLES]
        if missing := [token for token in specials if token not in tokens]:
            raise DataError(f"{path}: lacks the special token {missing[0]!r}; bring the files of one model together")
        pad, unk, start, eos, mask = (tokens.index(token) for token in specials)
        return rebuild(
            _renamed(document, tokens[mask], MASK_PIECE), path, config, pad=pad, unk=unk, start=start, eos=eos
        )

    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from."""
        tied = ("cls.predictions.decoder.weight",) if model["head"] else ()
        embeddings = "bert.embeddings"
        weights = [
            Weight("reader.embedding.weight", f"{embeddings}.word_embeddings.weight", renumbering.rows, copies=tied),
            Weight("reader.positions.weight", f"{embeddings}.position_embeddings.weight"),
            Weight("reader.segment_embedding.weight", f"{embeddings}.token_type_embeddings.weight"),
            *_norm("reader.embedding_norm", f"{embeddings}.LayerNorm"),
        ]
        for layer in range(model["layers"]):
            here, there = f"reader.layers.{layer}", f"bert.encoder.layer.{layer}"
            for ours, theirs in _LINEAR.items():
                weights += weight_and_bias(f"{here}.{ours}", f"{there}.{theirs}")
            for ours, theirs in _NORMS.items():
                weights += _norm(f"{here}.{ours}", f"{there}.{theirs}")
        if model["head"]:
            weights += weight_and_bias("head.linear", "cls.predictions.transform.dense")
            weights += _norm("head.norm", "cls.predictions.transform.LayerNorm")
            copies = ("cls.predictions.decoder.bias",)
            weights.append(Weight("head.bias", "cls.predictions.bias", renumbering.rows, copies=copies))
        if model["pooling"] == "tanh":
            weights += weight_and_bias("pooler", "bert.pooler.dense")
        return weights

    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing: the order of places, what is for pairs of sentences alone."""
        return name.startswith(("cls.seq_relationship.", "bert.pooler.")) or name.endswith(".position_ids")


def _norm(ours: str, theirs: str) -> Iterator[Weight]:
    """Yield both parts of a normalization, which the first files named as the paper of it does."""
    yield Weight(f"{ours}.weight", f"{theirs}.weight", copies=(f"{theirs}.gamma",))
    yield Weight(f"{ours}.bias", f"{theirs}.bias", copies=(f"{theirs}.beta",))


def _pooling(config: ForeignConfig, head: bool) -> str:
    """Return how a sentence's vector is made, noting what ours cannot do."""
    folder = HubFolder(config.path.parent)
    if (folder.path / _MODULES).is_file():
        return _pooling_of_modules(folder.path, config)
    return "tanh" if not head and any(name.endswith(_POOLER) for name in folder.files) else "mean"


def _pooling_of_modules(folder: Path, config: ForeignConfig) -> str:
    """Return what the files of a sentence-transformers model say: its parts, one after the other."""
    pooling = "mean"
    for module in _read_modules(folder / _MODULES):
        match str(module.get("type")).rpartition(".")[2]:
            case "Transformer" | "Normalize":
                pass
            case "Pooling":
                chosen = read_json(folder / str(module.get("path")) / "config.json")
                modes = [name.removeprefix(_MODE) for name, on in chosen.items() if name.startswith(_MODE) and on]
                pooling = _POOLINGS.get(modes[0] if len(modes) == 1 else "", "")
                if not pooling:
                    config.problems.append(
                        f"{_MODULES}: pooling by {' and '.join(modes)} is not supported; only {' or '.join(_POOLINGS)}"
                    )
            case kind:
                config.problems.append(
                    f"{_MODULES}: `{kind}` is not supported; only Transformer, Pooling and Normalize"
                )
    return pooling


def _read_modules(path: Path) -> list[dict[str, Any]]:
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); download it again") from problem
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise DataError(f"{path}: must be a list of the parts of a sentence encoder; download it again")
    return modules


def _word_pieces(path: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `tokenizer.json` of a list of pieces, a line each (Devlin et al. 2019, section 3)."""
    try:
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path}: cannot be read ({problem}); download it again") from problem
    marks = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    mask = _special(told, "mask")
    return {
        "added_tokens": [
            {"id": number, "content": piece} | marks for number, piece in enumerate(pieces) if piece == mask
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": told.get("tokenize_chinese_chars", True),
            "strip_accents": told.get("strip_accents"),
            "lowercase": told.get("do_lower_case", True),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": _special(told, "unk"),
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: number for number, piece in enumerate(pieces)},
        },
    }


def _special(told: Mapping[str, Any], role: str) -> str:
    """Return the token of a role; it may stand with how it is to be matched."""
    token = told.get(f"{role}_token", f"[{role.upper()}]")
    return str(token["content"] if isinstance(token, dict) else token)


def _renamed(document: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a `tokenizer.json` in which a token has another name."""
    vocabulary = {new if token == old else token: number for token, number in document["model"]["vocab"].items()}
    added = [token | {"content": new} if token["content"] == old else token for token in document["added_tokens"]]
    return {**document, "model": document["model"] | {"vocab": vocabulary}, "added_tokens": added}
