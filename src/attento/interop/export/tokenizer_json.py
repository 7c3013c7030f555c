"""A sentencepiece vocabulary as a `tokenizer.json` of the library `tokenizers`, with the same ids for every text."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attento.text.pieces import BLANK, SentencePieceTokenizer
from attento.text.special import BOS_ID, EOS_ID, UNK_ID
from attento.text.tokenizer import Tokenizer

# The kinds of pieces and models in sentencepiece_model.proto.
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_UNIGRAM, _WORD = 1, 3


def json_problems(tokenizer: Tokenizer) -> list[str]:
    """Return every reason why `tokenizers` cannot cut texts as this vocabulary does."""
    if not isinstance(tokenizer, SentencePieceTokenizer):
        return ["the tokenizer is no sentencepiece model, and only such a one is turned into tokenizer.json"]
    model = _read(tokenizer)
    kind, bytes_too = model.trainer_spec.model_type, model.trainer_spec.byte_fallback
    if kind == _WORD:
        return ["`data.tokenizer.model: word` cannot be said in tokenizer.json; only bpe, char or unigram"]
    if kind == _UNIGRAM and not bytes_too:
        return [
            "`data.tokenizer.model: unigram` with `byte_fallback: false` cannot be said in tokenizer.json, which makes "
            "one <unk> of a row of unknown characters; only with `byte_fallback: true`"
        ]
    return []


def make_tokenizer_json(tokenizer: SentencePieceTokenizer) -> Any:
    """Make a tokenizer of the library `tokenizers`, which puts bos before a text, as a model reads it."""
    from tokenizers import AddedToken, Regex, decoders, normalizers, pre_tokenizers, processors
    from tokenizers import Tokenizer as FastTokenizer

    model = _read(tokenizer)
    fast = FastTokenizer(_make_model(model))
    steps = list(_normalizers(model.normalizer_spec))
    fast.normalizer = normalizers.Sequence(steps)
    # A byte's name, <0x41>, is no text: where text has it all the same, it is not looked up whole.
    fast.pre_tokenizer = pre_tokenizers.Split(Regex("<(?=0x[0-9A-F]{2}>)"), "isolated")
    spaces = [decoders.Strip(content=" ", left=1)] if model.normalizer_spec.add_dummy_prefix else []
    fast.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), *spaces])
    pieces = list(model.pieces)
    fast.add_special_tokens([AddedToken(piece.piece, normalized=False, special=True) for piece in pieces[: EOS_ID + 1]])
    # A single character is a piece whatever stands around it, and needs no word of its own.
    wholes = [each.piece for each in pieces if each.type in (_USER_DEFINED, _CONTROL) and len(each.piece) > 1]
    fast.add_tokens([AddedToken(piece, normalized=False) for piece in wholes if piece not in _names(pieces)])
    bos = pieces[BOS_ID].piece
    fast.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B:1", special_tokens=[(bos, BOS_ID)]
    )
    return fast


def _names(pieces: list[Any]) -> set[str]:
    return {piece.piece for piece in pieces[: EOS_ID + 1]}


def _make_model(model: Any) -> Any:
    from tokenizers import models

    pieces, bytes_too = list(model.pieces), bool(model.trainer_spec.byte_fallback)
    if model.trainer_spec.model_type == _UNIGRAM:
        scored = [(piece.piece, piece.score) for piece in pieces]
        return models.Unigram(scored, unk_id=UNK_ID, byte_fallback=bytes_too)
    return models.BPE(
        vocab={piece.piece: i for i, piece in enumerate(pieces)},
        merges=_merges(pieces),
        unk_token=pieces[UNK_ID].piece,
        byte_fallback=bytes_too,
        # Each unknown character is one, as ours are.
        fuse_unk=False,
    )


def _merges(pieces: list[Any]) -> list[tuple[str, str]]:
    """Return the pairs that become one piece, as sentencepiece prefers them: by the piece's score."""
    scores = {piece.piece: piece.score for piece in pieces if piece.type == _NORMAL}
    ranked = sorted((piece for piece in scores if len(piece) > 1), key=lambda piece: -scores[piece])
    return [
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


def _normalizers(spec: Any) -> Iterator[Any]:
    from tokenizers import Regex, normalizers

    if spec.precompiled_charsmap:
        yield normalizers.Precompiled(spec.precompiled_charsmap)
    if spec.remove_extra_whitespaces:
        yield normalizers.Strip(left=True, right=True)
        yield normalizers.Replace(Regex(" {2,}"), " ")
    if spec.add_dummy_prefix:
        yield normalizers.Prepend(BLANK)
    yield normalizers.Replace(" ", BLANK)


def _read(tokenizer: SentencePieceTokenizer) -> Any:
    from sentencepiece import sentencepiece_model_pb2 as untyped

    messages: Any = untyped
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.model"
        tokenizer.save(path)
        return messages.ModelProto.FromString(path.read_bytes())
