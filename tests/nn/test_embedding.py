import math

import torch

from attento.nn.embedding import TokenEmbedding

B, L, D, V = 3, 5, 7, 11


def test_a_token_is_its_row_times_the_root_of_the_width() -> None:
    embedding = TokenEmbedding(V, D).double()
    ids = torch.randint(V, (B, L))
    hidden = embedding(ids)
    for b in range(B):
        for t in range(L):
            torch.testing.assert_close(hidden[b, t], embedding.weight[ids[b, t]] * math.sqrt(D))


def test_starts_with_unit_variance_on_the_way_in() -> None:
    hidden = TokenEmbedding(1009, 101)(torch.arange(1009)[None])
    # 101,909 numbers: the standard deviation of their variance is 0.0044, of their mean 0.0031.
    assert abs(hidden.var().item() - 1) < 0.018
    assert abs(hidden.mean().item()) < 0.013


def test_unscaled_a_token_is_its_row() -> None:
    embedding = TokenEmbedding(V, D, scaled=False)
    ids = torch.randint(V, (B, L))
    assert torch.equal(embedding(ids), embedding.weight[ids])
