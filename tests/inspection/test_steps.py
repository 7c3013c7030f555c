"""Candidates are the softmax's best, and the tree is what the search itself went through."""

import architectures
import pytest
import torch
from inspected import make_run, tokenizer

from attento.decoding.beam import beam_search
from attento.inspection.steps import CANDIDATES, make_steps, watch_beam
from attento.models.base import EncoderDecoder
from attento.text.special import BOS_ID, EOS_ID

FEW = ("transformer", "rnn_gru", "convs2s", "prefix")


def test_candidates_are_the_most_probable_tokens() -> None:
    ids = tokenizer().encode("apple 3 and")
    logits = torch.randn(len(ids) + 1, tokenizer().vocab_size)
    steps = make_steps(tokenizer(), logits, ids, ids)
    exact = logits.double().exp() / logits.double().exp().sum(dim=1, keepdim=True)
    for place, (step, row) in enumerate(zip(steps, exact, strict=True)):
        best = sorted(row.tolist(), reverse=True)[:CANDIDATES]
        assert [each.probability for each in step.candidates] == pytest.approx(best, rel=1e-5)
        if place < len(ids):
            assert step.chosen is not None
            assert step.chosen.probability == pytest.approx(row[ids[place]].item(), rel=1e-5)
            assert step.rank == 1 + sum(other > row[ids[place]] for other in row)
    assert steps[-1].chosen is None


@pytest.mark.parametrize("name", [name for name in FEW if name in architectures.TRANSLATION])
@torch.inference_mode()
def test_watching_a_search_changes_nothing_and_tells_all(name: str) -> None:
    run = make_run("translation", architectures.TRANSLATION[name])
    model = run.model
    assert isinstance(model, EncoderDecoder)
    source = torch.tensor([[*tokenizer().encode("the bridge and the cloud"), EOS_ID]])
    memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
    tree = watch_beam(model, memory, run.search)
    cap = source.size(1) - 1 + run.search.max_extra_length
    (plain,) = beam_search(
        model.decode,
        model.start(memory),
        beam_size=3,
        bos_id=BOS_ID,
        eos_id=EOS_ID,
        max_lengths=torch.tensor([cap]),
        length_penalty=run.search.length_penalty,
        n_best=3,
    )
    assert tree.best == plain
    for hypothesis, end in zip(tree.best, tree.ends, strict=True):
        path, number = [], tree.nodes[end].parent
        assert tree.nodes[end].finished
        while number is not None:
            path.append(tree.nodes[number].token)
            number = tree.nodes[number].parent
        assert tuple(reversed(path)) == hypothesis.ids
    # A kept hypothesis has the probability that the model gives it, read at once.
    node = max((node for node in tree.nodes if not node.finished), key=lambda node: node.log_probability)
    assert node.parent is None
    logits, _ = model.decode(torch.tensor([[BOS_ID]]), model.start(memory))
    assert node.log_probability == pytest.approx(logits[0, 0].log_softmax(0)[node.token].item(), abs=1e-5)
