"""A language model as LLaMA: the same outputs in `transformers`, and a reason for all that cannot be."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from attento.interop.export.huggingface import quiet_library
from attento.interop.export.huggingface_llama import LlamaExporter, in_halves
from attento.interop.exporting import load_trained
from attento.interop.importing import import_model
from attento.interop.verify import verify
from attento.models.language.config import RecurrentLanguageConfig
from attento.nn.relation import RotaryRelations, consecutive_places
from attento.text.special import BOS_ID

LLAMA3 = {"base": 500.0, "scaling": {"kind": "llama3", "factor": 4.0, "low": 0.5, "high": 3.0, "original_length": 29}}
SHAPES = {
    "tied": {},
    "grouped, halves, untied": {"num_kv_heads": 2, "position_layout": "halves", "tied_embeddings": False},
    "multi-query, scaled embeddings": {"num_kv_heads": 1, "scale_embeddings": True},
    "biases, wide heads, llama3": {"bias": True, "d_key": 6, "d_value": 6, "rotary": LLAMA3, "norm_epsilon": 1e-3},
    "scaled and untied, linear": {
        "scale_embeddings": True,
        "tied_embeddings": False,
        "rotary": {"scaling": {"kind": "linear", "factor": 3.0}},
    },
}


@pytest.fixture
def exporter():
    return LlamaExporter()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "exported"
    made.mkdir()
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_transformers_gives_the_same_ids_and_logits(shape, exporter, language_run, folder, sentences):
    run = language_run(steps=40, **SHAPES[shape])
    assert exporter.problems(run) == []
    exporter.write(run, folder)
    chosen = sentences[::2] if shape == "tied" else sentences[::7]
    found = verify(run, exporter.reread(folder), chosen, lambda done: None)
    assert found.problems == []
    assert found.agreeing == found.sentences == len(chosen)
    assert found.largest_difference < 1e-4


def test_the_plain_way_to_use_it_goes_on_as_ours(exporter, language_run, folder, sentences):
    """In a batch padded at its beginning, from text to text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run, prompts = language_run(steps=80), [sentence[: 5 + place] for place, sentence in enumerate(sentences[::4])]
    exporter.write(run, folder)
    with quiet_library():
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        batch = tokenizer(prompts, return_tensors="pt", padding=True)
        found = model.generate(**batch, max_new_tokens=9)
    for prompt, row in zip(prompts, found.tolist(), strict=True):
        ids = run.encode(prompt)
        expected = [*ids, *run.greedy(ids, 9)]
        assert row[row.index(BOS_ID) :] == [BOS_ID, *expected]
        assert tokenizer.decode(row, skip_special_tokens=True) == run.tokenizers.target.decode(expected)


def test_what_goes_out_comes_in_again(exporter, language_run, folder, sentences, tmp_path):
    run = language_run(steps=80)
    exporter.write(run, folder)
    import_model(folder, tmp_path / "run")
    back = load_trained(tmp_path / "run", "language_modeling")
    for sentence in sentences[::5]:
        ours, theirs = run.encode(sentence), back.encode(sentence)
        assert theirs == ours
        assert back.greedy(theirs, 9) == run.greedy(ours, 9)


def test_what_is_written_is_what_the_library_expects(exporter, language_run, folder):
    exporter.write(language_run(max_positions=71), folder)
    assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == 71
    assert json.loads((folder / "generation_config.json").read_text())["suppress_tokens"] == [0, 1, 2, 3]
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    }


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.0.self_attn.k_proj.weight"])
def test_a_tampered_export_is_found_out(name, exporter, language_run, folder, sentences):
    run = language_run()
    exporter.write(run, folder)
    weights = load_file(folder / "model.safetensors")
    weights[name] = weights[name] + 0.5 * torch.rand(weights[name].shape)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = verify(run, exporter.reread(folder), sentences[:3], lambda done: None)
    assert any("logits differ by up to" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"positions": "alibi"}, "`model.positions: alibi` cannot be said in LLaMA; only rotary"),
        ({"normalization": "layer"}, "`model.normalization: layer` cannot be said in LLaMA; only rms"),
        ({"norm": "post"}, "`model.norm: post` cannot be said in LLaMA; only pre"),
        ({"feed_forward": "geglu"}, "`model.feed_forward: geglu` cannot be said in LLaMA; only swiglu"),
        ({"scores": "unscaled"}, "`model.scores: unscaled` cannot be said in LLaMA; only scaled"),
        ({"projections": False}, "`model.projections: false` cannot be said in LLaMA; only true"),
        ({"residual": False}, "`model.residual: false` cannot be said in LLaMA; only true"),
        ({"sliding_window": 5}, "`model.sliding_window: 5` cannot be said in LLaMA; only null"),
        ({"embedding_norm": True}, "`model.embedding_norm: true` cannot be said in LLaMA; only false"),
        ({"output_bias": True}, "`model.output_bias: true` cannot be said in LLaMA; only false"),
        ({"d_value": 5}, "`model.d_key: 4` and `model.d_value: 5` must be equal in LLaMA"),
        (
            {"num_heads": 3, "d_key": 4, "d_value": 4},
            "`model.num_heads: 3` must divide `model.d_model: 16` in LLaMA",
        ),
    ],
)
def test_each_setting_that_llama_has_no_word_for_is_named(settings, told, exporter, language_run):
    assert exporter.problems(language_run(**settings)) == [told]


def test_another_architecture_is_named(exporter, language_run):
    config = RecurrentLanguageConfig(architecture="rnn")
    told = "`model.architecture: rnn` cannot be said in LLaMA; only decoder_only"
    assert exporter.problems(replace(language_run(), config=config)) == [told]


def test_all_reasons_are_told_at_once(exporter, language_run, learn_tokenizer):
    tokenizer = learn_tokenizer(model="unigram", vocab_size=37, byte_fallback=False)
    told = exporter.problems(language_run(tokenizer, norm="post", positions="learned"))
    assert [each.split(":")[0] for each in told] == ["`model.positions", "`model.norm", "`data.tokenizer.model"]


def test_sorted_features_turn_in_halves_as_they_did_in_pairs():
    heads, width, places = 3, 10, consecutive_places(0, 7, 0)
    queries, keys = torch.randn(2, 1, heads, 7, width, dtype=torch.float64)

    def scores(layout, queries, keys):
        turn = RotaryRelations(width, layout=layout)(places).rotate
        return turn(queries) @ turn(keys).transpose(-2, -1)

    def turned(vectors):
        rows = vectors[0].transpose(1, 2).flatten(0, 1)  # (1, H, T, K) -> (H*K, T)
        return in_halves(rows, heads).unflatten(0, (heads, width)).transpose(1, 2)[None]

    expected = scores("interleaved", queries, keys)
    torch.testing.assert_close(scores("halves", turned(queries), turned(keys)), expected)
