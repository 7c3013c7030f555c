"""Rotary positions against complex numbers and LLaMA's, linear biases against the paper's, buckets against T5's."""

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention

from attento.nn.relation import (
    NO_RELATION,
    BucketBiases,
    LinearBiases,
    NoRelations,
    Places,
    RotaryRelations,
    RotaryScaling,
    consecutive_places,
    distance_buckets,
    linear_slopes,
)

# Rows, heads, new tokens, seen tokens, pairs of features.
N, H, T, L, P = 2, 3, 5, 7, 11
K = 2 * P

both_layouts = pytest.mark.parametrize("layout", ["interleaved", "halves"])
SCALINGS = [
    RotaryScaling("linear", 4.0),
    RotaryScaling("llama3", 8.0, low=1.0, high=4.0, original_length=64),
    RotaryScaling("llama3", 32.0, low=2.0, high=7.0, original_length=512),
]


def in_halves(heads: Tensor) -> Tensor:
    """Put features (0, 1), (2, 3), ... where the halves have them: first ones first, second ones behind."""
    return torch.cat((heads[..., 0::2], heads[..., 1::2]), dim=-1)


def llama(base: float, scaling: RotaryScaling | None) -> LlamaConfig:
    rope: dict[str, object] = {"rope_type": "default", "rope_theta": base}
    if scaling is not None:
        rope |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling is not None and scaling.kind == "llama3":
        rope |= {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
        rope |= {"original_max_position_embeddings": scaling.original_length}
    return LlamaConfig(
        hidden_size=H * K, num_attention_heads=H, head_dim=K, max_position_embeddings=4096, rope_parameters=rope
    )


@pytest.mark.parametrize(("start", "length", "seen"), [(0, 5, 0), (7, 1, 7), (7, 3, 2), (0, 1, 0)])
def test_consecutive_places_go_on_from_those_that_are_still_seen(start: int, length: int, seen: int) -> None:
    places = consecutive_places(start, length, seen)
    assert places.new.tolist() == [[start + i for i in range(length)]]
    assert places.seen.tolist() == [[start - seen + i for i in range(seen + length)]]
    expected = [[[(start + i) - (start - seen + j) for j in range(seen + length)] for i in range(length)]]
    assert places.distances.tolist() == expected


def test_rows_that_began_at_different_places_go_on_each_from_its_own() -> None:
    places = consecutive_places(torch.tensor([[7], [2], [0]]), 2, 3)
    assert places.new.tolist() == [[7, 8], [2, 3], [0, 1]]
    # The second row has one place of padding before its first token, the third three.
    assert places.seen.tolist() == [[4, 5, 6, 7, 8], [-1, 0, 1, 2, 3], [-3, -2, -1, 0, 1]]


def test_each_row_may_have_places_of_its_own_among_places_of_all() -> None:
    new, seen = torch.randint(100, (N, T)), torch.arange(L)[None]
    distances = Places(new, seen).distances
    assert distances.shape == (N, T, L)
    assert distances[1, 2, 3] == new[1, 2] - 3


def test_no_relation_tells_nothing() -> None:
    relation, heads = NoRelations()(consecutive_places(3, T, 2)), torch.randn(N, H, T, K)
    assert relation is NO_RELATION
    assert relation.bias is None
    assert relation.rotate(heads) is heads


@both_layouts
@pytest.mark.parametrize("rows", [1, N])
@pytest.mark.parametrize("base", [10000.0, 500000.0])
def test_a_pair_is_a_complex_number_times_a_power_of_its_angle(base: float, rows: int, layout: str) -> None:
    """Su et al. 2021, section 3.2.1, eq. 12 to 16: x e^(i m theta), theta = base^(-2i / d)."""
    heads, new = torch.randn(N, H, T, K, dtype=torch.float64), torch.randint(100_003, (rows, T))
    relation = RotaryRelations(K, base, layout)(Places(new, new))
    turned = relation.rotate(heads)
    assert relation.bias is None
    assert turned.dtype == torch.float64
    for pair in range(P):
        first, second = (2 * pair, 2 * pair + 1) if layout == "interleaved" else (pair, P + pair)
        angles = (new.double() * base ** (-2 * pair / K))[:, None].expand(N, H, T)
        expected = torch.complex(heads[..., first], heads[..., second]) * torch.polar(angles.new_ones(()), angles)
        # Cosines are kept in float32.
        torch.testing.assert_close(turned[..., first], expected.real, rtol=0, atol=1e-6)
        torch.testing.assert_close(turned[..., second], expected.imag, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scaling", [None, *SCALINGS], ids=lambda scaling: scaling and f"{scaling.kind}-{scaling.high}")
def test_halves_are_llamas(scaling: RotaryScaling | None) -> None:
    query, key = torch.randn(N, H, T, K), torch.randn(N, 1, T, K)
    new = torch.randint(211, (N, T))
    cosines, sines = LlamaRotaryEmbedding(llama(500000.0, scaling))(query, new)
    expected_query, expected_key = apply_rotary_pos_emb(query, key, cosines, sines)
    relation = RotaryRelations(K, 500000.0, "halves", scaling)(Places(new, new))
    # LLaMA's angles are in float32: at place 211 they are off by some 10^-5.
    torch.testing.assert_close(relation.rotate(query), expected_query, rtol=0, atol=1e-4)
    torch.testing.assert_close(relation.rotate(key), expected_key, rtol=0, atol=1e-4)


@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda scaling: f"{scaling.kind}-{scaling.high}")
def test_scaled_angles_are_llamas(scaling: RotaryScaling) -> None:
    expected, factor = ROPE_INIT_FUNCTIONS[scaling.kind](llama(10000.0, scaling), torch.device("cpu"))
    angles = 10000.0 ** (-torch.arange(0, K, 2, dtype=torch.float64) / K)
    scaled = torch.tensor([scaling.apply(angle) for angle in angles.tolist()], dtype=torch.float64)
    torch.testing.assert_close(scaled, expected.double(), rtol=1e-6, atol=0)
    assert factor == 1.0
    # The cases reach all that can happen to an angle.
    shrunk = (angles / scaled).tolist()
    assert max(shrunk) == pytest.approx(scaling.factor)
    if scaling.kind == "llama3":
        assert min(shrunk) == pytest.approx(1.0)
        assert any(1.01 < each < scaling.factor - 0.01 for each in shrunk)


def test_the_two_layouts_are_one_up_to_the_order_of_the_features() -> None:
    heads, places = torch.randn(N, H, T, K), consecutive_places(13, T, 0)
    interleaved = RotaryRelations(K)(places).rotate(heads)
    halves = RotaryRelations(K, layout="halves")(places).rotate(in_halves(heads))
    assert torch.equal(in_halves(interleaved), halves)
    assert not torch.allclose(interleaved, heads, atol=0.1)


@both_layouts
def test_products_of_what_is_turned_see_the_distance_alone(layout: str) -> None:
    """Su et al. 2021, eq. 16: a query at m and a key at n meet as one at m - n and one at 0."""
    relations = RotaryRelations(K, layout=layout)
    query, key = torch.randn(N, H, T, K, dtype=torch.float64), torch.randn(N, H, T, K, dtype=torch.float64)

    def scores(start: int) -> Tensor:
        relation = relations(consecutive_places(start, T, 0))
        return relation.rotate(query) @ relation.rotate(key).transpose(-1, -2)

    torch.testing.assert_close(scores(997), scores(0), rtol=0, atol=1e-5)
    together = relations(Places(torch.zeros(1, T, dtype=torch.long), torch.zeros(1, T, dtype=torch.long)))
    assert torch.equal(together.rotate(query), query)
    assert not torch.allclose(scores(0), query @ key.transpose(-1, -2), atol=0.1)


@both_layouts
def test_a_model_in_half_precision_turns_by_the_same_angles(layout: str) -> None:
    heads, places = torch.randn(N, H, T, K).bfloat16(), consecutive_places(1009, T, 0)
    fine, coarse = RotaryRelations(K, layout=layout), RotaryRelations(K, layout=layout).bfloat16()
    turned = coarse(places).rotate(heads)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, fine(places).rotate(heads.float()).bfloat16())
    assert (fine.state_dict(), list(fine.parameters())) == ({}, [])


