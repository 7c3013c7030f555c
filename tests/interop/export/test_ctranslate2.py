"""A run as a CTranslate2 model: the same logits and greedy outputs there, and a reason for all that cannot be."""

import dataclasses
import json
import re

import ctranslate2
import pytest
import torch

from attento.interop.export.ctranslate2 import CTranslate2Exporter
from attento.interop.export.ctranslate2_spec import POSITIONS
from attento.models.language.config import RecurrentLanguageConfig
from attento.models.translation.config import RecurrentConfig
from attento.text.special import BOS_ID, EOS_ID
from attento.text.tokenizer import TokenizerPair

LLAMA = {
    "positions": "rotary",
    "position_layout": "halves",
    "normalization": "rms",
    "norm": "pre",
    "feed_forward": "swiglu",
    "bias": False,
    "num_heads": 6,
    "num_kv_heads": 2,
}
T5 = {
    "positions": "relative",
    "normalization": "rms",
    "norm": "pre",
    "norm_epsilon": 1e-6,
    "scores": "unscaled",
    "bias": False,
    "scale_embeddings": False,
}
FAMILIES = {
    "the paper's": ("joint", {}),
    "pre-norm, learned, gelu": (
        "separate",
        {"norm": "pre", "positions": "learned", "feed_forward": "gelu", "tied_embeddings": "none"},
    ),
    "LLaMA's parts": ("joint", LLAMA),
    "T5's parts": ("separate", T5 | {"tied_embeddings": "target", "d_key": 6, "d_value": 6}),
}
LINEAR = {"base": 50.0, "scaling": {"kind": "linear", "factor": 3.0}}
LLAMA3 = {
    "base": 500.0,
    "scaling": {"kind": "llama3", "factor": 8.0, "low": 1.0, "high": 3.0, "original_length": 32},
}
VARIANTS = {
    "no output bias": {"output_bias": False},
    "sines before cosines": {"position_layout": "halves", "d_model": 15},
    "no positions": {"positions": "none"},
    "interleaved rotary": {"positions": "rotary", "rotary": {"base": 50.0}},
    "slowed rotary": {"positions": "rotary", "rotary": LINEAR},
    "slowed rotary of LLaMA 3": LLAMA | {"rotary": LLAMA3},
    "few distances": {"positions": "relative", "relative": {"buckets": 8, "max_distance": 7}},
    "one key for all, wide heads": {"num_kv_heads": 1, "d_key": 10, "d_value": 10},
    "normalized embeddings, post-norm rms": {"embedding_norm": True, "normalization": "rms", "norm_epsilon": 1e-2},
    "more layers that read": {"encoder_layers": 3, "decoder_layers": 1},
    **{name: {"feed_forward": name} for name in ("gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh")},
}
LANGUAGE = {
    "LLaMA's": {"num_kv_heads": 2, "position_layout": "halves"},
    "GPT-2's": {
        "positions": "learned",
        "normalization": "layer",
        "feed_forward": "gelu_tanh",
        "bias": True,
        "max_positions": 67,
        "output_bias": True,
    },
    "linear biases": {"positions": "alibi", "num_heads": 3, "d_model": 15, "tied_embeddings": False},
}


@pytest.fixture
def exporter():
    return CTranslate2Exporter()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exported"
    made.mkdir()
    return made


