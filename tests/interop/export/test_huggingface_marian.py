"""A translation run as a Marian model: the same outputs in `transformers`, and a reason for all that cannot be."""

import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from attento.engines.torch import TorchEngine
from attento.interop.export.huggingface import quiet_library
from attento.interop.export.huggingface_marian import MarianExporter, in_halves
from attento.interop.exporting import load_trained
from attento.interop.importing import import_model
from attento.interop.verify import verify
from attento.models.translation.config import RecurrentConfig
from attento.nn.positions import sinusoidal_table
from attento.text.special import BOS_ID, EOS_ID
from attento.text.tokenizer import TokenizerPair

SHAPES = {
    "the paper's": ("joint", {}),
    "halves, no bias": ("joint", {"position_layout": "halves", "bias": False, "output_bias": False}),
    "gelu, two matrices": ("separate", {"tied_embeddings": "target", "feed_forward": "gelu"}),
    "three matrices": ("separate", {"tied_embeddings": "none", "feed_forward": "gelu_tanh", "d_model": 15}),
    "one vocabulary, three matrices": ("joint", {"tied_embeddings": "none", "scale_embeddings": False}),
}


@pytest.fixture
def exporter():
    return MarianExporter()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exported"
    made.mkdir()
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_gives_the_same_ids_and_logits(shape, exporter, translation_run, folder, sentences):
    vocabularies, settings = SHAPES[shape]
    main = shape == "the paper's"
    run = translation_run(vocabularies, steps=160 if main else 40, **settings)
    assert exporter.problems(run) == []
    exporter.write(run, folder)
    chosen = sentences if main else sentences[::5]
    found = verify(run, exporter.reread(folder), chosen, lambda done: None)
    assert found.problems == []
    assert found.agreeing == found.sentences == len(chosen)
    assert found.ties == 0
    assert found.largest_difference < 1e-4


def test_what_is_written_is_not_of_one_token(translation_run, sentences):
    """The comparisons above mean something: outputs differ from sentence to sentence, and most have an end."""
    run = translation_run(steps=160)
    outputs = [tuple(run.greedy(run.encode(sentence), 40)) for sentence in sentences]
    assert len(set(outputs)) > len(outputs) // 2
    assert sum(len(output) < 40 for output in outputs) > len(outputs) // 2


def test_the_plain_way_to_use_it_gives_our_translations(exporter, translation_run, folder, sentences):
    """In a padded batch, from text to text, with the beam that the folder says."""
    from transformers import MarianMTModel, MarianTokenizer

    run, sentences = translation_run(steps=160), sentences[:22:5]
    exporter.write(run, folder)
    with quiet_library():
        model, tokenizer = MarianMTModel.from_pretrained(folder), MarianTokenizer.from_pretrained(folder)
        batch = tokenizer(sentences, return_tensors="pt", padding=True)
        found = tokenizer.batch_decode(model.generate(**batch, max_new_tokens=91), skip_special_tokens=True)
    engine = TorchEngine(run.model, device="cpu")
    for sentence, text in zip(sentences, found, strict=True):
        ids = run.encode(sentence)
        # Their cap is a number of tokens, whatever the source's length. It must not be met: what it cuts off has an
        # end for nothing there, and one that is paid for here.
        capped = replace(run.search, max_extra_length=90 - len(ids))
        ((best,),) = engine.translate([ids], capped)
        assert best.finished
        assert text == run.tokenizers.target.decode(best.ids)


def test_what_goes_out_comes_in_again(exporter, translation_run, folder, sentences, tmp_path):
    run = translation_run(steps=160)
    exporter.write(run, folder)
    import_model(folder, tmp_path / "run")
    back = load_trained(tmp_path / "run", "translation")
    for sentence in sentences[::5]:
        ours, theirs = run.greedy(run.encode(sentence), 20), back.greedy(back.encode(sentence), 20)
        assert back.tokenizers.target.decode(theirs) == run.tokenizers.target.decode(ours)


def test_the_config_says_what_the_search_needs(exporter, translation_run, folder):
    exporter.write(translation_run("separate", tied_embeddings="target"), folder)
    search = json.loads((folder / "generation_config.json").read_text())
    assert search["decoder_start_token_id"] == BOS_ID
    assert search["eos_token_id"] == search["forced_eos_token_id"] == EOS_ID
    assert search["suppress_tokens"] == [0, 1, 2]
    assert (search["num_beams"], search["length_penalty"]) == (4, 0.0)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "source.spm",
        "target.spm",
        "target_vocab.json",
        "tokenizer_config.json",
        "vocab.json",
    }


