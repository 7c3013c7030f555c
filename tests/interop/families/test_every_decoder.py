"""Every family that only writes: its imported run does what Hugging Face's library does with the original.

The originals are tiny, with random weights. Two searches mean the same when log-probabilities are divided by nothing,
and when at the greatest length nothing but the end may follow, at its true log-probability: theirs is told so by a
processor of scores. What remains between them is that a finished hypothesis keeps its place in our beam for one step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    TokenizersBackend,
)

from attento.decoding.beam import beam_search
from attento.decoding.greedy import greedy_search
from attento.engines.language import LanguageEngine
from attento.interop.families import find_family
from attento.interop.hub_folder import HubFolder
from attento.interop.importing import import_model
from attento.text.special import BOS_ID, EOS_ID, PAD_ID

TOLERANCE = 1e-4
TOKENS = ["<unk>", "<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", ".", "th", "the", "Ġthe", "in", "Ġa", "ing"]
SIZE = len(TOKENS)
MOST = 7
PROMPTS = ([], [13], [4, 4, 29, 31, 8, 17, 22])

GPT2 = {"n_positions": 53, "n_embd": 24, "n_layer": 2, "n_head": 3, "bos_token_id": 2, "eos_token_id": 2}
LLAMA = {
    "hidden_size": 24,
    "intermediate_size": 41,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
VARIANTS: Mapping[str, Callable[[], Any]] = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, **GPT2)),
    "gpt2-gelu": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, **GPT2, activation_function="gelu", n_inner=41)),
    "gpt2-relu-unscaled": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=SIZE, **GPT2, activation_function="relu", scale_attn_weights=False)
    ),
    "gpt2-untied": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=SIZE, **GPT2, tie_word_embeddings=False, layer_norm_epsilon=0.1)
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, **LLAMA)),
    "llama-tied": lambda: LlamaForCausalLM(
        LlamaConfig(vocab_size=SIZE, **LLAMA, tie_word_embeddings=True, rms_norm_eps=0.1)
    ),
    "llama-wide-heads": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, **LLAMA, head_dim=10, pad_token_id=2)),
    "llama-biases": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, **LLAMA, attention_bias=True, mlp_bias=True)),
    "llama-linear": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SIZE, **LLAMA, rope_parameters={"rope_type": "linear", "factor": 3.0, "rope_theta": 700.0}
        )
    ),
    "llama-llama3": lambda: LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, **LLAMA, rope_parameters=LLAMA3)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(vocab_size=SIZE, **LLAMA, sliding_window=5)),
    "mistral-unbounded": lambda: MistralForCausalLM(MistralConfig(vocab_size=SIZE, **LLAMA, sliding_window=None)),
}


@dataclass(frozen=True)
class Twins:
    """A model as its own library has it, and as a run of ours."""

    theirs: Any
    engine: LanguageEngine
    order: Tensor
    """Their number of each id of ours."""
    told: list[int]
    """The ids of ours that may be predicted."""

    @torch.no_grad()
    def their_logits(self, ids: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the logits of what may be predicted, in our order."""
        logits: Tensor = self.theirs(self.order[ids], attention_mask=None if real is None else real.long()).logits
        return logits[..., self.order[self.told]]

    @torch.no_grad()
    def our_logits(self, ids: Tensor) -> Tensor:
        """Return the same of ours."""
        return self.engine.model.decode(ids, self.engine.model.start(len(ids)))[0][..., self.told]


def make(name: str) -> Any:
    """Return a model whose every weight is random, and whose guesses are far from even."""
    torch.manual_seed(7)
    model = VARIANTS[name]().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