def _same(exporter, run, folder, sentences, most):
    """Greedy outputs are equal, and so are all logits that can be taken, along them."""
    assert exporter.problems(run) == []
    exporter.write(run, folder)
    exported = exporter.reread(folder)
    for sentence in sentences:
        assert exported.encode(sentence) == run.encode(sentence)
        ids = run.encode(sentence)[:most]
        written = run.greedy(ids, most)
        assert exported.greedy(ids, most) == written
        found, expected = exported.logits(ids, written), run.logits(ids, written)
        assert found.shape == expected.shape
        torch.testing.assert_close(found[:, EOS_ID:], expected[:, EOS_ID:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_ctranslate2_gives_the_same_ids_and_logits(family, exporter, translation_run, folder, sentences):
    vocabularies, settings = FAMILIES[family]
    _same(exporter, translation_run(vocabularies, **settings), folder, sentences[::3], 13)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_setting_goes_over(variant, exporter, translation_run, folder, sentences):
    _same(exporter, translation_run(**VARIANTS[variant]), folder, sentences[::17], 11)


@pytest.mark.parametrize("shape", LANGUAGE)
def test_a_language_model_goes_over(shape, exporter, language_run, folder, sentences):
    _same(exporter, language_run(**LANGUAGE[shape]), folder, sentences[::7], 11)


def test_a_padded_batch_scores_as_our_model_does(exporter, translation_run, folder, sentences):
    """Through the public interface, with pieces as text; the end of the source is added by CTranslate2."""
    run = translation_run("separate", tied_embeddings="none")
    exporter.write(run, folder)
    sources = [run.encode(sentence) for sentence in sentences[:5]]
    sources = [source[: 3 + 2 * row] for row, source in enumerate(sources)]
    targets = [[11, 7, 31, 5], [13], [17, 19], [], [23, 29, 4]]
    pieces = [run.tokenizers.source.pieces(source) for source in sources]
    forced = [run.tokenizers.target.pieces(target) for target in targets]
    scored = ctranslate2.Translator(str(folder), compute_type="float32").score_batch(pieces, forced)
    for source, target, found in zip(sources, targets, scored, strict=True):
        expected = run.logits(source, target).log_softmax(-1)[range(len(target) + 1), [*target, EOS_ID]]
        torch.testing.assert_close(torch.tensor(found.log_probs), expected, atol=1e-4, rtol=0)


def test_what_is_unknown_is_read_as_unknown(exporter, translation_run, folder):
    run = translation_run()
    exporter.write(run, folder)
    translator = ctranslate2.Translator(str(folder), compute_type="float32")
    known, unknown = translator.score_batch([["▁the", "<unk>"], ["▁the", "no such piece"]], [["▁a"], ["▁a"]])
    assert known.log_probs == unknown.log_probs


def test_the_files_and_what_they_say(exporter, translation_run, language_run, folder, tmp_path):
    run = translation_run("separate", tied_embeddings="none", norm_epsilon=3e-4)
    exporter.write(run, folder)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.bin",
        "source.model",
        "source_vocabulary.json",
        "target.model",
        "target_vocabulary.json",
    }
    config = json.loads((folder / "config.json").read_text())
    assert config["layer_norm_epsilon"] == 3e-4
    assert (config["bos_token"], config["eos_token"], config["unk_token"]) == ("<s>", "</s>", "<unk>")
    assert config["decoder_start_token"] == "<s>"
    assert config["add_source_eos"] and not config["add_source_bos"]
    vocabulary = json.loads((folder / "target_vocabulary.json").read_text())
    assert vocabulary == run.tokenizers.target.pieces(range(run.tokenizers.target.vocab_size))
    other = tmp_path / "language"
    other.mkdir()
    exporter.write(language_run(), other)
    names = {path.name for path in other.iterdir()}
    assert names == {"README.md", "config.json", "model.bin", "tokenizer.model", "vocabulary.json"}


@pytest.mark.parametrize("kind", ["joint", "separate", "language"])
def test_the_readme_runs(kind, exporter, translation_run, language_run, folder, monkeypatch, capsys):
    run = language_run() if kind == "language" else translation_run(kind, tied_embeddings="none")
    exporter.write(run, folder)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(folder)
    # Searched as we search greedily, and not so far.
    code = code.replace("beam_size=4", "beam_size=1, max_decoding_length=19").replace("max_length=50", "max_length=17")
    exec(compile(code, "README.md", "exec"), {})
    told = capsys.readouterr().out
    if kind == "language":
        expected = [run.greedy(run.encode("How it begins"), 17)]
    else:
        expected = [run.greedy(run.encode(text), 19) for text in ("One sentence.", "And another one.")]
    assert told == "".join(run.tokenizers.target.decode(ids) + "\n" for ids in expected)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"positions": "sinusoidal"}, f"{POSITIONS} positions were written"),
        ({"positions": "learned", "max_positions": 47}, "knows 47 positions"),
        ({"positions": "rotary"}, "of any length"),
    ],
)
def test_the_readme_tells_the_longest_text(settings, told, exporter, translation_run, folder):
    exporter.write(translation_run(**settings), folder)
    assert told in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"positions": "alibi"}, "`model.positions: alibi` cannot be said in CTranslate2; only sinusoidal or learned"),
        ({"normalization": "batch"}, "`model.normalization: batch` cannot be said in CTranslate2; only layer or rms"),
        ({"scores": "uniform"}, "`model.scores: uniform` cannot be said in CTranslate2; only scaled or unscaled"),
        ({"projections": False}, "`model.projections: false` cannot be said in CTranslate2; only true"),
        ({"residual": False}, "`model.residual: false` cannot be said in CTranslate2; only true"),
        ({"sliding_window": 5}, "`model.sliding_window: 5` cannot be said in CTranslate2; only null"),
        ({"feed_forward": "none"}, "`model.feed_forward: none` cannot be said in CTranslate2; only relu or gelu"),
        ({"feed_forward": "bilinear"}, "`model.feed_forward: bilinear` cannot be said in CTranslate2; only relu"),
        ({"d_value": 7}, "`model.d_key` and `model.d_value` must be equal in CTranslate2, but are 4 and 7"),
    ],
)
def test_what_ctranslate2_lacks_is_refused(settings, told, exporter, translation_run):
    (problem,) = exporter.problems(translation_run(**settings))
    assert problem.startswith(told)


def test_a_language_model_with_learned_distances_is_refused(exporter, language_run):
    (problem,) = exporter.problems(language_run(positions="relative"))
    assert problem.startswith("`model.positions: relative` cannot be said in CTranslate2")


def test_every_reason_is_told_at_once(exporter, translation_run):
    run = translation_run(positions="alibi", sliding_window=5, residual=False, d_key=5)
    told = exporter.problems(run)
    assert [re.findall(r"`model\.(\w+)", problem)[0] for problem in told] == [
        "sliding_window",
        "residual",
        "positions",
        "d_key",
    ]


@pytest.mark.parametrize(
    "config", [RecurrentConfig(architecture="rnn_encoder_decoder"), RecurrentLanguageConfig(architecture="rnn")]
)
def test_another_architecture_is_refused(config, exporter, translation_run):
    run = dataclasses.replace(translation_run(), config=config)
    assert exporter.problems(run) == [
        f"`model.architecture: {config.architecture}`: only translation by `transformer` and language modelling by "
        "`decoder_only` can be written"
    ]


def test_a_piece_that_stands_twice_is_refused(exporter, translation_run, learn_tokenizer, monkeypatch):
    """CTranslate2 knows tokens by their text; here a piece is called as one of its four special ones."""
    tokenizer = learn_tokenizer()
    run = translation_run(TokenizerPair(tokenizer, tokenizer))
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    pieces[BOS_ID], pieces[17] = "<start>", "<s>"
    monkeypatch.setattr(type(tokenizer), "pieces", lambda self, ids: [pieces[i] for i in ids])
    assert exporter.problems(run) == ["the vocabulary holds the piece '<s>' twice"]
