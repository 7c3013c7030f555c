"""Tokenizers rebuilt for a new numbering of their ids; every text is cut into the same pieces as before.

A model's matrices may be put into another order of tokens if its tokenizer follows. Here a list of tokens says which
piece each id is to have; padding, unknown, begin and end come first. A token may stand in the list more than once (that
of a model that starts from its padding, say): one id keeps its name, the others become marks that no text yields.
"""

import json
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any

from attento.errors import MissingExtraError
from attento.text.pieces import BLANK
from attento.text.post_processor import prefix_of, write_template
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID

_ROLES = {PAD_ID: "padding", UNK_ID: "unknown", BOS_ID: "begin", EOS_ID: "end"}


def unnumbered_pieces(model: bytes, tokens: Collection[str]) -> list[str]:
    """Return the pieces that a sentencepiece model cuts text into and that a list of tokens lacks, in their order.

    Raises:
        MissingExtraError: the package `protobuf` is not installed.
        ValueError: this is no sentencepiece model.
    """
    proto, kind = _parse(model)
    needed = {kind.NORMAL, kind.USER_DEFINED, kind.BYTE}
    if proto.trainer_spec.model_type == proto.trainer_spec.BPE:
        needed.add(kind.UNUSED)  # a step on the way to other pieces
    known = set(tokens)
    return [piece.piece for piece in proto.pieces if piece.type in needed and piece.piece not in known]


def renumber_pieces(
    model: bytes, tokens: Sequence[str], *, hidden: Collection[str] = (), matched: Collection[str] = ()
) -> bytes:
    """Return the sentencepiece model whose piece `i` is `tokens[i]`.

    A piece of the model keeps its score and its kind. What the model lacks keeps its id too: no text yields it, and
    `decode` shows it, unless it is named below. A vocabulary that several models share is met so by each of them.

    Args:
        model: the model file's content.
        tokens: the piece of each id; the first four are padding, unknown, begin and end.
        hidden: tokens that are marks ("<extra_id_0>"): no text yields them and `decode` leaves them out.
        matched: tokens that the model lacks and that a text yields where they stand as a word of their own (the
            language ">>fra<<" before a text for Marian); the blank before them is theirs.

    Raises:
        MissingExtraError: the package `protobuf` is not installed.
        ValueError: this is no sentencepiece model, `tokens` lacks pieces that it can yield (`unnumbered_pieces` lists
            them), `tokens[1]` is not its unknown piece, a special token is a piece of text, or it is no unigram model
            and lacks a token that is not hidden.
    """
    proto, kind = _parse(model)
    _refuse(unnumbered_pieces(model, tokens))
    unknown = [piece.piece for piece in proto.pieces if piece.type == kind.UNKNOWN]
    if unknown != [tokens[UNK_ID]]:
        raise ValueError(f"the token {UNK_ID} must be the model's piece for unknown text, {unknown}")
    names = _name(tokens)
    fixed = dict.fromkeys([*names[:4], *set(names).difference(tokens), *hidden], kind.CONTROL)
    fixed[names[UNK_ID]] = kind.UNKNOWN
    known = {piece.piece: piece for piece in proto.pieces}
    if text := [n for n in names[:4] if n in known and known[n].type in (kind.NORMAL, kind.BYTE)]:
        raise ValueError(f"{text[0]!r} is a piece of text; it cannot stand for padding, begin or end")
    foreign = [name for name in names if name not in known and name not in fixed and name not in matched]
    if foreign and proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
        raise ValueError(f"the model lacks the token {foreign[0]!r}; only a unigram model can be given others' pieces")
    blank = BLANK if proto.normalizer_spec.add_dummy_prefix else ""
    new = {name: kind(piece=name, score=0.0, type=kind.UNUSED) for name in names}
    new |= {name: kind(piece=f"{blank}{name}", score=0.0, type=kind.USER_DEFINED) for name in matched}
    pieces = [known.get(name, new[name]) for name in names]
    for name, piece in zip(names, pieces, strict=True):
        piece.type = fixed.get(name, piece.type)
    del proto.pieces[:]
    proto.pieces.extend(pieces)
    _number_specials(proto.trainer_spec, names)
    return bytes(proto.SerializeToString())


def _number_specials(trainer_spec: Any, names: Sequence[str]) -> None:
    """Tell sentencepiece, which finds the specials by name, where they are."""
    trainer_spec.vocab_size = len(names)
    for role, number in (("pad", PAD_ID), ("unk", UNK_ID), ("bos", BOS_ID), ("eos", EOS_ID)):
        setattr(trainer_spec, f"{role}_id", number)
        setattr(trainer_spec, f"{role}_piece", names[number])


def unnumbered_tokens(text: str, tokens: Collection[str]) -> list[str]:
    """Return the tokens of a `tokenizer.json` that a list of tokens lacks, in their order.

    Raises:
        ValueError: this is no `tokenizer.json`, or one of a kind that is not known.
    """
    document = _read(text)
    known = set(tokens)
    theirs = dict.fromkeys([*_vocabulary(document["model"]), *(t["content"] for t in document["added_tokens"])])
    return [token for token in theirs if token not in known]


