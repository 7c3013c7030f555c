"""A run as a CTranslate2 model: a fast engine in C++ for CPUs and GPUs, with quantization of its own.

Its search is its own too: greedy search gives the same tokens, while its length penalty divides by another number.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from attento.interop.export.base import NEVER_WRITTEN, Exporter, Runner, TrainedModel, misfits
from attento.interop.export.readme import tokenizer_code
from attento.models.language.config import DecoderOnlyConfig
from attento.models.stack_config import Positions
from attento.models.translation.config import TransformerConfig
from attento.text.special import BOS_ID, EOS_ID, PAD_ID, UNK_ID
from attento.text.tokenizer import Tokenizer, TokenizerPair

# One name for each in both vocabularies, whatever a tokenizer calls them.
_SPECIALS = {PAD_ID: "<pad>", UNK_ID: "<unk>", BOS_ID: "<s>", EOS_ID: "</s>"}
# The settings that its Transformer has in part.
_ALLOWED: dict[str, Sequence[Any]] = {
    "scores": ("scaled", "unscaled"),
    "projections": (True,),
    "sliding_window": (None,),
    "feed_forward": ("relu", "gelu", "gelu_tanh", "silu", "glu", "reglu", "geglu", "geglu_tanh", "swiglu"),
    "residual": (True,),
    "normalization": ("layer", "rms"),
}


class CTranslate2Exporter(Exporter):
    """Writes `model.bin`, `config.json` and the vocabularies, as CTranslate2's own converters do."""

    packages = ("ctranslate2",)

    def problems(self, run: TrainedModel) -> list[str]:
        """Return every setting and every piece that CTranslate2 cannot hold."""
        config = run.config
        if not isinstance(config, TransformerConfig | DecoderOnlyConfig):
            return [
                f"`model.architecture: {config.architecture}`: only translation by `transformer` and language "
                "modelling by `decoder_only` can be written"
            ]
        # Its encoder has no linear biases; its language models go on wrongly from a prompt with learned ones.
        lacking = "alibi" if isinstance(config, TransformerConfig) else "relative"
        positions = [name for name in get_args(Positions) if name != lacking]
        found = misfits(config, _ALLOWED | {"positions": positions}, "CTranslate2")
        shared = config.d_model // config.num_heads
        widths = config.d_key or shared, config.d_value or shared
        if widths[0] != widths[1]:
            found.append(
                f"`model.d_key` and `model.d_value` must be equal in CTranslate2, but are {widths[0]} and {widths[1]}"
            )
        for tokenizer in dict.fromkeys((run.tokenizers.source, run.tokenizers.target)):
            counts = Counter(vocabulary(tokenizer))
            found += [f"the vocabulary holds the piece {token!r} twice" for token in counts if counts[token] > 1]
        return found

    def write(self, run: TrainedModel, folder: Path) -> None:
        """Write the model, its vocabularies, the tokenizer and how to use them."""
        from attento.interop.export.ctranslate2_spec import make_language_spec, make_translation_spec

        weights = run.model.state_dict()
        if isinstance(run.config, TransformerConfig):
            spec = make_translation_spec(run.config, weights)
            spec.register_source_vocabulary(vocabulary(run.tokenizers.source))
            spec.register_target_vocabulary(vocabulary(run.tokenizers.target))
            spec.config.decoder_start_token = _SPECIALS[BOS_ID]
            spec.config.add_source_eos = True
        else:
            assert isinstance(run.config, DecoderOnlyConfig)
            spec = make_language_spec(run.config, weights)
            spec.register_vocabulary(vocabulary(run.tokenizers.target))
        spec.config.unk_token, spec.config.bos_token = _SPECIALS[UNK_ID], _SPECIALS[BOS_ID]
        spec.config.eos_token = _SPECIALS[EOS_ID]
        spec.validate()
        spec.optimize()
        spec.save(str(folder))
        run.tokenizers.save(folder)
        (folder / "README.md").write_text(_readme(run), encoding="utf-8")

    def reread(self, folder: Path) -> Runner:
        """Load the model in float32 on the CPU."""
        if (folder / "vocabulary.json").is_file():
            return _LanguageRunner(folder)
        return _TranslationRunner(folder)


