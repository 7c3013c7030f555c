"""What a `tokenizer.json` puts around a text, and where ours say which tokens are padding, unknown, begin and end.

The format is that of Hugging Face's `tokenizers`, which has no place for such roles but one: a template may name more
special tokens than it puts anywhere. A template of ours names all four, as `attento:pad`, `attento:unk`, `attento:bos`
and `attento:eos`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_ROLES = ("attento:pad", "attento:unk", "attento:bos", "attento:eos")


def prefix_of(post_processor: Mapping[str, Any] | None) -> list[str]:
    """Return the tokens that stand before a lone text.

    Raises:
        ValueError: the post-processor is of a kind that is not known, or several add tokens in a row.
    """
    if post_processor is None:
        return []
    match post_processor.get("type"):
        case "ByteLevel":
            return []  # moves offsets alone
        case "BertProcessing" | "RobertaProcessing":
            return [str(post_processor["cls"][0])]
        case "TemplateProcessing":
            return _template_prefix(post_processor)
        case "Sequence":
            parts = [part for part in post_processor["processors"] if part["type"] != "ByteLevel"]
            if len(parts) > 1:
                raise ValueError(f"{len(parts)} post-processors in a row are not supported")
            return prefix_of(parts[0] if parts else None)
        case kind:
            raise ValueError(f"the post-processor `{kind}` is not supported")


def _template_prefix(template: Mapping[str, Any]) -> list[str]:
    tokens: list[str] = []
    for part in template["single"]:
        if "Sequence" in part:
            break
        tokens += template["special_tokens"][part["SpecialToken"]["id"]]["tokens"]
    return tokens


def write_template(prefix: Sequence[str], tokens: Sequence[str]) -> dict[str, Any]:
    """Return the post-processor that puts a prefix before a text, and names the first four tokens as the house does."""
    sequence = [{"Sequence": {"id": "A", "type_id": 0}}]
    named = {role: _special(role, number, tokens[number]) for number, role in enumerate(_ROLES)}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}} for token in prefix] + sequence,
        "pair": [*sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": named | {token: _special(token, tokens.index(token), token) for token in prefix},
    }


def _special(name: str, number: int, token: str) -> dict[str, Any]:
    return {"id": name, "ids": [number], "tokens": [token]}


def named_ids(post_processor: Mapping[str, Any] | None) -> tuple[int, ...] | None:
    """Return the ids that a template of ours names: padding, unknown, begin and end; None when it is not of ours."""
    named = (post_processor or {}).get("special_tokens", {})
    if any(role not in named for role in _ROLES):
        return None
    return tuple(number for role in _ROLES for number in named[role]["ids"])
