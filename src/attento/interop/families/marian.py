"""Marian's Transformer, as the thousands of OPUS-MT models are.

Junczys-Dowmunt et al. 2018, "Marian: Fast neural machine translation in C++" (arXiv:1804.00344); Tiedemann and
Thottingal 2020, "OPUS-MT: Building open translation services for the world".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attento.errors import DataError
from attento.interop.families.bart import embedding, output_bias, stack_weights, stacks
from attento.interop.families.shared import check_numbers
from attento.interop.family import Family, ForeignVocabulary, Weight
from attento.interop.foreign_config import ForeignConfig
from attento.interop.hub_folder import read_json
from attento.interop.vocabulary import Renumbering, renumber
from attento.text.pieces import SentencePieceTokenizer
from attento.text.renumbering import renumber_pieces, unnumbered_pieces
from attento.text.tokenizer import TokenizerPair, read_tokenizer_file

_NUMBERS = "vocab.json"
_UNKNOWN = "<unk>"


class Marian(Family):
    """The paper's Transformer, all sines of a position before all cosines, and a number added to each token's logit."""

    model_type = "marian"
    task = "translation"
    prefix = "model."

    def settings(self, config: ForeignConfig) -> dict[str, Any]:
        """Return the settings of our model."""
        config.expect_architecture("MarianMTModel")
        config.expect("share_encoder_decoder_embeddings", True, default=True)
        for name, usual in (("normalize_embedding", False), ("static_position_embeddings", True)):
            config.expect(name, usual, default=usual)
        return stacks(config) | {"positions": "sinusoidal", "position_layout": "halves"}

    def vocabulary(self, folder: Path, config: ForeignConfig) -> ForeignVocabulary:
        """Read the numbers of the pieces and the two sentencepiece models that cut text into them.

        A piece that has no number counts as unknown there; here it gets a row that is a copy of unknown's. Padding was
        never trained, so that nothing may be predicted by it.
        """
        tokens = _numbered(folder / _NUMBERS, config.number("vocab_size", 58101))
        models = {side: read_tokenizer_file(folder / f"{side}.spm") for side in ("source", "target")}
        pad, eos = config.number("pad_token_id", 58100), config.number("eos_token_id", 0)
        start = config.number("decoder_start_token_id", pad)
        check_numbers(config, folder / _NUMBERS, len(tokens), pad, eos, start)
        unk = tokens.index(_UNKNOWN)
        codes = [token for token in tokens if token.startswith(">>") and token.endswith("<<")]
        try:
            lacking = dict.fromkeys(piece for model in models.values() for piece in unnumbered_pieces(model, tokens))
            renumbering = renumber(
                len(tokens),
                pad=pad,
                unk=unk,
                start=start,
                eos=eos,
                spare=[unk] * len(lacking),
                never=[pad],
            )
            ours = [*renumbering(tokens)[: len(renumbering.order) - len(lacking)], *lacking]
            source, target = (
                SentencePieceTokenizer(renumber_pieces(model, ours, matched=codes)) for model in models.values()
            )
        except (ValueError, RuntimeError) as problem:
            raise DataError(
                f"{folder}: its tokenizer (source.spm, target.spm, {_NUMBERS}) cannot be used: {problem}"
            ) from None
        return ForeignVocabulary(renumbering, TokenizerPair(source, target))

    def weights(self, model: Mapping[str, Any], renumbering: Renumbering) -> Sequence[Weight]:
        """Return where each weight of ours comes from."""
        return [embedding(renumbering), output_bias(renumbering), *stack_weights(model)]

    def ignores(self, name: str) -> bool:
        """Tell whether a weight of theirs says nothing: positions are computed."""
        return name.endswith(".embed_positions.weight")


def _numbered(path: Path, rows: int) -> list[str]:
    """Return the piece of each number.

    Raises:
        DataError: the file is missing or damaged, or has other numbers than the model has rows.
    """
    numbers = read_json(path)
    if len(numbers) != rows or set(map(str, numbers.values())) != set(map(str, range(rows))):
        raise DataError(
            f"{path}: must number its {len(numbers):,} pieces from 0 to {rows - 1:,}, a row of the model each "
            "(`vocab_size` in config.json): bring the files of one model together"
        )
    if _UNKNOWN not in numbers:
        raise DataError(f"{path}: has no {_UNKNOWN}; download it again")
    return sorted(numbers, key=lambda piece: int(numbers[piece]))
