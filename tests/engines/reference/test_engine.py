"""The numpy engine: it translates as the torch engine does, scores, refuses what it cannot, and needs no torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from attento.decoding.config import SamplingConfig, SearchConfig
from attento.decoding.hypothesis import Hypothesis
from attento.engines.base import Engine
from attento.engines.reference.engine import ReferenceEngine
from attento.engines.torch import TorchEngine
from attento.errors import InputError, RunFolderError
from attento.text.special import BOS_ID, EOS_ID

SOURCES = [[5, 11, 46, 7, 4], [], [23], [8, 8, 30, 41, 6, 6, 19]]
SEARCHES = [
    SearchConfig(beam_size=1, max_extra_length=3),
    SearchConfig(beam_size=5, n_best=3, max_extra_length=3),
    SearchConfig(beam_size=3, n_best=3, length_penalty=2.0, min_length=6, no_repeat_ngram=2, max_extra_length=2),
    SearchConfig(n_best=2, max_extra_length=2, sampling=SamplingConfig(temperature=1.3, top_k=13, top_p=0.9, seed=3)),
]


def agree(engine, model, search, prefixes=None):
    found = engine.translate(SOURCES, search, prefixes)
    theirs = TorchEngine(model, device="cpu").translate(SOURCES, search, prefixes)
    assert [[each.ids for each in some] for some in found] == [[each.ids for each in some] for some in theirs]
    for some, others in zip(found, theirs, strict=True):
        for one, other in zip(some, others, strict=True):
            assert one.finished == other.finished
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
            assert one.score == pytest.approx(other.score, abs=1e-4)
    return found


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("settings", [{}, {"norm": "pre", "positions": "relative", "num_kv_heads": 2}])
def test_an_encoder_decoder_translates_as_in_torch(pack, translation, settings, search):
    model, config = translation(**settings)
    found = agree(pack(model, config), model, search)
    assert found[1] == [Hypothesis((), 0.0, 0.0, True)]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("settings", [{"source_sees": "all"}, {"positions": "learned", "max_positions": 29}])
def test_a_decoder_only_model_translates_as_in_torch(pack, one_stack, settings, search):
    model, config = one_stack(**settings)
    agree(pack(model, config), model, search)


@pytest.mark.parametrize("search", SEARCHES)
def test_translations_begin_with_their_prefix(pack, translation, search):
    prefixes = [[9, 30], [], [], [4, 5, 4]]
    model, config = translation()
    found = agree(pack(model, config), model, search, prefixes)
    for some, prefix in zip(found, prefixes, strict=True):
        assert all(list(each.ids[: len(prefix)]) == prefix for each in some)


def test_no_output_is_longer_than_the_model_can_write(pack, translation):
    # Seven positions: bos and six pieces are read.
    model, config = translation(positions="learned", max_positions=7)
    engine = pack(model, config)
    assert engine.max_source_length == 7
    search = SearchConfig(beam_size=2, min_length=30)
    (found,) = engine.translate([[5, 6]], search)
    assert len(found[0].ids) == 6
    assert not found[0].finished
    assert found[0].ids == TorchEngine(model, device="cpu").translate([[5, 6]], search)[0][0].ids


def test_a_target_is_scored_piece_by_piece(pack, translation):
    model, config = translation()
    engine = pack(model, config)
    source, target = SOURCES[0], [13, 9, 52]
    ids = torch.tensor([[*source, EOS_ID]])
    with torch.inference_mode():
        state = model.start(model.encode(ids, torch.ones_like(ids, dtype=torch.bool)))
        logits, _ = model.decode(torch.tensor([[BOS_ID, *target]]), state)
    log_probs = logits[0].double().log_softmax(dim=-1)
    expected = [log_probs[place, token].item() for place, token in enumerate([*target, EOS_ID])]
    np.testing.assert_allclose(engine.score(source, target), expected, atol=1e-4)
    (best,) = engine.translate([source], SEARCHES[0])
    assert engine.score(source, best[0].ids).sum() == pytest.approx(best[0].log_probability, abs=1e-4)


def test_a_text_is_scored_behind_its_prompt(pack, language):
    model, config = language()
    with torch.inference_mode():
        logits, _ = model.decode(torch.tensor([[BOS_ID, 7, 11, 13]]), model.start(1))
    log_probs = logits[0].double().log_softmax(dim=-1)
    expected = [log_probs[2, 13].item(), log_probs[3, EOS_ID].item()]
    np.testing.assert_allclose(pack(model, config).score([7, 11], [13]), expected, atol=1e-4)


def test_a_language_model_translates_nothing(pack, language):
    with pytest.raises(InputError, match="language model"):
        pack(*language()).translate([[7]], SEARCHES[0])


def test_what_cannot_be_translated_is_refused(pack, translation):
    engine = pack(*translation(positions="learned", max_positions=7))
    assert isinstance(engine, Engine)
    with pytest.raises(InputError, match=r"source 1 .* 7 pieces .* at most 7 tokens"):
        engine.translate([[7], [7] * 7], SEARCHES[0])
    with pytest.raises(InputError, match=r"source 0 .*vocabulary of 47"):
        engine.translate([[47]], SEARCHES[0])
    with pytest.raises(InputError, match=r"2 sources but 1 prefixes"):
        engine.translate([[7], [8]], SEARCHES[0], [[5]])
    with pytest.raises(InputError, match=r"prefix 0 .*vocabulary of 53"):
        engine.translate([[7]], SEARCHES[0], [[53]])


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_numbers_that_grow_beyond_all_bounds_are_told(pack, translation, search, norm):
    model, config = translation(norm=norm)
    with torch.no_grad():
        model.encoder[1].feed_forward.outer.weight.fill_(3e38)
    with pytest.raises(RunFolderError, match="not numbers"):
        pack(model, config).translate([[7]], search)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunFolderError, match=r"none\.attento"):
        ReferenceEngine.load(tmp_path / "none.attento")


def test_it_translates_without_torch(packed, translation):
    path = packed(*translation())
    found = ReferenceEngine.load(path).translate([[5, 11]], SEARCHES[1])
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from attento.decoding.config import SearchConfig\n"
        "from attento.engines.reference.engine import ReferenceEngine\n"
        f"found = ReferenceEngine.load(Path(sys.argv[1])).translate([[5, 11]], {SEARCHES[1]!r})\n"
        "print([each.ids for each in found[0]])\n"
        "print([name for name in ('torch', 'jaxtyping') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str([each.ids for each in found[0]]), "[]"]
