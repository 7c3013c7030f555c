"""A small Transformer learns what "it" means in the built-in language; the heads that the probe names carry it."""

from statistics import fmean

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from attento.data.pairs.batching import Pair, make_batch
from attento.inspection.probes import contrasts as asked
from attento.inspection.probes.contrasts import Tokens, accuracy, from_examples, margins
from attento.inspection.probes.pronouns import PronounResult, probe_pronouns
from attento.inspection.probes.views import VIEWS, margins_hidden
from attento.models.translation.config import RecurrentConfig, TransformerConfig
from attento.models.translation.recurrent import RecurrentEncoderDecoder
from attento.models.translation.transformer import Transformer
from attento.synthetic import realize
from attento.synthetic.lexicon import ADJECTIVES, DEGREES, DETERMINERS, NOUNS, TRANSITIVE_VERBS, Kind, Noun
from attento.synthetic.syntax import Action, NounPhrase, Reason

STEPS, ROWS, PEAK = 300, 32, 2e-3
SMALL = TransformerConfig(
    d_model=64, num_heads=4, d_ff=128, encoder_layers=2, decoder_layers=2, dropout=0.0, norm="pre"
)


def few_nouns(kind: Kind) -> list[Noun]:
    return [noun for gender in "mf" for noun in [n for n in NOUNS if (n.kind, n.gender) == (kind, gender)][:4]]


def all_sentences() -> list[Tokens]:
    """Every "The ANIMAL didn't cross the PATH because it was too ADJECTIVE." of few words; a word is a token."""
    verb = next(each for each in TRANSITIVE_VERBS if each.objects == ("path",))
    too = next(each for each in DEGREES if each.english == "too")
    tired = [each for each in ADJECTIVES if each.kinds == ("human", "animal")][:6]
    wide = [each for each in ADJECTIVES if each.kinds == ("path",)][:6]
    the = DETERMINERS[0]
    examples = []
    for animal in few_nouns("animal"):
        for path in few_nouns("path"):
            action = Action(NounPhrase(the, animal), verb, NounPhrase(the, path), negative=True)
            examples += [realize(Reason(action, each, too, "subject"), "anaphora") for each in tired]
            examples += [realize(Reason(action, each, too, "object"), "anaphora") for each in wide]
    known: dict[str, int] = {}

    def encode(text: str) -> list[int]:
        return [known.setdefault(word, len(known) + 4) for word in text.split()]

    found = []
    for each in from_examples(examples):
        words = each.words
        assert words is not None
        right, wrong = encode(each.right), encode(each.wrong)
        places = {name: [getattr(words, name)] for name in ("pronoun", "antecedent", "distractor", "adjective")}
        places |= {"target antecedent": list(words.target_antecedent)}
        places |= {"target distractor": list(words.target_distractor)}
        step = next(i for i, (a, b) in enumerate(zip(right, wrong, strict=True)) if a != b)
        found.append(Tokens(encode(each.source), right, wrong, step, places))
    return found


def vocabulary(contrasts: list[Tokens]) -> int:
    return max(max(*each.source, *each.right, *each.wrong) for each in contrasts) + 1


