"""What a trace tells, follows, draws and keeps."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attento.errors import InputError, MissingExtraError
from attento.inspection.trace import Attention, Trace, as_numpy, rollout

# Rows, heads, target, source, head size.
B, H, T, S, K = 2, 3, 5, 7, 11
TOKENS = {
    "source": [["ein", "Hund", "<script>", "</s>"], ["a", "b", "c", "d", "e", "f", "</s>"]],
    "target": [["<s>", "a", "dog"], ["<s>", "x", "y", "z", "x"]],
}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).softmax(-1)


def a_trace() -> Trace:
    cross = [
        Attention(f"decoder.{layer}.cross_attention", "cross", layer, drawn(B, H, T, S), value=torch.randn(B, 1, S, K))
        for layer in (0, 1)
    ]
    own = [
        Attention(f"encoder.{layer}.self_attention", "encoder self", layer, drawn(B, H, S, S), rows="source")
        for layer in (0, 1, 2)
    ]
    return Trace([*own, *cross], {"decoder.0 residual": torch.randn(B, T, K), "logits": torch.randn(B, T, 13)}, TOKENS)


def test_an_attention_is_found_by_kind_and_layer() -> None:
    trace = a_trace()
    assert trace.find("cross", 1) is trace.attentions[4]
    assert trace.find("encoder self", 2, rows="source") is trace.attentions[2]
    assert trace.kinds() == ["encoder self", "cross"]
    assert trace.layers("encoder self") == [0, 1, 2]
    assert trace.layers("sentence") == []
    assert torch.equal(trace.head("cross", 1, 2, row=1), trace.attentions[4].weights[1, 2])
    assert trace.array("logits") is trace.arrays["logits"]


def test_what_is_not_there_is_told_with_what_is() -> None:
    trace = a_trace()
    there = "`encoder self` with layers 0 to 2 and heads 0 to 2, `cross` with layers 0 to 1 and heads 0 to 2"
    with pytest.raises(InputError, match=f"no attention of the kind `sentence` here; there is {there}"):
        trace.find("sentence", 0)
    with pytest.raises(InputError, match=f"no layer 2 of the kind `cross` here; there is {there}"):
        trace.find("cross", 2)
    with pytest.raises(InputError, match="no layer 0 whose rows are `text` of the kind `cross`"):
        trace.find("cross", 0, rows="text")
    with pytest.raises(InputError, match=r"no head 3 in `decoder\.1\.cross_attention`; there are 3: 0 to 2"):
        trace.head("cross", 1, 3)
    with pytest.raises(InputError, match="no head -1"):
        trace.head("cross", 1, -1)
    with pytest.raises(InputError, match="no row 2"):
        trace.head("cross", 1, 0, row=2)
    with pytest.raises(InputError, match=r"no array `hidden` here; there are decoder\.0 residual, logits"):
        trace.array("hidden")
    with pytest.raises(InputError, match="nothing was recorded"):
        Trace().find("cross", 0)
    with pytest.raises(InputError, match="there are only the arrays logits"):
        Trace(arrays={"logits": torch.zeros(1)}).heatmap()


def test_rollout_is_the_sum_over_all_paths() -> None:
    weights = [torch.randn(B, H, S, S).double().softmax(-1).numpy() for _ in range(3)]

    def into(layer: int, row: int, token: int) -> list[float]:
        """How much of each input token there is in a token behind so many layers, by loops alone."""
        if layer == 0:
            return [float(token == other) for other in range(S)]
        flow = [0.0] * S
        for below in range(S):
            mean = sum(float(weights[layer - 1][row, head, token, below]) for head in range(H)) / H
            share = 0.5 * mean + 0.5 * (token == below)
            for other, part in enumerate(into(layer - 1, row, below)):
                flow[other] += share * part
        return flow

    expected = [[into(3, row, token) for token in range(S)] for row in range(B)]
    np.testing.assert_allclose(rollout(weights), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rollout(weights).sum(-1), np.ones((B, S)), rtol=1e-12)


def test_rollout_of_one_sentence_and_of_a_token_that_sees_nothing() -> None:
    weights = [drawn(H, S, S).numpy() for _ in range(2)]
    for layer in weights:
        layer[:, 4] = 0
    flow = rollout(weights)
    assert flow.shape == (S, S)
    assert flow.dtype == np.float64
    np.testing.assert_array_equal(flow[4], np.eye(S)[4])


def test_rollout_of_a_trace() -> None:
    trace = a_trace()
    expected = rollout([each.weights.numpy() for each in trace.attentions[:3]])
    np.testing.assert_array_equal(trace.rollout("encoder self"), expected)
    with pytest.raises(InputError, match="only where a text looks at itself, not `cross`"):
        trace.rollout("cross")
    with pytest.raises(InputError, match="no attention of the kind `decoder self`"):
        trace.rollout("decoder self")
    with pytest.raises(ValueError, match="no layer"):
        rollout([])


@pytest.mark.parametrize("name", ["seen", "seen.npz", "seen.json"])
def test_a_trace_is_written_and_read_back(tmp_path: Path, name: str) -> None:
    trace = a_trace()
    trace.save(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"seen.npz", "seen.json"}
    back = Trace.load(tmp_path / name)
    assert back.tokens == trace.tokens
    assert list(back.arrays) == list(trace.arrays)
    for key, array in trace.arrays.items():
        assert torch.equal(back.arrays[key], array)
    for written, read in zip(trace.attentions, back.attentions, strict=True):
        assert (read.name, read.kind, read.layer, read.rows, read.columns) == (
            written.name, written.kind, written.layer, written.rows, written.columns,
        )  # fmt: skip
        assert torch.equal(read.weights, written.weights)
        assert read.query is None
        assert (read.value is None) == (written.value is None)


def test_the_files_can_be_read_without_us(tmp_path: Path) -> None:
    trace = a_trace()
    trace.arrays["half"] = torch.randn(3, dtype=torch.bfloat16)
    trace.save(tmp_path / "seen")
    about = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    with np.load(tmp_path / "seen.npz", allow_pickle=False) as file:
        assert {name: list(file[name].shape) for name in file.files} == about["shapes"]
        here = file["decoder.1.cross_attention target weights"]
        assert file["half"].dtype == np.float32
    np.testing.assert_array_equal(here, trace.find("cross", 1).weights.numpy())
    assert about["tokens"] == TOKENS
    assert about["attentions"][4]["arrays"] == {
        "weights": "decoder.1.cross_attention target weights",
        "value": "decoder.1.cross_attention target value",
    }


def test_files_that_are_no_trace_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seen\.json cannot be read"):
        Trace.load(tmp_path / "seen")
    a_trace().save(tmp_path / "seen")
    about = (tmp_path / "seen.json").read_text(encoding="utf-8")
    for broken, message in (
        (about.replace("trace 1", "trace 2"), "its `format` is not"),
        (about[:100], "damaged"),
        (about.replace('"logits"\n', '"other"\n'), "damaged"),
        ("[]", "its `format` is not"),
    ):
        (tmp_path / "seen.json").write_text(broken, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            Trace.load(tmp_path / "seen")
    (tmp_path / "seen.json").write_text(about, encoding="utf-8")
    np.savez(tmp_path / "seen.npz", logits=np.zeros(3))
    with pytest.raises(InputError, match="damaged or do not belong together"):
        Trace.load(tmp_path / "seen")
    # What would have to be run to be read is not read.
    with (tmp_path / "seen.npz").open("wb") as file:
        np.save(file, np.array([Trace()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="damaged"):
        Trace.load(tmp_path / "seen")


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(InputError, match=r"cannot be written to .*taken\.npz"):
        a_trace().save(tmp_path / "taken")
    with pytest.raises(InputError, match="cannot be written"):
        a_trace().save(tmp_path / "nowhere" / "seen")
    assert not list(tmp_path.glob("*.part"))


def test_a_heatmap_shows_the_weights_of_the_row_s_tokens() -> None:
    trace = a_trace()
    figure = trace.heatmap(1, 2, kind="cross", row=0)
    (drawing,) = figure.data
    np.testing.assert_array_equal(drawing.z, trace.head("cross", 1, 2, row=0)[:3, :4].numpy())
    assert list(figure.layout.xaxis.ticktext) == ["ein", "Hund", "&lt;script&gt;", "&lt;/s&gt;"]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;s&gt;", "a", "dog"]
    assert drawing.customdata[2][1] == "dog → Hund"
    assert figure.layout.title.text == "cross, layer 1, head 2"
    first = trace.heatmap()
    assert first.layout.title.text == "encoder self, layer 0, head 0"


def test_a_grid_shows_every_layer_and_head() -> None:
    trace = a_trace()
    trace.tokens = {}
    figure = trace.head_grid(kind="cross", row=1)
    assert len(figure.data) == 2 * H
    for place, drawing in enumerate(figure.data):
        np.testing.assert_array_equal(drawing.z, trace.head("cross", *divmod(place, H), row=1).numpy())
    assert [each.text for each in figure.layout.annotations] == ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]


def test_figures_of_what_is_not_there_are_refused() -> None:
    trace = a_trace()
    with pytest.raises(InputError, match="no head 3"):
        trace.heatmap(0, 3)
    with pytest.raises(InputError, match="no attention of the kind `sentence`"):
        trace.head_grid(kind="sentence")
    with pytest.raises(InputError, match="no row 2"):
        trace.head_grid(row=2)
    trace.tokens = {"source": [["w"] * (S + 1)] * B}
    with pytest.raises(InputError, match=r"`source` has 8 tokens in `Trace\.tokens`, but the attention only 7 places"):
        trace.heatmap()
    trace.tokens = {"source": [["w"]]}
    with pytest.raises(InputError, match="`source` has 1 row"):
        trace.heatmap(row=1)


def test_figures_need_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'attento\[compare\]'"):
        a_trace().heatmap()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, np.float32), (torch.float16, np.float16), (torch.float64, np.float64), (torch.long, np.int64)],
)
def test_formats_for_numpy(dtype: torch.dtype, expected: Any) -> None:
    array = torch.tensor([1, 2, 3]).to(dtype)
    assert as_numpy(array).dtype == expected
    assert math.isclose(as_numpy(array).sum(), 6)