def renumber_json(text: str, tokens: Sequence[str], *, keep_prefix: bool = True) -> str:
    """Return the `tokenizer.json` whose token `i` is `tokens[i]`.

    Of what the file puts around a text only the prefix stays. Padding and truncation of the file are left out. What the
    file lacks becomes a special token, which no text yields.

    Args:
        text: the file's content.
        tokens: the token of each id; the first four are padding, unknown, begin and end.
        keep_prefix: whether the prefix stays; not for a model whose text the house itself begins with `BOS_ID`.

    Raises:
        ValueError: this is no `tokenizer.json`, or one of a kind that is not known; `tokens` lacks tokens of the file
            (`unnumbered_tokens` lists them); `tokens[1]` is not its token for unknown text; or a token that its model
            lacks and that a text yields stands among those of the model.
    """
    document = _read(text)
    _refuse(unnumbered_tokens(text, tokens))
    model = document["model"]
    unknown = _unknown_token(model)
    if unknown is not None and unknown != tokens[UNK_ID]:
        raise ValueError(f"the token {UNK_ID} must be the file's token for unknown text, {unknown!r}")
    names = _name(tokens)
    plain = {token["content"] for token in document["added_tokens"] if not token["special"]} - _vocabulary(model).keys()
    if among := plain.intersection(names[: _stop(model, names)]):
        raise ValueError(f"the added token {min(among)!r} must stand behind all tokens of the model")
    document["added_tokens"] = _added_tokens(document["added_tokens"], names, _vocabulary(model))
    document["post_processor"] = write_template(prefix_of(document["post_processor"]) if keep_prefix else [], names)
    document["truncation"] = document["padding"] = None
    _renumber_vocabulary(model, names)
    return json.dumps(document, ensure_ascii=False)


def _renumber_vocabulary(model: dict[str, Any], names: Sequence[str]) -> None:
    """Number the model's own tokens; those of the list that only the file's added tokens hold may follow them."""
    stop = _stop(model, names)
    if model["type"] == "Unigram":
        scores = _vocabulary(model)
        model["vocab"] = [[name, scores.get(name, 0.0)] for name in names[:stop]]
        model["unk_id"] = UNK_ID
        return
    model["vocab"] = {name: number for number, name in enumerate(names[:stop])}
    if model.get("unk_token") is not None:
        model["unk_token"] = names[UNK_ID]


def _stop(model: dict[str, Any], names: Sequence[str]) -> int:
    """Return how many of the names must be the model's own: it numbers these, and added tokens follow them."""
    theirs = _vocabulary(model)
    return 1 + max(number for number, name in enumerate(names) if number < 4 or name in theirs)


def _added_tokens(
    theirs: Sequence[dict[str, Any]], names: Sequence[str], vocabulary: Collection[str]
) -> list[dict[str, Any]]:
    """Return the added tokens in the order of their numbers; the first four, and all that are new, are special."""
    mark = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    known = {token["content"]: token for token in theirs}
    return [
        known.get(name, {"content": name} | mark) | {"id": number} | ({"special": True} if number < 4 else {})
        for number, name in enumerate(names)
        if name in known or name not in vocabulary or number < 4
    ]


def _unknown_token(model: dict[str, Any]) -> str | None:
    if model["type"] == "Unigram":
        return None if model["unk_id"] is None else str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")


def _vocabulary(model: dict[str, Any]) -> dict[str, Any]:
    """Return what the model knows of each of its own tokens: the number, or the score of Unigram's."""
    return dict(model["vocab"])


def _read(text: str) -> dict[str, Any]:
    document = json.loads(text)
    try:
        kind = document["model"]["type"]
    except (KeyError, TypeError):
        raise ValueError("this is no tokenizer.json") from None
    if kind not in ("BPE", "WordPiece", "WordLevel", "Unigram"):
        raise ValueError(f"a tokenizer.json whose model is `{kind}` is not supported")
    return dict(document)


def _parse(model: bytes) -> tuple[Any, Any]:
    """Return a sentencepiece model as the record that it is, and the class of its pieces."""
    try:
        # Not at the top: the package that it needs in its turn is not always there.
        records = import_module("sentencepiece.sentencepiece_model_pb2")
        decode_error = import_module("google.protobuf.message").DecodeError
    except ImportError as problem:
        raise MissingExtraError("protobuf", "interop") from problem
    proto = records.ModelProto()
    try:
        proto.ParseFromString(model)
    except decode_error as problem:
        raise ValueError("this is no sentencepiece model") from problem
    if not proto.pieces:
        raise ValueError("this is no sentencepiece model")
    return proto, records.ModelProto.SentencePiece


def _refuse(unnumbered: Sequence[str]) -> None:
    if unnumbered:
        raise ValueError(f"{len(unnumbered)} pieces of the tokenizer have no id, the first is {unnumbered[0]!r}")


def _name(tokens: Sequence[str]) -> list[str]:
    """Give each id a name of its own: a copy says whose it is.

    Of several ids with one token that of the end keeps the name, else that of padding, unknown, begin, else the first.
    A name with a space can never be met in a text, in which each space is something else by the time it is cut.
    """
    owner: dict[str, int] = {}
    for number in (EOS_ID, PAD_ID, UNK_ID, BOS_ID, *range(4, len(tokens))):
        owner.setdefault(tokens[number], number)
    return [
        token if owner[token] == number else f"{token} as {_ROLES.get(number, number)}"
        for number, token in enumerate(tokens)
    ]
