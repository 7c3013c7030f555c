"""Every family that reads and writes: its imported run does what Hugging Face's library does with the original.

The originals are tiny, with random weights. Two searches mean the same when log-probabilities are divided by nothing,
and when at the greatest length nothing but the end may follow, at its true log-probability: theirs is told so by a
processor of scores. What remains between them is that a finished hypothesis keeps its place in our beam for one step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from interop_models import SENTENCES, TEXTS, TRANSLATORS
from torch import Tensor
from transformers import MarianTokenizer, PreTrainedTokenizerFast

from attento.decoding.config import SearchConfig
from attento.engines.torch import TorchEngine
from attento.interop.families import find_family
from attento.interop.hub_folder import HubFolder
from attento.interop.importing import import_model
from attento.interop.vocabulary import Renumbering
from attento.text.special import BOS_ID, EOS_ID, PAD_ID
from attento.text.tokenizer import TokenizerPair
from attento.translator import Translator

TOLERANCE = 1e-4
EXTRA = 5
SOURCES = (*SENTENCES, *TEXTS[:2])


@dataclass(frozen=True)
class Twins:
    """A model as its own library has it, and as a run of ours."""

    name: str
    folder: Path
    run: Path
    theirs: Any
    engine: TorchEngine
    tokenizers: TokenizerPair
    renumbering: Renumbering

    def ids(self, ours: Sequence[int]) -> list[int]:
        """Return their numbers of our ids."""
        return [self.renumbering.order[i] for i in ours]


@pytest.fixture(scope="module", params=TRANSLATORS)
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder, run = (tmp_path_factory.mktemp(request.param) / name for name in ("theirs", "ours"))
    theirs = TRANSLATORS[request.param](folder)
    import_model(folder, run)
    config = HubFolder(folder).config
    renumbering = find_family(config.get("model_type")).vocabulary(folder, config).renumbering
    engine = TorchEngine.load(run, "cpu")
    engine.model.eval()
    return Twins(request.param, folder, run, theirs, engine, TokenizerPair.load(run), renumbering)


@dataclass(frozen=True)
class Batch:
    """Padded sources and targets in our numbering, and their logits for each token of ours."""

    source: Tensor
    mask: Tensor
    target: Tensor
    theirs: Tensor
    predicted: list[int]
    """The tokens that may be predicted."""


@pytest.fixture(scope="module")
def batch(twins: Twins) -> Batch:
    rows = [[*twins.tokenizers.source.encode(sentence), EOS_ID] for sentence in SOURCES]
    source = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, PAD_ID)
    mask = torch.arange(source.size(1)) < torch.tensor([len(row) for row in rows])[:, None]
    order = torch.tensor(twins.renumbering.order)
    target = torch.randint(4, len(order), (len(rows), 23), generator=torch.Generator().manual_seed(3))
    target[:, 0] = BOS_ID
    with torch.no_grad():
        logits = twins.theirs(order[source], attention_mask=mask.long(), decoder_input_ids=order[target]).logits
    predicted = [i for i in range(len(order)) if i not in twins.renumbering.silent]
    return Batch(source, mask, target, logits[..., order], predicted)


def test_logits_of_a_padded_batch(twins: Twins, batch: Batch) -> None:
    model = twins.engine.model
    with torch.no_grad():
        ours, _ = model.decode(batch.target, model.start(model.encode(batch.source, batch.mask)))
    torch.testing.assert_close(ours[..., batch.predicted], batch.theirs[..., batch.predicted], rtol=0, atol=TOLERANCE)


def test_logits_step_by_step_with_a_cache(twins: Twins, batch: Batch) -> None:
    model = twins.engine.model
    with torch.no_grad():
        state = model.start(model.encode(batch.source, batch.mask))
        for place in range(batch.target.size(1)):
            ours, state = model.decode(batch.target[:, place : place + 1], state)
            expected = batch.theirs[:, place, batch.predicted]
            torch.testing.assert_close(ours[:, 0, batch.predicted], expected, rtol=0, atol=TOLERANCE)


def test_what_has_no_part_of_its_own_is_never_predicted(twins: Twins, batch: Batch) -> None:
    model, silent = twins.engine.model, sorted(twins.renumbering.silent)
    with torch.no_grad():
        ours, _ = model.decode(batch.target, model.start(model.encode(batch.source, batch.mask)))
    assert BOS_ID in silent
    assert ours.softmax(dim=-1)[..., silent].max() == 0


@pytest.mark.parametrize("beam_size", [1, 4])
def test_same_output_of_the_same_search(twins: Twins, beam_size: int) -> None:
    sources = [twins.tokenizers.source.encode(sentence) for sentence in SOURCES]
    search = SearchConfig(beam_size=beam_size, length_penalty=0.0, max_extra_length=EXTRA)
    ours = [best[0].ids for best in twins.engine.translate(sources, search)]
    theirs = generate(twins, sources, beam_size)
    assert [twins.ids(each) for each in ours] == theirs
    assert len(set(ours)) > 2


def generate(twins: Twins, sources: Sequence[Sequence[int]], beam_size: int) -> list[list[int]]:
    """Search as theirs does, a padded batch at once; return what stands before the end."""
    theirs = twins.theirs
    end, pad = theirs.generation_config.eos_token_id, theirs.config.pad_token_id
    rows = [torch.tensor([*twins.ids(source), end]) for source in sources]
    padded = torch.nn.utils.rnn.pad_sequence(rows, True, pad)
    mask = torch.arange(padded.size(1)) < torch.tensor([len(row) for row in rows])[:, None]
    caps = torch.tensor([len(source) + EXTRA for source in sources]).repeat_interleave(beam_size)

    def end_at_the_cap(ids: Tensor, scores: Tensor) -> Tensor:
        # They begin with one token that was not written.
        others = (ids.size(1) - 1 == caps)[:, None] & (torch.arange(scores.size(1)) != end)
        return scores.masked_fill(others, -torch.inf)

    with torch.no_grad():
        found = theirs.generate(
            padded,
            attention_mask=mask.long(),
            num_beams=beam_size,
            do_sample=False,
            length_penalty=0.0,
            max_new_tokens=int(caps.max()) + 1,
            logits_processor=[end_at_the_cap],
        )
    return [row[1 : row.index(end, 1)] for row in found.tolist()]


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_text_is_cut_as_theirs_cuts_it(twins: Twins) -> None:
    encode = their_encoding(twins)
    for sentence in (*SOURCES, "Öl: 7 Hunde!", ""):
        ours = twins.tokenizers.source.encode(sentence)
        assert [*twins.ids(ours), twins.theirs.generation_config.eos_token_id] == encode(sentence)


def their_encoding(twins: Twins) -> Callable[[str], list[int]]:
    """Return how their library cuts a source, its end included."""
    if twins.name == "marian":
        tokenizer = MarianTokenizer.from_pretrained(twins.folder)
        return lambda text: list(tokenizer(text)["input_ids"])
    if twins.name == "t5-gated":
        processor = sentencepiece.SentencePieceProcessor(model_file=str(twins.folder / "spiece.model"))
        return lambda text: [*processor.encode(text), processor.eos_id()]
    fast = PreTrainedTokenizerFast(tokenizer_file=str(twins.folder / "tokenizer.json"))
    end = [] if twins.name == "bart" else [1]
    return lambda text: [*fast(text)["input_ids"], *end]


def test_text_in_and_text_out(twins: Twins) -> None:
    translator = Translator.load(twins.run, device="cpu")
    sources = [twins.tokenizers.source.encode(sentence) for sentence in SENTENCES]
    search = SearchConfig(beam_size=1, max_extra_length=EXTRA)
    numbers = {theirs: ours for ours, theirs in reversed(list(enumerate(twins.renumbering.order)))}
    written = [[numbers[i] for i in ids] for ids in generate(twins, sources, 1)]
    expected = [twins.tokenizers.target.decode(ids).replace("\n", " ") for ids in written]
    found = translator.translate(SENTENCES, search=search, split_sentences=False)
    assert [each.text for each in found] == expected
