"""A run as ONNX: an encoder and a decoder step that any runtime computes, with the cache as inputs and outputs.

Built node by node from the weights, so that every length stays free: batch, source, target and past.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attento.interop.export.base import NEVER_WRITTEN, Exporter, Runner, TrainedModel
from attento.interop.export.readme import tokenizer_code
from attento.interop.export.stepping import StepRunner
from attento.models.base import EncoderDecoder
from attento.models.language.config import DecoderOnlyConfig
from attento.models.translation.config import TransformerConfig
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import TokenizerPair

# A protocol buffer holds less than 2 GiB; the rest is for the nodes.
_MAX_BYTES = 2**31 - 2**24
_CONFIG_FILE = "config.json"
_Arrays = dict[str, NDArray[Any]]
# What the decoder needs of a source at every step, and the past.
_State = tuple[_Arrays, _Arrays]


class OnnxExporter(Exporter):
    """Writes `decoder.onnx`, for translation `encoder.onnx` too, and a `config.json` that tells what they take."""

    packages = ("onnx", "onnxruntime")

    def problems(self, run: TrainedModel) -> list[str]:
        """Return why the run cannot be written."""
        config = run.config
        if not isinstance(config, TransformerConfig | DecoderOnlyConfig):
            return [
                f"`model.architecture: {config.architecture}`: only translation by `transformer` and language "
                "modelling by `decoder_only` can be written"
            ]
        size = sum(tensor.nbytes for tensor in run.model.state_dict().values())
        if size > _MAX_BYTES:
            return [f"the model has {size / 2**30:.1f} GiB of weights, but an ONNX file holds less than 2 GiB"]
        return []

    def write(self, run: TrainedModel, folder: Path) -> None:
        """Write the graphs, what they take and give, the tokenizer and how to use them."""
        from attento.interop.export.onnx_graph import axes_of
        from attento.interop.export.onnx_models import make_decoder, make_encoder

        weights = {name: tensor.detach() for name, tensor in run.model.state_dict().items()}
        assert isinstance(run.config, TransformerConfig | DecoderOnlyConfig)
        models = {"decoder": make_decoder(run.config, weights)}
        if isinstance(run.config, TransformerConfig):
            models["encoder"] = make_encoder(run.config, weights)
        for name, model in models.items():
            (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        settings = json.dumps(_settings(run) | {name: axes_of(model) for name, model in models.items()}, indent=2)
        (folder / _CONFIG_FILE).write_text(settings + "\n", encoding="utf-8")
        run.tokenizers.save(folder)
        (folder / "README.md").write_text(_readme(run), encoding="utf-8")

    def reread(self, folder: Path) -> Runner:
        """Load the graphs on the CPU."""
        return _OnnxRunner(folder)


class _OnnxRunner(StepRunner[_State]):
    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / _CONFIG_FILE).read_text(encoding="utf-8"))
        self._past = [name for name in settings["decoder"]["inputs"] if name.startswith("past_")]
        self._axes = {name: settings["decoder"]["inputs"][name] for name in self._past}
        translates = settings["task"] == "translation"
        super().__init__(TokenizerPair.load(folder).source, settings["never_written"], translates=translates)
        self._decoder = _session(folder / "decoder.onnx")
        self._encoder = _session(folder / "encoder.onnx") if translates else None

    def _start(self, source: Sequence[int]) -> _State:
        past = {name: np.zeros((1, heads, 0, width), np.float32) for name, (_, heads, _, width) in self._axes.items()}
        if self._encoder is None:
            return {}, past
        ids = np.array([[*source, EOS_ID]])
        mask = np.ones(ids.shape, np.bool_)
        names = [output.name for output in self._encoder.get_outputs()]
        found = dict(zip(names, self._encoder.run(None, {"source_ids": ids, "source_mask": mask}), strict=True))
        return {name: found[name] for name in names if name != "memory"} | {"source_mask": mask}, past

    def _step(self, tokens: Sequence[int], state: _State) -> tuple[NDArray[np.float32], _State]:
        memory, past = state
        names = ["logits", *(name.removeprefix("past_") for name in self._past)]
        logits, *present = self._decoder.run(names, {"target_ids": np.array([tokens]), **memory, **past})
        return logits[0], (memory, dict(zip(self._past, present, strict=True)))


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _settings(run: TrainedModel) -> dict[str, Any]:
    limits = (
        {"max_source_length": run.model.max_source_length, "max_target_length": run.model.max_target_length}
        if isinstance(run.model, EncoderDecoder)
        else {"max_target_length": run.model.max_length}
    )
    special = {"pad": PAD_ID, "unk": UNK_ID, "bos": BOS_ID, "eos": EOS_ID}
    return {"task": run.task, "special_ids": special, "never_written": NEVER_WRITTEN[run.task], **limits}


def _readme(run: TrainedModel) -> str:
    code = tokenizer_code(run.tokenizers)
    template = _TRANSLATION_README if run.task == "translation" else _LANGUAGE_README
    return template.format(packages=" ".join(("onnxruntime", *code.packages)), tokenizer=code.lines)


_TRANSLATION_README = """# A translation model as ONNX