@pytest.mark.parametrize("name", ["final_logits_bias", "model.shared.weight", "model.decoder.layers.1.fc2.bias"])
def test_a_tampered_export_is_found_out(name, exporter, translation_run, folder, sentences):
    run = translation_run()
    exporter.write(run, folder)
    weights = load_file(folder / "model.safetensors")
    weights[name] = weights[name] + 0.5 * torch.rand(weights[name].shape)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = verify(run, exporter.reread(folder), sentences[:5], lambda done: None)
    assert any("logits differ by up to" in problem for problem in found.problems)


def test_a_tampered_vocabulary_is_found_out(exporter, translation_run, folder, sentences):
    run = translation_run()
    exporter.write(run, folder)
    numbers = json.loads((folder / "vocab.json").read_text())
    one, other = run.tokenizers.source.pieces(run.encode(sentences[0])[:2])
    numbers[one], numbers[other] = numbers[other], numbers[one]
    (folder / "vocab.json").write_text(json.dumps(numbers))
    found = verify(run, exporter.reread(folder), sentences[:5], lambda done: None)
    assert found.problems == [
        "the tokenizer gives other ids in 5 of 5 sentences",
        f"the first such sentence: {sentences[0]}",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"positions": "learned"}, "`model.positions: learned` cannot be said in Marian; only sinusoidal"),
        ({"normalization": "rms"}, "`model.normalization: rms` cannot be said in Marian; only layer"),
        ({"norm": "pre"}, "`model.norm: pre` cannot be said in Marian; only post"),
        ({"norm_epsilon": 1e-6}, "`model.norm_epsilon: 1e-06` cannot be said in Marian; only 1e-05"),
        (
            {"feed_forward": "swiglu"},
            "`model.feed_forward: swiglu` cannot be said in Marian; only relu or gelu or gelu_tanh or silu",
        ),
        ({"scores": "unscaled"}, "`model.scores: unscaled` cannot be said in Marian; only scaled"),
        ({"projections": False}, "`model.projections: false` cannot be said in Marian; only true"),
        ({"residual": False}, "`model.residual: false` cannot be said in Marian; only true"),
        ({"sliding_window": 5}, "`model.sliding_window: 5` cannot be said in Marian; only null"),
        ({"embedding_norm": True}, "`model.embedding_norm: true` cannot be said in Marian; only false"),
        ({"num_kv_heads": 1}, "`model.num_kv_heads: 1` cannot be said in Marian; only null or 3"),
        ({"d_key": 2}, "`model.d_key: 2` cannot be said in Marian; only null or 4"),
        ({"d_value": 5}, "`model.d_value: 5` cannot be said in Marian; only null or 4"),
    ],
)
def test_each_setting_that_marian_has_no_word_for_is_named(settings, told, exporter, translation_run):
    assert exporter.problems(translation_run(**settings)) == [told]


def test_heads_that_do_not_share_the_vector_out_are_named(exporter, translation_run):
    told = exporter.problems(translation_run(num_heads=5, d_key=2, d_value=2))
    assert told[0] == "`model.num_heads: 5` must divide `model.d_model: 12` in Marian"


def test_another_architecture_is_named(exporter, translation_run):
    from dataclasses import replace

    config = RecurrentConfig(architecture="rnn_encoder_decoder")
    told = "`model.architecture: rnn_encoder_decoder` cannot be said in Marian; only transformer"
    assert exporter.problems(replace(translation_run(), config=config)) == [told]


def test_a_vocabulary_of_words_is_named(exporter, translation_run, tokenizers, learn_tokenizer):
    words = learn_tokenizer(model="word", vocab_size=None, byte_fallback=False)
    run = translation_run(TokenizerPair(words, tokenizers["joint"].target), tied_embeddings="none")
    (told,) = exporter.problems(run)
    assert told.startswith("the source tokenizer has whole words for pieces (`data.tokenizer.model: word`)")


def test_all_reasons_are_told_at_once(exporter, translation_run):
    run = translation_run(norm="pre", positions="alibi", sliding_window=3, embedding_norm=True)
    assert [told.split(":")[0] for told in exporter.problems(run)] == [
        "`model.positions",
        "`model.norm",
        "`model.sliding_window",
        "`model.embedding_norm",
    ]


@pytest.mark.parametrize("width", [7, 10])
def test_sorted_features_of_interleaved_waves_are_the_halves(width):
    table = sinusoidal_table(13, width, layout="interleaved")
    expected = sinusoidal_table(13, width, layout="halves")
    torch.testing.assert_close(in_halves("source_embedding.weight", table), expected, rtol=0, atol=0)


def test_the_library_is_as_loud_after_as_before():
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quiet_library():
        warnings.warn("advice", stacklevel=1)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)