def train(model: Transformer, contrasts: list[Tokens], generator: torch.Generator) -> None:
    pairs: list[Pair] = [asked.as_pair(each.source, each.right) for each in contrasts]
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = PEAK * min(1, (step + 1) / 30) * (1 - step / STEPS)
        batch = make_batch([pairs[int(i)] for i in torch.randint(len(pairs), (ROWS,), generator=generator)])
        logits, _ = model.decode(batch.target_input, model.start(model.encode(batch.source, batch.source_mask)))
        loss = F.cross_entropy(logits[batch.target_mask], batch.target_output[batch.target_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture(scope="module")
def probed() -> tuple[Transformer, list[Tokens], PronounResult]:
    """A model that has learned from three sentences in four, the others, and what the probe found on them.

    Not every seed learns in so few steps, nor to do it by few heads; the first that does is taken.
    """
    contrasts = all_sentences()
    size = vocabulary(contrasts)
    for seed in (1, 0, 2, 4, 5, 6):
        generator = torch.Generator().manual_seed(seed)
        shuffled = [contrasts[i] for i in torch.randperm(len(contrasts), generator=generator).tolist()]
        torch.manual_seed(seed)
        model = Transformer(SMALL, size, size)
        train(model, shuffled[96:], generator)
        if accuracy(margins(model.eval(), shuffled[:96])) > 0.97:
            found = probe_pronouns("small", model, shuffled[:96], "few sentences")
            if found.carriers is not None and found.carriers.heads:
                return model, shuffled[:96], found
    raise AssertionError("no model learned to do it by few heads")


@pytest.fixture(scope="module")
def trained(probed: tuple[Transformer, list[Tokens], PronounResult]) -> tuple[Transformer, list[Tokens]]:
    return probed[:2]


@pytest.fixture(scope="module")
def found(probed: tuple[Transformer, list[Tokens], PronounResult]) -> PronounResult:
    return probed[2]


def test_the_named_heads_carry_it_and_as_many_others_do_not(found: PronounResult) -> None:
    carriers = found.carriers
    assert found.accuracy > 0.95 and carriers is not None and carriers.without is not None
    assert 1 <= len(carriers.heads) <= len(found.heads) // 4
    assert carriers.without < 0.7
    assert fmean(carriers.random) > 0.85
    assert max(carriers.random) > 0.95


def test_the_named_heads_are_those_that_cost_most(found: PronounResult) -> None:
    assert found.carriers is not None
    # Chosen on one half of the sentences: on all of them they are among the costliest, if in another order.
    costliest = sorted(found.heads, key=lambda each: each.margin)[: 2 * len(found.carriers.heads)]
    assert set(found.carriers.heads) <= {each.head for each in costliest}


def test_attention_is_a_share(found: PronounResult) -> None:
    assert len(found.heads) == 24
    for each in found.heads:
        assert each.antecedent is not None and each.distractor is not None
        assert 0 <= each.antecedent + each.distractor + (each.adjective or 0) <= 1 + 1e-6
        assert (each.adjective is None) == each.head.startswith("decoder self")


def test_hiding_nothing_that_is_looked_at_changes_nothing(trained: tuple[Transformer, list[Tokens]]) -> None:
    model, contrasts = trained
    # With no token of the noun, nothing is hidden.
    empty = [Tokens(c.source, c.right, c.wrong, c.step, {name: [] for name in c.places}) for c in contrasts]
    torch.testing.assert_close(
        margins_hidden(model, empty, "antecedent", VIEWS["from both"]), margins(model, contrasts), atol=1e-4, rtol=1e-4
    )
    hidden = margins_hidden(model, contrasts, "antecedent", VIEWS["from both and from the steps' own past"])
    assert not torch.allclose(hidden, margins(model, contrasts), atol=1e-2)


def test_margins_are_those_of_each_sentence_alone(trained: tuple[Transformer, list[Tokens]]) -> None:
    model, contrasts = trained
    for each, margin in zip(contrasts[:5], margins(model, contrasts)[:5], strict=True):
        alone = [_log_probability(model, each.source, target) for target in (each.right, each.wrong)]
        assert float(margin) == pytest.approx(float(alone[0] - alone[1]), abs=1e-4)


@torch.no_grad()
def _log_probability(model: Transformer, source: list[int], target: list[int]) -> Float[Tensor, ""]:
    """Step by step, with eos 3 and bos 2."""
    ids = torch.tensor([[*source, 3]])
    state = model.start(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))
    total = torch.zeros(())
    for given, wanted in zip([2, *target], [*target, 3], strict=True):
        logits, state = model.decode(torch.tensor([[given]]), state)
        total = total + logits[0, 0].log_softmax(-1)[wanted]
    return total


def test_a_model_that_guesses_has_nothing_to_carry() -> None:
    contrasts = all_sentences()[:30]
    size = vocabulary(contrasts)
    config = TransformerConfig(d_model=12, num_heads=3, d_ff=13, encoder_layers=1, decoder_layers=1)
    found = probe_pronouns("untrained", Transformer(config, size, size), contrasts, "few")
    assert found.carriers is None
    assert "nothing to carry" in found.sections()[-1].words


def test_a_model_without_attention_is_scored_all_the_same() -> None:
    contrasts = all_sentences()[:30]
    size = vocabulary(contrasts)
    config = RecurrentConfig(
        architecture="rnn_encoder_decoder", cell="gru", d_model=11, encoder_layers=1, decoder_layers=1
    )
    found = probe_pronouns("gru", RecurrentEncoderDecoder(config, size, size), contrasts, "few")
    assert (found.heads, found.views, found.contexts, found.carriers) == ((), (), (), None)
    assert [section.title for section in found.sections()] == ["Right or wrong"]


def test_contrasts_with_sentences_left_out_are_scored_as_they_are(
    trained: tuple[Transformer, list[Tokens]],
) -> None:
    model, contrasts = trained
    swapped = [Tokens(c.source, c.wrong, c.right, c.step, {}) for c in contrasts[:7]]
    shortened = {"source": contrasts[:11], "both": swapped}
    found = probe_pronouns("small", model, contrasts[:5], "few sentences", shortened=shortened)
    assert [each.left_out for each in found.contexts] == ["source", "both"]
    for each, given in zip(found.contexts, shortened.values(), strict=True):
        wanted = margins(model, given)
        assert each.margin == pytest.approx(float(wanted.mean()), abs=1e-4)
        assert each.accuracy == float((wanted > 0).double().mean())
    assert found.contexts[0].margin > 0 > found.contexts[1].margin
    assert "Without the sentence before" in [section.title for section in found.sections()]


def test_a_tie_is_half_a_success() -> None:
    assert accuracy(torch.tensor([1.5, 0.0, -2.0, 0.1])) == 0.625
