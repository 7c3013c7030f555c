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


def test_logits_are_products_with_every_row_unscaled() -> None:
    embedding = TokenEmbedding(V, D).double()
    hidden = torch.randn(B, L, D, dtype=torch.float64)
    expected = torch.einsum("bld,vd->blv", hidden, embedding.weight)
    torch.testing.assert_close(embedding.project(hidden), expected)
    torch.testing.assert_close(embedding.project(hidden[0, 0]), expected[0, 0])


def test_way_in_and_way_out_train_one_matrix() -> None:
    embedding = TokenEmbedding(V, D).double()
    ids, hidden = torch.tensor([[2, 3, 3]]), torch.randn(1, 3, D, dtype=torch.float64)
    (embedding(ids).sum() + embedding.project(hidden).sum()).backward()
    times = torch.bincount(ids.flatten(), minlength=V).double()
    torch.testing.assert_close(embedding.weight.grad, times[:, None] * math.sqrt(D) + hidden[0].sum(0))


def test_starts_with_unit_variance_on_the_way_in() -> None:
    hidden = TokenEmbedding(1009, 101)(torch.arange(1009)[None])
    # 101,909 numbers: the standard deviation of their variance is 0.0044, of their mean 0.0031.
    assert abs(hidden.var().item() - 1) < 0.018
    assert abs(hidden.mean().item()) < 0.013
