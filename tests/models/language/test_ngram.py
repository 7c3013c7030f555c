"""What the n-gram model promises: the printed formulas, KenLM's probabilities, a sum of 1, and one road to all."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from attento.models.language.config import NGramConfig
from attento.models.language.kneser_ney import FALL_BACK
from attento.models.language.ngram import NGramModel, NGramState
from attento.nn.state import DecoderState
from attento.text.special import BOS_ID, EOS_ID, UNK_ID

# Rows, tokens, vocabulary.
B, T, V = 3, 11, 19

every_order = pytest.mark.parametrize("order", [1, 2, 3, 5])


def make(order: int) -> NGramModel:
    return NGramModel(NGramConfig(architecture="ngram", order=order), V).double()


def draw_text(length: int = 501) -> NDArray[np.int64]:
    """Draw words of which most follow the one before by a rule, so that long n-grams come again; 17 and 18 never do."""
    words = [BOS_ID]
    for _ in range(length):
        words.append(3 + (words[-1] * 5 + 1) % 7 if np.random.rand() < 0.7 else 2 + min(np.random.geometric(0.25), 14))
    return np.array(words)


def fitted(order: int) -> NGramModel:
    model = make(order)
    model.fit(draw_text())
    return model


def read(model: NGramModel, ids: Tensor) -> Tensor:
    return model.decode(ids, model.start(ids.size(0)))[0]


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def take(n: Counter[int]) -> list[float]:
    """Return D_0 to D_3+ by eq. 17, or what replaces them."""
    if not (n[1] and n[2] and n[3]):
        return [0.0, *FALL_BACK]
    y = n[1] / (n[1] + 2 * n[2])
    d = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
    return [0.0, *d] if min(d) > 0 else [0.0, *FALL_BACK]


def by_dictionaries(ids: list[int], order: int) -> Callable[[int, tuple[int, ...]], float]:
    """Return p(word, context) by the printed formulas (Chen & Goodman 1999, section 3) over dictionaries of n-grams."""
    plain = [Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)) for n in range(1, order + 1)]
    counts = [dict(each) for each in plain]
    for n in range(1, order):
        before = Counter(ngram[1:] for ngram in plain[n])
        counts[n - 1] = {g: times if g[0] == BOS_ID else before[g] for g, times in plain[n - 1].items()}
    del counts[0][(BOS_ID,)]
    taken = [take(Counter(each.values())) for each in counts]

    def probability(word: int, context: tuple[int, ...]) -> float:
        shorter = probability(word, context[1:]) if context else 1 / V
        after = {g[-1]: times for g, times in counts[len(context)].items() if g[:-1] == context}
        total = sum(after.values())
        if not total:
            return shorter
        d = taken[len(context)]
        weight = sum(d[min(times, 3)] for times in after.values()) / total
        times = after.get(word, 0)
        return (times - d[min(times, 3)]) / total + weight * shorter

    return probability


def mixed_contexts(text: NDArray[np.int64]) -> Tensor:
    """Return rows that go on as the text does, partly as it does, and as it never does (words not in it, bos again)."""
    seen = text[:T]
    partly = np.concatenate([seen[:4], [17, 18], text[100 : 100 + T - 6]])
    unseen = np.array([17, 18, 0, UNK_ID, EOS_ID, 18, 17, BOS_ID, BOS_ID, 5, 17])
    return torch.from_numpy(np.stack([seen, partly, unseen]))


@every_order
def test_probabilities_are_those_of_the_formulas_over_dictionaries(order: int) -> None:
    text = draw_text()
    model, probability = make(order), by_dictionaries(text.tolist(), order)
    model.fit(text)
    ids = mixed_contexts(text)
    actual = read(model, ids).exp()
    for row, words in enumerate(ids.tolist()):
        for t in range(T):
            context = tuple(words[max(t - order + 2, 0) : t + 1]) if order > 1 else ()
            expected = torch.tensor([probability(word, context) for word in range(V)], dtype=torch.float64)
            assert_close(actual[row, t], expected)


def test_the_text_estimates_discounts_of_its_own() -> None:
    # Otherwise the formulas would be tested on the fall-back alone.
    words = draw_text().tolist()
    counts = Counter(zip(*(words[i:] for i in range(5)), strict=False))
    assert take(Counter(counts.values())) != [0.0, *FALL_BACK]


@every_order
def test_probabilities_sum_to_one_and_none_is_zero(order: int) -> None:
    text = draw_text()
    model = make(order)
    model.fit(text)
    logits = read(model, mixed_contexts(text))
    assert_close(logits.logsumexp(dim=-1), torch.zeros(B, T, dtype=torch.float64))
    assert logits.exp().min() > 1e-6


@pytest.mark.parametrize("text", [[], [4], [4, 4], [4, 5, 6, 4, 5, 6], [4] * 50, [*range(3, V)] * 3], ids=str)
@every_order
def test_poor_texts_have_probabilities_too(order: int, text: list[int]) -> None:
    model = make(order)
    model.fit(np.array([BOS_ID, *text]))
    ids = torch.tensor([[BOS_ID, *text, 4, 5, 18, UNK_ID]])
    logits = read(model, ids)
    assert_close(logits.logsumexp(dim=-1), torch.zeros(ids.shape, dtype=torch.float64))
    assert logits.isfinite().all()


def test_a_fresh_model_has_counted_nothing() -> None:
    logits = read(make(4), torch.randint(V, (B, T)))
    torch.testing.assert_close(logits, torch.full((B, T, V), -math.log(V), dtype=torch.float64))


def test_probabilities_are_those_of_kenlm() -> None:
    """The figures were computed by KenLM (Heafield et al. 2013; PyPI's kenlm 0.3.0, and lmplz built from its sources).

    Command: `lmplz -o 3 --discount_fallback --vocab_pad 29`, one text a line, words as numbers; then `full_scores`. Its
    vocabulary of 29 is the one here, padding included. It fell back on words, and estimated the other two orders.
    """
    number, text = 1, []
    for line in range(150):
        text.append(BOS_ID)
        for _ in range(2 + line % 5):
            number = number * 48271 % 2147483647
            text.append(4 + int(23 * (number / 2147483647) ** 3))
        text.append(EOS_ID)
    text += [BOS_ID, 27, EOS_ID]
    model = NGramModel(NGramConfig(architecture="ngram", order=3), 29)
    model.fit(np.array(text))
    expected = {
        (4, 4, 4, 5, 4, 7, 9, 6): [
            -0.389444, -0.459776, -0.533906, -1.251533, -0.450093, -1.348463, -1.443258, -1.3867, -0.537759,
        ],
        (27, 4, 5, 4, UNK_ID, 4, 5, 6, 4, 11): [
            -2.330764, -1.352785, -1.111496, -0.450093, -3.124758, -0.989667, -1.111496, -1.578017, -1.081529,
            -1.986519, -0.862266,
        ],
        (12, 19, 4, 4, 4, 4, 4, 5, 8, 4, 6): [
            -1.590838, -2.26222, -0.771301, -0.858973, -0.533906, -0.533906, -0.533906, -1.251533, -1.849247,
            -0.994625, -1.703372, -0.334669,
        ],
        (20, 20, 4, 4, 5): [-1.984796, -1.824301, -0.965545, -0.858973, -1.251533, -0.512668],
    }  # fmt: skip
    for words, scores in expected.items():
        logits = read(model, torch.tensor([[BOS_ID, *words]]))[0] / math.log(10)
        actual = logits.gather(1, torch.tensor([*words, EOS_ID])[:, None])[:, 0]
        torch.testing.assert_close(actual, torch.tensor(scores), rtol=0, atol=2e-6)


@every_order
def test_step_by_step_is_all_at_once_and_only_the_context_is_kept(order: int) -> None:
    text = draw_text()
    model, ids = make(order), mixed_contexts(text)
    model.fit(text)
    state: DecoderState = model.start(B)
    expected, whole = model.decode(ids, state)
    logits = []
    for piece in ids.split([1, 7, 2, 1], dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    assert_close(torch.cat(logits, dim=1), expected)
    assert isinstance(state, NGramState)
    assert torch.equal(state.tokens, whole.tokens)
    assert state.tokens.shape == (B, max(order - 2, 0))


def test_tables_come_back_from_a_file(tmp_path: Path) -> None:
    model, again, ids = fitted(3), make(3), torch.randint(V, (B, T))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    again.fit(np.array([BOS_ID, 4, 5, 4]))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(read(again, ids), read(model, ids))


def test_a_file_of_another_order_or_vocabulary_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"Unexpected key.*longer\.1\.keys"):
        make(2).load_state_dict(fitted(3).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*longer\.1\.keys"):
        make(3).load_state_dict(fitted(2).state_dict())
    larger = NGramModel(NGramConfig(architecture="ngram", order=3), V + 1)
    with pytest.raises(RuntimeError, match="size mismatch for unigrams"):
        larger.load_state_dict(fitted(3).state_dict())


def test_counting_again_forgets_what_was_counted() -> None:
    text, ids = draw_text(), torch.randint(V, (B, T))
    model, fresh = fitted(3), make(3)
    model.fit(text)
    fresh.fit(text)
    assert torch.equal(read(model, ids), read(fresh, ids))


def test_a_text_may_lie_in_a_file(tmp_path: Path) -> None:
    text, ids = draw_text(), torch.randint(V, (B, T))
    text.astype(np.uint16).tofile(tmp_path / "ids")
    model, mapped = make(3), make(3)
    model.fit(text)
    mapped.fit(np.memmap(tmp_path / "ids", dtype=np.uint16, mode="r"))
    assert torch.equal(read(model, ids), read(mapped, ids))
