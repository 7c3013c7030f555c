"""Diagrams hold the model's own shapes and numbers, and are valid Mermaid text."""

import re

import architectures
import pytest
import torch
from inspected import EVERY, make_run

from attento.inspection.flow import Diagram, draw_attention, mermaid, watch
from attento.inspection.reading import read
from attento.inspection.view import make_view
from attento.models.base import EncoderDecoder


def test_watching_leaves_nothing_and_sees_what_was_made() -> None:
    model = make_run("translation", architectures.TRANSLATION["transformer"]).model
    assert isinstance(model, EncoderDecoder)
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 8, 3]])
    with torch.inference_mode(), watch(model) as calls:
        calls.phase = "encode"
        memory = model.encode(ids, torch.ones_like(ids, dtype=torch.bool))
    last = calls.of("encode", "encoder.1")
    assert last is not None
    assert last.shape == (5, 12)
    assert last.rows == [pytest.approx(row, abs=6e-4) for row in memory.hidden[0, :, :4].tolist()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_transformer_has_the_diagrams_of_the_paper() -> None:
    run = make_run("translation", architectures.TRANSLATION["transformer"])
    view = make_view(run, read(run, "the bridge and the cloud", "apple 3"), layer=1, head=2)
    titles = [diagram.title for diagram in view.diagrams]
    assert titles[:3] == ["The whole model", "One encoder layer: encoder.0", "One decoder layer: decoder.0"]
    assert "One head: decoder.1.cross_attention, head 2" in titles
    whole, encoder, decoder = view.diagrams[:3]
    source, steps = len(view.reading.lines["source"].ids), len(view.reading.lines["output"].ids)
    assert [box.label.split("\n")[0] for box in whole.boxes if box.line == "source"][-1] == "encoder.0-1"
    assert whole.boxes[-1].shape == (steps, run.tokenizers.target.vocab_size)
    assert {box.shape for box in encoder.boxes} == {(source, 12)}
    # Two sublayers with a residual in an encoder layer, three in a decoder layer.
    assert (sum(arrow.around for arrow in encoder.arrows), sum(arrow.around for arrow in decoder.arrows)) == (2, 3)


def test_one_head_is_drawn_with_the_numbers_that_were_recorded() -> None:
    run = make_run("translation", architectures.TRANSLATION["transformer"])
    reading = read(run, "the bridge", "apple")
    attention = reading.trace.find("cross", 1)
    drawn = draw_attention(attention, 1, ("output", "source"))
    assert drawn is not None
    by_label = {box.label: box for box in drawn.boxes}
    weights = by_label["softmax of each row"]
    assert weights.shape == tuple(attention.weights.shape[2:])
    assert weights.numbers[0] == pytest.approx(attention.weights[0, 1, 0, :4].tolist(), abs=6e-4)
    assert (by_label["K"].line, by_label["Q"].line, weights.across) == ("source", "output", "source")


@pytest.mark.parametrize("which", [key for key in EVERY if key[0] != "classification"], ids="-".join)
def test_every_model_has_a_diagram_whose_arrows_join_its_boxes(which: tuple[str, str]) -> None:
    run = make_run(which[0], EVERY[which])  # type: ignore[arg-type, index]
    view = make_view(run, read(run, "the bridge"))
    assert view.diagrams
    for diagram in view.diagrams:
        names = [box.name for box in diagram.boxes]
        assert len(set(names)) == len(names) == len({(box.column, box.row) for box in diagram.boxes})
        assert {arrow.start for arrow in diagram.arrows} | {arrow.end for arrow in diagram.arrows} <= set(names)
        for box in diagram.boxes:
            assert not box.line or box.line in view.reading.lines


def test_mermaid_holds_every_box_and_arrow_and_nothing_that_ends_a_label() -> None:
    diagram = Diagram("A & B", "words")
    first = diagram.add('say "<b>"\n# and more', shape=(3, 5))
    second = diagram.add("plain")
    diagram.link(first, second)
    diagram.link(first, second, around=True)
    assert mermaid([diagram]) == (
        "## A #amp; B\n\n```mermaid\nflowchart TD\n"
        '    b0["say #quot;#lt;b#gt;#quot;<br/>#35; and more<br/>3 x 5"]\n'
        '    b1["plain"]\n    b0 --> b1\n    b0 -.-> b1\n```\n'
    )
    run = make_run("translation", architectures.TRANSLATION["transformer"])
    view = make_view(run, read(run, "the bridge"))
    lines = mermaid(view.diagrams).splitlines()
    assert sum(line == "flowchart TD" for line in lines) == len(view.diagrams)
    assert sum(bool(re.fullmatch(r'    b\d+\["[^"]+"\]', line)) for line in lines) == sum(
        len(d.boxes) for d in view.diagrams
    )