def test_an_odd_width_makes_no_pairs() -> None:
    with pytest.raises(ValueError, match=r"rotary positions .* a head's width must be even, but is 7"):
        RotaryRelations(7)


def slopes_by_recurrence(heads: int) -> list[float]:
    """Each slope is the one before it times the first (Press et al. 2022, section 3); every other one of twice as many.

    Twice as many give those that the next smaller power of two lacks.
    """
    smaller = 1
    while 2 * smaller <= heads:
        smaller *= 2
    if smaller < heads:
        return slopes_by_recurrence(smaller) + slopes_by_recurrence(2 * smaller)[::2][: heads - smaller]
    slopes = [0.5 ** (8 / heads)]
    while len(slopes) < heads:
        slopes.append(slopes[-1] * slopes[0])
    return slopes


def test_linear_slopes_are_those_printed_for_8_and_16_heads() -> None:
    """Press et al. 2022, section 3: 1/2, 1/4, ..., 1/256, and for 16 heads from 1 / sqrt(2) on."""
    assert linear_slopes(8) == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]
    assert linear_slopes(16) == pytest.approx([2 ** (-0.5 * head) for head in range(1, 17)], rel=1e-12)


@pytest.mark.parametrize("heads", range(1, 41))
def test_linear_slopes_of_any_number_of_heads_are_the_recurrence(heads: int) -> None:
    assert linear_slopes(heads) == pytest.approx(slopes_by_recurrence(heads), rel=1e-12)


