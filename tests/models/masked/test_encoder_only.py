"""The model that reads both ways against BERT, and what padding must not change."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertModel

from attento.models.base import Sentences
from attento.models.masked.config import MaskedEncoderConfig
from attento.models.masked.encoder_only import MaskedEncoder

# Layers, width, heads, width inside the network, vocabulary, positions, width of a batch.
LAYERS, D, H, INNER, V, PLACES, L = 2, 33, 3, 13, 19, 11, 7
REAL = torch.arange(L) < torch.tensor([[7], [2], [4]])

SHAPES: dict[str, dict[str, Any]] = {
    "bert": {},
    "rotary": {"positions": "rotary", "d_key": 6, "feed_forward": "swiglu", "normalization": "rms", "norm": "pre"},
    "relative": {"positions": "relative", "num_kv_heads": 1, "bias": False},
    "window": {"positions": "alibi", "sliding_window": 3},
}


def make(**changes: Any) -> MaskedEncoder:
    sizes = {"layers": LAYERS, "d_model": D, "num_heads": H, "d_ff": INNER, "max_positions": PLACES, "dropout": 0.3}
    model = MaskedEncoder(MaskedEncoderConfig(architecture="encoder_only", **sizes | changes), V)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.double().eval()


def draw() -> Sentences:
    # Torch gives BERT's row 0 no gradient: it is for padding.
    return Sentences(torch.randint(1, V, (3, L)), REAL)


def berts_config() -> BertConfig:
    return BertConfig(
        vocab_size=V,
        hidden_size=D,
        num_hidden_layers=LAYERS,
        num_attention_heads=H,
        intermediate_size=INNER,
        max_position_embeddings=PLACES,
        layer_norm_eps=1e-3,
    )


@torch.no_grad()
def copy(pairs: list[tuple[Any, Any]]) -> None:
    for mine, other in pairs:
        other.weight.copy_(mine.weight)
        if getattr(mine, "bias", None) is not None:
            other.bias.copy_(mine.bias)


def pair_up(ours: MaskedEncoder, theirs: BertModel) -> list[tuple[Any, Any]]:
    reader, embeddings = ours.reader, theirs.embeddings
    pairs = [
        (reader.embedding, embeddings.word_embeddings),
        (reader.positions, embeddings.position_embeddings),
        (reader.segment_embedding, embeddings.token_type_embeddings),
        (reader.embedding_norm, embeddings.LayerNorm),
    ]
    for mine, other in zip(reader.layers, theirs.encoder.layer, strict=True):
        pairs += [
            (mine.self_attention.query, other.attention.self.query),
            (mine.self_attention.key, other.attention.self.key),
            (mine.self_attention.value, other.attention.self.value),
            (mine.self_attention.output, other.attention.output.dense),
            (mine.self_attention_residual.norm, other.attention.output.LayerNorm),
            (mine.feed_forward.inner, other.intermediate.dense),
            (mine.feed_forward.outer, other.output.dense),
            (mine.feed_forward_residual.norm, other.output.LayerNorm),
        ]
    return pairs


def test_tells_hidden_tokens_as_bert_does() -> None:
    ours, theirs = make(segments=2, norm_epsilon=1e-3), BertForMaskedLM(berts_config()).double().eval()
    head = theirs.cls.predictions
    pairs = [*pair_up(ours, theirs.bert), (ours.head.linear, head.transform.dense)]
    copy([*pairs, (ours.head.norm, head.transform.LayerNorm)])
    with torch.no_grad():
        head.decoder.bias.copy_(ours.head.bias)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    sentences = draw()
    logits = ours(sentences)
    expected = theirs(input_ids=sentences.ids, attention_mask=REAL.long()).logits
    assert logits.shape == (3, L, V)
    torch.testing.assert_close(logits[REAL], expected[REAL], rtol=1e-10, atol=1e-10)
    weight = torch.randn_like(logits) * REAL[:, :, None]
    mine, others = zip(*pairs, strict=True)
    gradients = torch.autograd.grad((logits * weight).sum(), [each.weight for each in mine])
    wanted = torch.autograd.grad((expected * weight).sum(), [each.weight for each in others])
    torch.testing.assert_close(gradients, wanted, rtol=1e-8, atol=1e-10)


def test_makes_a_sentences_vector_as_bert_does() -> None:
    ours = make(segments=2, norm_epsilon=1e-3, pooling="tanh", head=False)
    theirs = BertModel(berts_config()).double().eval()
    copy([*pair_up(ours, theirs), (ours.pooler, theirs.pooler.dense)])
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    sentences = draw()
    expected = theirs(input_ids=sentences.ids, attention_mask=REAL.long())
    torch.testing.assert_close(ours.embed(sentences), expected.pooler_output, rtol=1e-10, atol=1e-10)
    for pooling in ("mean", "first"):
        twin = make(segments=2, norm_epsilon=1e-3, pooling=pooling, head=False)
        twin.reader.load_state_dict(ours.reader.state_dict())
        read = expected.last_hidden_state
        rows = zip(read, REAL, strict=True)
        by_hand = [row[0] if pooling == "first" else row[real].sum(0) / real.sum() for row, real in rows]
        torch.testing.assert_close(twin.embed(sentences), torch.stack(by_hand), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pooling", ["mean", "first", "tanh"])
@pytest.mark.parametrize("shape", SHAPES)
def test_neither_padding_nor_neighbours_change_a_row(shape: str, pooling: str) -> None:
    model, sentences = make(pooling=pooling, **SHAPES[shape]), draw()
    logits, vectors = model(sentences), model.embed(sentences)
    for row, length in enumerate(REAL.sum(1).tolist()):
        alone = Sentences(sentences.ids[row : row + 1, :length], REAL[row : row + 1, :length])
        torch.testing.assert_close(logits[row, :length], model(alone)[0], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(vectors[row], model.embed(alone)[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_sees_what_stands_behind_as_well_as_what_stands_before(shape: str) -> None:
    model, sentences = make(**SHAPES[shape]), draw()
    changed = sentences.ids.clone()
    changed[0, 3] = (changed[0, 3] + 1) % V
    moved = (model(sentences) != model(Sentences(changed, REAL))).any(-1)
    assert moved[0].all()
    assert not moved[1:].any()


@pytest.mark.parametrize("pooling", ["mean", "first", "tanh"])
def test_every_weight_learns_and_recomputing_changes_nothing(pooling: str) -> None:
    model, sentences = make(pooling=pooling).train(), draw()
    weights, gradients = (torch.randn(3, L, V), torch.randn(3, D)), []
    for recompute in (False, True):
        model.recompute = recompute
        model.zero_grad()
        torch.manual_seed(5)
        loss = (model(sentences) * weights[0]).sum() + (model.embed(sentences) * weights[1]).sum()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad != 0).any() or name.endswith("key.bias")
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_a_sentence_with_no_token_gives_numbers() -> None:
    nothing = Sentences(torch.randint(V, (3, L)), torch.zeros(3, L, dtype=torch.bool))
    for pooling in ("mean", "first", "tanh"):
        model = make(pooling=pooling)
        vectors: Tensor = model.embed(nothing)
        assert vectors.isfinite().all()
        assert model(nothing).isfinite().all()
        assert (vectors == 0).all() == (pooling == "mean")


def test_without_a_head_it_tells_no_tokens() -> None:
    model = make(head=False)
    assert model.embed(draw()).shape == (3, D)
    assert model.output_layer()[1] is None
    with pytest.raises(ValueError, match="made without a head that tells tokens"):
        model(draw())


def test_learned_positions_set_a_limit() -> None:
    assert (make().max_length, make(positions="sinusoidal").max_length) == (PLACES, None)


def test_in_half_precision_it_keeps_its_format() -> None:
    for shape in SHAPES.values():
        model = make(**shape).bfloat16()
        assert model(draw()).dtype == model.embed(draw()).dtype == torch.bfloat16
