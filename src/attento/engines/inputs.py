"""What every engine checks of what it is given, and how long its outputs may be. Needs no torch."""

from collections.abc import Sequence

from attento.decoding.config import SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.errors import InputError
from attento.text.special import EOS_ID

OF_NOTHING = Hypothesis(ids=(), log_probability=0.0, score=0.0, finished=True)
"""What an empty source becomes, without that a model is asked."""


def output_cap(source: Sequence[int], search: SearchConfig, max_target_length: int | None) -> int:
    """Return how many pieces the outputs of a source may have, eos not counted.

    Args:
        source: its pieces, without bos and eos.
        search: says how much longer than its source an output may be.
        max_target_length: the most tokens the decoder can read, bos among them; None for no limit.
    """
    cap = len(source) + search.max_extra_length
    return cap if max_target_length is None else min(cap, max_target_length - 1)


def check_sources(sources: Sequence[Sequence[int]], max_source_length: int | None, vocab_size: int) -> None:
    """Check that a model can read all sources.

    Raises:
        InputError: a source is too long with its eos, or has an id that is not in the vocabulary.
    """
    for index, source in enumerate(sources):
        if max_source_length is not None and len(source) + 1 > max_source_length:
            raise InputError(
                f"source {index} (counted from 0) has {len(source)} pieces and an end of sentence, but the model "
                f"reads at most {max_source_length} tokens; split it"
            )
        if len(source) and not (0 <= min(source) and max(source) < vocab_size):
            raise InputError(
                f"source {index} (counted from 0) has ids outside the model's vocabulary of {vocab_size}; "
                "use the tokenizer that the model was trained with"
            )


def check_prefixes(prefixes: Sequence[Sequence[int]], caps: Sequence[int], vocab_size: int) -> None:
    """Check that every output can begin with the prefix of its source.

    Args:
        prefixes: the first pieces of each source's outputs; of no pieces where anything may come first.
        caps: the most pieces of each source's outputs.
        vocab_size: of the target side.

    Raises:
        InputError: there are more or fewer prefixes than sources, or a prefix is longer than its cap, holds eos or has
            an id that is not in the vocabulary.
    """
    if len(prefixes) != len(caps):
        raise InputError(f"there are {len(caps)} sources but {len(prefixes)} prefixes; give one for each")
    for index, (prefix, cap) in enumerate(zip(prefixes, caps, strict=True)):
        if len(prefix) > cap:
            raise InputError(
                f"prefix {index} (counted from 0) has {len(prefix)} pieces, but its translation may have at most "
                f"{cap}; shorten it, or raise `search.max_extra_length`"
            )
        if any(not 0 <= each < vocab_size or each == EOS_ID for each in prefix):
            raise InputError(
                f"prefix {index} (counted from 0) has ids that no translation holds: the end of sentence, or one "
                f"outside the vocabulary of {vocab_size}; use the tokenizer that the model was trained with"
            )