class _TranslationRunner:
    def __init__(self, folder: Path) -> None:
        import ctranslate2

        self._translator = ctranslate2.Translator(str(folder), **_plain())
        self._tokenizer = TokenizerPair.load(folder).source
        self._source, self._target = (_read_vocabulary(folder, side) for side in ("source", "target"))
        self._ids = {token: place for place, token in enumerate(self._target)}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a source text."""
        return self._tokenizer.encode(text)

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits of every step of a search that is made to write `target`."""
        found = self._search(
            source,
            target_prefix=[[self._target[place] for place in target]],
            max_decoding_length=len(target) + 1,
            return_logits_vocab=True,
            return_end_token=True,
        )
        return torch.from_numpy(np.stack([np.array(step).reshape(-1) for step in found.logits[0]]))

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable tokens behind bos."""
        found = self._search(
            source,
            max_decoding_length=max_length,
            suppress_sequences=[[self._target[place]] for place in NEVER_WRITTEN["translation"]],
        )
        return [self._ids[token] for token in found.hypotheses[0]]

    def _search(self, source: Sequence[int], **options: Any) -> Any:
        tokens = [self._source[place] for place in source]
        # Its own limits are 1024 tokens read, and one written at least.
        (found,) = self._translator.translate_batch(
            [tokens], beam_size=1, min_decoding_length=0, max_input_length=0, **options
        )
        return found


class _LanguageRunner:
    def __init__(self, folder: Path) -> None:
        import ctranslate2

        self._generator = ctranslate2.Generator(str(folder), **_plain())
        self._tokenizer = TokenizerPair.load(folder).source
        self._vocabulary = vocabulary(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a prompt."""
        return self._tokenizer.encode(text)

    def logits(self, source: Sequence[int], target: Sequence[int]) -> Float[Tensor, "T V"]:
        """Return the logits after bos, the prompt and the target."""
        return torch.from_numpy(np.array(self._generator.forward_batch([[BOS_ID, *source, *target]])))[0]

    def greedy(self, source: Sequence[int], max_length: int) -> list[int]:
        """Return the most probable tokens behind bos and the prompt."""
        (found,) = self._generator.generate_batch(
            [[self._vocabulary[place] for place in (BOS_ID, *source)]],
            max_length=max_length,
            suppress_sequences=[[self._vocabulary[place]] for place in NEVER_WRITTEN["language_modeling"]],
            include_prompt_in_result=False,
        )
        return list(found.sequences_ids[0])


def _plain() -> dict[str, Any]:
    return {"device": "cpu", "compute_type": "float32", "intra_threads": torch.get_num_threads()}


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """Return the tokens that CTranslate2 knows the ids of a tokenizer by."""
    tokens = tokenizer.pieces(range(tokenizer.vocab_size))
    for place, name in _SPECIALS.items():
        tokens[place] = name
    return tokens


def _read_vocabulary(folder: Path, side: str) -> list[str]:
    shared = folder / "shared_vocabulary.json"
    path = shared if shared.is_file() else folder / f"{side}_vocabulary.json"
    tokens: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return tokens


def _readme(run: TrainedModel) -> str:
    code = tokenizer_code(run.tokenizers)
    template = _TRANSLATION_README if run.task == "translation" else _LANGUAGE_README
    one = vocabulary(run.tokenizers.source) == vocabulary(run.tokenizers.target)
    file = "shared_vocabulary.json" if one else "{}_vocabulary.json"
    return template.format(
        packages=" ".join(("ctranslate2", *code.packages)),
        tokenizer=code.lines,
        source=file.format("source"),
        target=file.format("target"),
        limit=_limit(run),
    )


def _limit(run: TrainedModel) -> str:
    from attento.interop.export.ctranslate2_spec import POSITIONS

    assert isinstance(run.config, TransformerConfig | DecoderOnlyConfig)
    match run.config.positions:
        case "learned":
            return f"The model knows {run.config.max_positions} positions: no text may have more tokens."
        case "sinusoidal" | "none":
            return f"{POSITIONS} positions were written: no text may have more tokens."
        case _:
            return "A text may be of any length."


_TRANSLATION_README = """# A translation model for CTranslate2

Exported by Attento. `pip install {packages}`, and run this in the folder:

```python
import json

import ctranslate2
{tokenizer}


with open("{source}", encoding="utf-8") as file:
    source_tokens = json.load(file)
with open("{target}", encoding="utf-8") as file:
    target_ids = {{token: i for i, token in enumerate(json.load(file))}}

translator = ctranslate2.Translator(".", compute_type="float32")
results = translator.translate_batch(
    [[source_tokens[i] for i in encode(text)] for text in ["One sentence.", "And another one."]],
    beam_size=4,
    min_decoding_length=0,
    suppress_sequences=[["<pad>"], ["<unk>"], ["<s>"]],
)
for result in results:
    print(decode([target_ids[token] for token in result.hypotheses[0]]))
```

CTranslate2 adds the end of the source and the beginning of the target by itself. With `compute_type="int8"` weights are
quantized as they are loaded. {limit}
"""

_LANGUAGE_README = """# A language model for CTranslate2

Exported by Attento. `pip install {packages}`, and run this in the folder:

```python
import json

import ctranslate2
{tokenizer}


with open("vocabulary.json", encoding="utf-8") as file:
    tokens = json.load(file)

generator = ctranslate2.Generator(".", compute_type="float32")
(result,) = generator.generate_batch(
    [["<s>", *(tokens[i] for i in encode("How it begins"))]],
    max_length=50,
    suppress_sequences=[["<pad>"], ["<unk>"], ["<s>"], ["</s>"]],
    include_prompt_in_result=False,
)
print(decode(result.sequences_ids[0]))
```

Training text is one stream that begins with `<s>`: a text has no end of its own. With `compute_type="int8"` weights are
quantized as they are loaded. {limit}
"""