def test_linear_biases_are_minus_slope_times_distance() -> None:
    new, seen = torch.randint(100, (N, T)), torch.randint(100, (N, L))
    relation = LinearBiases(H)(Places(new, seen))
    assert relation.rotation is None
    assert relation.bias.shape == (N, H, T, L)
    for n in range(N):
        for h, slope in enumerate(slopes_by_recurrence(H)):
            for t in range(T):
                expected = [-slope * abs(int(new[n, t]) - int(seen[n, s])) for s in range(L)]
                assert relation.bias[n, h, t].tolist() == pytest.approx(expected, rel=1e-6)


def test_linear_biases_of_a_whole_sequence_are_symmetric() -> None:
    bias = LinearBiases(H)(consecutive_places(0, L, 0)).bias
    assert bias.shape == (1, H, L, L)
    assert torch.equal(bias, bias.transpose(-1, -2))
    assert (bias.diagonal(dim1=-2, dim2=-1) == 0).all()


@pytest.mark.parametrize("both_ways", [True, False], ids=["both", "one"])
@pytest.mark.parametrize(
    ("buckets", "max_distance"), [(32, 128), (32, 64), (64, 256), (16, 20), (8, 128), (4, 3), (6, 11), (128, 131)]
)
def test_buckets_are_t5s(buckets: int, max_distance: int, both_ways: bool) -> None:
    distances = torch.arange(-300, 301)[None, None]
    expected = T5Attention._relative_position_bucket(-distances, both_ways, buckets, max_distance)
    found = distance_buckets(distances, buckets, max_distance, both_ways)
    assert found.tolist() == expected.tolist()
    assert set(found.flatten().tolist()) <= set(range(buckets))


@pytest.mark.parametrize("both_ways", [True, False], ids=["both", "one"])
def test_bucket_biases_are_looked_up_for_each_head(both_ways: bool) -> None:
    biases = BucketBiases(H, buckets=6, max_distance=11, both_ways=both_ways).double()
    assert (biases.weight == 0).all()
    torch.nn.init.normal_(biases.weight)
    new, seen = torch.randint(23, (N, T)), torch.randint(23, (N, L))
    relation = biases(Places(new, seen))
    assert relation.rotation is None
    behind = torch.tensor([[[int(s) - int(t) for s in seen[n]] for t in new[n]] for n in range(N)])
    expected = T5Attention._relative_position_bucket(behind, both_ways, 6, 11)
    for n in range(N):
        for h in range(H):
            rows = [[biases.weight[expected[n, t, s], h] for s in range(L)] for t in range(T)]
            assert relation.bias[n, h].tolist() == rows
    relation.bias.sum().backward()
    used = expected.flatten().bincount(minlength=6).double()
    assert torch.equal(biases.weight.grad, used[:, None].expand(6, H))


def test_what_comes_after_is_one_bucket_of_a_decoder_and_many_of_an_encoder() -> None:
    after = torch.arange(-40, 0)[None, None]
    assert distance_buckets(after, 32, 128, both_ways=False).unique().tolist() == [0]
    # A value each up to distance 7, then 8 to 11, 12 to 15, 16 to 22, 23 to 31 and 32 to 40.
    assert distance_buckets(after, 32, 128, both_ways=True).unique().tolist() == list(range(17, 29))