def save_tokenizer(folder: Path) -> None:
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("Ġ", "a"), ("in", "g")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(TOKENS)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    TokenizersBackend(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


@pytest.fixture(scope="module", params=VARIANTS)
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder, run = (tmp_path_factory.mktemp(request.param) / name for name in ("theirs", "ours"))
    theirs = make(request.param)
    theirs.save_pretrained(folder)
    save_tokenizer(folder)
    import_model(folder, run)
    config = HubFolder(folder).config
    renumbering = find_family(config.get("model_type")).vocabulary(folder, config).renumbering
    engine = LanguageEngine.load(run, "cpu")
    engine.model.eval()
    told = [i for i in range(len(renumbering.order)) if i not in renumbering.silent]
    assert sorted(renumbering.order[i] for i in told) == list(range(SIZE))
    return Twins(theirs, engine, torch.tensor(renumbering.order), told)


def random_ids(twins: Twins, rows: int, length: int) -> Tensor:
    ids = torch.randint(EOS_ID, len(twins.order), (rows, length), generator=torch.Generator().manual_seed(3))
    ids[:, 0] = BOS_ID
    return ids


def test_logits_are_the_originals_with_and_without_padding(twins: Twins) -> None:
    ids, lengths = random_ids(twins, 3, 23), torch.tensor([23, 5, 11])
    real = torch.arange(23) < lengths[:, None]
    for each, mask in ((ids, None), (ids.masked_fill(~real, PAD_ID), real)):
        ours, theirs = twins.our_logits(each), twins.their_logits(each, mask)
        torch.testing.assert_close(ours[real], theirs[real], rtol=0, atol=TOLERANCE)
        assert theirs[real].std() > 100 * TOLERANCE


def test_what_stands_for_nothing_is_never_told(twins: Twins) -> None:
    ids = random_ids(twins, 2, 7)
    with torch.no_grad():
        logits, _ = twins.engine.model.decode(ids, twins.engine.model.start(2))
    silent = [i for i in range(len(twins.order)) if i not in twins.told]
    assert silent
    assert logits.softmax(dim=-1)[..., silent].max() == 0


def test_step_by_step_is_all_at_once(twins: Twins) -> None:
    ids, model = random_ids(twins, 2, 19), twins.engine.model
    state, steps = model.start(2), []
    with torch.no_grad():
        for part in (ids[:, :7], *ids[:, 7:].split(1, dim=1)):
            logits, state = model.decode(part, state)
            steps.append(logits[..., twins.told])
    torch.testing.assert_close(torch.cat(steps, dim=1), twins.their_logits(ids), rtol=0, atol=TOLERANCE)


@torch.no_grad()
def continue_prompt(twins: Twins, prompt: list[int], beam_size: int) -> list[int]:
    """Return what our search writes behind a prompt, in their numbers."""
    model, read = twins.engine.model, [BOS_ID, *prompt]
    state = model.start(1)
    if prompt:
        _, state = model.decode(torch.tensor([read[:-1]]), state)
    ends = {"bos_id": read[-1], "eos_id": EOS_ID, "max_lengths": torch.tensor([MOST])}
    if beam_size == 1:
        [best] = greedy_search(model.decode, state, **ends)
    else:
        [[best]] = beam_search(model.decode, state, beam_size=beam_size, length_penalty=0.0, **ends)
    found: list[int] = twins.order[list(best.ids)].tolist()
    return found


@pytest.mark.parametrize("beam_size", [1, 4])
def test_search_finds_what_the_original_finds(twins: Twins, beam_size: int) -> None:
    found = []
    for prompt in PROMPTS:
        ours = continue_prompt(twins, prompt, beam_size)
        assert ours == continue_by_original(twins, prompt, beam_size)
        found.append(tuple(ours))
    assert len(set(found)) > 1


def continue_by_original(twins: Twins, prompt: list[int], beam_size: int) -> list[int]:
    """Return what their search writes behind a prompt, before the end."""
    read, end = twins.order[[BOS_ID, *prompt]], int(twins.order[EOS_ID])

    def end_at_the_cap(ids: Tensor, scores: Tensor) -> Tensor:
        others = (ids.size(1) == len(read) + MOST) & (torch.arange(scores.size(1)) != end)
        return scores.masked_fill(others, -torch.inf)

    search = {"num_beams": beam_size, "length_penalty": 0.0} if beam_size > 1 else {}
    written = twins.theirs.generate(
        read[None],
        do_sample=False,
        max_new_tokens=MOST + 1,
        pad_token_id=end,
        logits_processor=[end_at_the_cap],
        **search,
    )
    continuation: list[int] = written[0, len(read) :].tolist()
    return continuation[: continuation.index(end)]
