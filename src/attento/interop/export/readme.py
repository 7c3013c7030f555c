"""What the README of an exported model says of its tokenizer: code that needs the tokenizer's own library alone."""

from dataclasses import dataclass

from attento.text.tokenizer import JOINT, SOURCE, TARGET, Tokenizer, TokenizerPair


@dataclass(frozen=True)
class TokenizerCode:
    """Python lines that define `encode(text)` and `decode(ids)`, and the packages that they need."""

    packages: tuple[str, ...]
    lines: str


def tokenizer_code(tokenizers: TokenizerPair) -> TokenizerCode:
    """Return the code for the tokenizers as they are written into a folder, to be run in that folder."""
    names = (JOINT, JOINT) if tokenizers.joint else (SOURCE, TARGET)
    sides = tokenizers.source, tokenizers.target
    packages = dict.fromkeys("sentencepiece" if _is_sentencepiece(side) else "tokenizers" for side in sides)
    loading = dict.fromkeys(f"{name} = {_loading(side, name)}" for side, name in zip(sides, names, strict=True))
    ids = f"{names[0]}.encode(text)" + ("" if _is_sentencepiece(tokenizers.source) else ".ids")
    lines = [
        *(f"import {package}" for package in packages),
        "",
        *loading,
        "",
        "",
        "def encode(text):",
        f"    return {ids}",
        "",
        "",
        "def decode(ids):",
        f"    return {names[1]}.decode(ids)",
    ]
    return TokenizerCode(tuple(packages), "\n".join(lines))


def _is_sentencepiece(tokenizer: Tokenizer) -> bool:
    return tokenizer.suffix == ".model"


def _loading(tokenizer: Tokenizer, name: str) -> str:
    file = f"{name}{tokenizer.suffix}"
    if _is_sentencepiece(tokenizer):
        return f'sentencepiece.SentencePieceProcessor(model_file="{file}")'
    return f'tokenizers.Tokenizer.from_file("{file}")'