Exported by Attento. `encoder.onnx` reads a source that ends with eos; `decoder.onnx` takes the next tokens of the
target, which begins with bos, with the keys and values of those before, and gives logits and the new keys and values.
`config.json` names every input and output with its axes; a named axis is of any length. Rows of different lengths are
padded on the right, and `source_mask` is false at the padding.

`pip install {packages}`, and run this in the folder:

```python
import json

import numpy as np
import onnxruntime
{tokenizer}


with open("config.json", encoding="utf-8") as file:
    config = json.load(file)
bos, eos = config["special_ids"]["bos"], config["special_ids"]["eos"]
encoder, decoder = (onnxruntime.InferenceSession(f"{{name}}.onnx") for name in ("encoder", "decoder"))
pasts = {{name: axes for name, axes in config["decoder"]["inputs"].items() if name.startswith("past_")}}
outputs = ["logits", *(name.removeprefix("past_") for name in pasts)]


def translate(text, max_extra_length=50):
    source = np.array([[*encode(text), eos]])
    mask = np.ones(source.shape, bool)
    names = [name for name in config["encoder"]["outputs"] if name != "memory"]
    memory = dict(zip(names, encoder.run(names, {{"source_ids": source, "source_mask": mask}})))
    state = {{name: np.zeros((1, heads, 0, width), np.float32) for name, (_, heads, _, width) in pasts.items()}}
    written = [bos]
    while written[-1] != eos and len(written) < source.size + max_extra_length:
        step = {{"target_ids": np.array([written[-1:]]), "source_mask": mask, **memory, **state}}
        logits, *present = decoder.run(outputs, step)
        logits[0, -1, config["never_written"]] = -np.inf
        written.append(int(logits[0, -1].argmax()))
        state = dict(zip(pasts, present))
    return decode([i for i in written if i not in (bos, eos)])


print(translate("One sentence."))
```
"""

_LANGUAGE_README = """# A language model as ONNX

Exported by Attento. `decoder.onnx` takes the next tokens of a text, which begins with bos, with the keys and values of
those before, and gives logits and the new keys and values. `config.json` names every input and output with its axes; a
named axis is of any length.

`pip install {packages}`, and run this in the folder:

```python
import json

import numpy as np
import onnxruntime
{tokenizer}


with open("config.json", encoding="utf-8") as file:
    config = json.load(file)
decoder = onnxruntime.InferenceSession("decoder.onnx")
pasts = {{name: axes for name, axes in config["decoder"]["inputs"].items() if name.startswith("past_")}}
outputs = ["logits", *(name.removeprefix("past_") for name in pasts)]


def go_on(prompt, tokens=50):
    state = {{name: np.zeros((1, heads, 0, width), np.float32) for name, (_, heads, _, width) in pasts.items()}}
    unread, written = [config["special_ids"]["bos"], *encode(prompt)], []
    while len(written) < tokens:
        logits, *present = decoder.run(outputs, {{"target_ids": np.array([unread]), **state}})
        logits[0, -1, config["never_written"]] = -np.inf
        unread = [int(logits[0, -1].argmax())]
        written += unread
        state = dict(zip(pasts, present))
    return decode(written)


print(go_on("How it begins"))
```
"""
