"""The page holds what was seen, harmless and in one piece, for every architecture."""

import base64
import json
import re
from typing import Any

import architectures
import numpy as np
import pytest
from inspected import EVERY, LABELS, make_run

from attento.engines.torch import TorchEngine
from attento.errors import InputError
from attento.inspection.alignment import Aligner
from attento.inspection.page import build_page
from attento.inspection.reading import Reading, read
from attento.inspection.view import LEVELS, make_view
from attento.translator import Translator

NASTY = "the </script><script>alert(1)</script> <!-- {{title}} & the bridge"
TRANSFORMER = architectures.TRANSLATION["transformer"]


def data_of(page: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


def read_any(which: tuple[Any, str], text: str = "the bridge 3") -> tuple[Any, Reading]:
    run = make_run(which[0], EVERY[which])
    pair = which[0] == "classification" and getattr(run.model, "num_sentences", 1) == 2
    return run, read(run, text, "and the cloud" if pair else None)


@pytest.mark.parametrize("which", EVERY, ids="-".join)
def test_every_architecture_has_a_page_with_what_was_recorded(which: tuple[Any, str]) -> None:
    run, reading = read_any(which)
    data = data_of(build_page(make_view(run, reading)))
    for group in data["groups"]:
        layers, heads, rows, columns = group["shape"]
        assert (rows, columns) == tuple(len(data["lines"][group[side]]["tokens"]) for side in ("rows", "columns"))
        found = np.frombuffer(base64.b64decode(group["weights"]), "<u2").reshape(group["shape"]) / LEVELS
        for place, name in enumerate(group["names"]):
            (recorded,) = [
                each
                for each in reading.trace.attentions
                if (each.name, each.kind, each.columns) == (name, group["kind"], group["columns"])
            ]
            np.testing.assert_allclose(found[place], recorded.weights[0].float().numpy(), atol=0.6 / LEVELS)
        assert (layers, heads) == (len(group["layers"]), found.shape[1])
    assert sum(len(group["layers"]) for group in data["groups"]) == len(reading.trace.attentions)
    assert data["steps"] or data["notes"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "transformer",
            {
                "all layers": "the mean of 6 heads of 2 layers",
                "layer 0": "the mean of 3 heads of decoder.0.cross_attention",
                "layer 1": "the mean of 3 heads of decoder.1.cross_attention",
            },
        ),
        ("attention_additive", {"layer 0": "decoder.alignment"}),
        ("rnn_gru", {}),
    ],
)
def test_alignments_are_of_all_layers_and_of_each(name: str, parts: dict[str, str]) -> None:
    run = make_run("translation", architectures.TRANSLATION[name])
    found = data_of(build_page(make_view(run, read(run, "the bridge 3", "cloud and"))))["alignments"]
    assert {each["name"]: each["from"] for each in found} == parts
    if parts:
        translator = Translator(run.tokenizers, TorchEngine(run.model), run.search)
        assert found[0]["pharaoh"] == Aligner(translator).pharaoh("the bridge 3", "cloud and")


def test_a_page_is_one_file_that_asks_for_nothing() -> None:
    run, reading = read_any(("translation", "transformer"))
    page = build_page(make_view(run, reading))
    assert not re.search(r"""(src|href|action)\s*=|@import|url\((?!#)|fetch\(|XMLHttpRequest|innerHTML""", page)
    assert "default-src 'none'" in page
    assert "{{" not in page.replace(json.dumps(data_of(page)), "")


def test_text_cannot_leave_its_place() -> None:
    run = make_run("translation", TRANSFORMER)
    page = build_page(make_view(run, read(run, NASTY, NASTY)))
    assert page.count("</script>") == page.count("<script") == 2
    assert "<!--" not in page
    assert data_of(page)["texts"] == [NASTY]


def test_fifty_tokens_in_six_layers_of_eight_heads_are_under_five_megabytes() -> None:
    settings = TRANSFORMER | {"encoder_layers": 6, "decoder_layers": 6, "d_model": 16, "num_heads": 8}
    run = make_run("translation", settings)
    text = " ".join(["the bridge and the cloud"] * 10)
    reading = read(run, text, text)
    assert len(reading.lines["source"].ids) > 50
    page = build_page(make_view(run, reading))
    assert len(data_of(page)["groups"]) == 3
    assert len(page.encode()) < 5_000_000


def test_layer_and_head_are_opened_or_refused() -> None:
    run = make_run("translation", TRANSFORMER)
    reading = read(run, "the bridge")
    opened = make_view(run, reading, layer=0, head=2).opened
    assert (opened.layer, opened.head) == (0, 2)
    with pytest.raises(
        InputError, match="no layer 2 of `cross` attention in tiny; there are 2, counted from 0: 0 to 1"
    ):
        make_view(run, reading, layer=2)
    with pytest.raises(InputError, match="no head -1"):
        make_view(run, reading, head=-1)
    silent = make_run("translation", architectures.TRANSLATION["rnn_gru"])
    with pytest.raises(InputError, match="which has no attention; leave --layer and --head out"):
        make_view(silent, read(silent, "the bridge"), head=0)


def test_what_cannot_be_read_is_refused() -> None:
    run = make_run("translation", architectures.TRANSLATION["transformer_pre_norm_learned"])
    with pytest.raises(InputError, match=r"the sentence has \d+ tokens .* takes at most 31"):
        read(run, "the bridge " * 31)
    with pytest.raises(InputError, match="the translation has"):
        read(run, "the", "the bridge " * 31)
    with pytest.raises(InputError, match="no sentence"):
        read(run, " \u3000")
    language = make_run("language_modeling", architectures.LANGUAGE["gru"])
    with pytest.raises(InputError, match="reads one text; leave --target out"):
        read(language, "the", "bridge")


def test_pairs_and_single_sentences_are_told_apart() -> None:
    for name in architectures.CLASSIFICATION:
        run = make_run("classification", architectures.CLASSIFICATION[name])
        pair = run.model.num_sentences == 2
        with pytest.raises(InputError, match="give the second by --target" if pair else "leave --target out"):
            read(run, "the bridge", None if pair else "the cloud")
        (step,) = read(run, "the bridge", "the cloud" if pair else None).steps
        assert {each.text for each in step.candidates} == set(LABELS)
        assert sum(each.probability for each in step.candidates) == pytest.approx(1)


def test_a_given_translation_takes_the_place_of_the_model_s_own() -> None:
    run = make_run("translation", TRANSFORMER)
    given = read(run, "the bridge", "and the cloud")
    assert given.lines["output"].text == ("and", "the", "cloud")
    assert (given.said, given.given) == ("and the cloud", True)
    own = read(run, "the bridge")
    assert own.tree is not None
    assert own.said == run.tokenizers.target.decode(own.tree.best[0].ids)
