import multiprocessing
from collections.abc import Iterator

import numpy as np
import pytest

from attento.data.pairs.cleaning import Cleaner, Rule, pair_digest, sentence_digest
from attento.data.pairs.config import CleaningConfig
from attento.data.pairs.corpora import Chunk, Languages, Pair
from attento.data.pairs.encoding import EncodedChunk, Encoder, encode_chunks
from attento.errors import DataError
from attento.text.learning import train_tokenizer
from attento.text.tokenizer import Tokenizer, TokenizerPair

PAIRS: list[Pair] = [
    ("the red cat", "le chat rouge"),
    ("", "rien"),
    ("a red red red red cat", "un chat"),
    (" a cat\r", "un chat "),
    ("chat", "chat"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(
        [text for pair in PAIRS for text in pair if text] * 3,
        model="bpe", vocab_size=283, byte_fallback=True, character_coverage=1.0, normalization="identity",
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> Encoder:
    config = CleaningConfig(max_tokens=11, max_ratio=1, ratio_slack=3)
    return Encoder(TokenizerPair(tokenizer, tokenizer), Cleaner(config, Languages("en", "fr")), "bpe")


def plain(encoded: EncodedChunk) -> list[object]:
    arrays = (encoded.rules, encoded.source.values, encoded.source.lengths, encoded.target.values,
              encoded.target.lengths, encoded.pair_digests, encoded.source_digests)  # fmt: skip
    return [array.tolist() for array in arrays]


def test_a_chunk(tokenizer: Tokenizer, encoder: Encoder) -> None:
    encoded = encoder(Chunk.of(0, 1, PAIRS))
    kept = [PAIRS[0], PAIRS[3]]
    assert encoded.rules.tolist() == [Rule.KEPT, Rule.EMPTY, Rule.LENGTH_RATIO, Rule.KEPT, Rule.IDENTICAL]
    assert encoded.source.values.tolist() == [i for source, _ in kept for i in tokenizer.encode(source.strip())]
    assert encoded.target.lengths.tolist() == [len(tokenizer.encode(target.strip())) for _, target in kept]
    assert encoded.pair_digests.tolist() == [pair_digest(pair) for pair in kept]
    assert encoded.source_digests.tolist() == [sentence_digest(source) for source, _ in kept]


def test_a_chunk_of_which_nothing_is_kept(encoder: Encoder) -> None:
    encoded = encoder(Chunk.of(0, 1, [("", "")]))
    assert encoded.rules.tolist() == [Rule.EMPTY]
    assert len(encoded.source) == len(encoded.target) == len(encoded.pair_digests) == 0
    assert encoded.source.values.dtype == np.int32


def chunks(taken: list[int]) -> Iterator[Chunk]:
    for number in range(23):
        taken.append(number)
        yield Chunk.of(0, number + 1, [(f"the cat {number}", f"le chat {number}")] * (number % 5 + 1))


def test_several_processes_keep_order_and_read_only_a_little_ahead(encoder: Encoder) -> None:
    taken: list[int] = []
    results = []
    for number, (chunk, encoded) in enumerate(encode_chunks(chunks(taken), encoder, workers=2)):
        assert chunk.first_line == number + 1
        assert len(taken) - number <= 4
        results.append(plain(encoded))
    assert results == [plain(encoded) for _, encoded in encode_chunks(chunks([]), encoder, workers=1)]


def test_a_worker_that_dies_is_told(encoder: Encoder) -> None:
    before = set(multiprocessing.active_children())
    stream = encode_chunks(chunks([]), encoder, workers=2)
    next(stream)
    for child in set(multiprocessing.active_children()) - before:
        child.kill()
    with pytest.raises(DataError, match="a worker process ended before its time"):
        list(stream)
