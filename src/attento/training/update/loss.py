"""Cross-entropy with label smoothing, computed in chunks so that logits never stand whole in memory."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def smoothed_cross_entropy_over_all_classes(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float
) -> Float[Tensor, " N"]:
    """Compute each token's cross-entropy in nats against (1 - smoothing) on the target + smoothing / V on every class.

    The mass goes to all V classes, the target among them (Szegedy et al. 2016, section 7; Vaswani et al. 2017,
    section 5.4); some toolkits spread it over V - 1 or V - 2 classes instead.
    """
    return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")


def smoothed_cross_entropy_and_gradient(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float
) -> tuple[Float[Tensor, ""], Float[Tensor, "N V"]]:
    """Compute the sum of `smoothed_cross_entropy_over_all_classes` and its gradient with respect to the logits.

    With z the logits, q the smoothed target and y the true class: loss = logsumexp(z) - sum(q z), and its gradient is
    softmax(z) - q. Written out, because it walks over the logits a third as often as automatic differentiation.
    """
    uniform = smoothing / logits.size(-1)
    index = targets[:, None]
    # In float32 even where the logits are not: finer, and on a CPU faster.
    logits32 = logits.float()
    probabilities = logits32.softmax(dim=-1)
    # logsumexp from the largest class, whose probability is at least 1/V and so has a good logarithm.
    log_normalizer = logits32.amax(dim=-1, keepdim=True) - probabilities.amax(dim=-1, keepdim=True).log()
    wanted = (1 - smoothing) * logits32.gather(-1, index) + uniform * logits32.sum(dim=-1, keepdim=True)
    gradient = probabilities.sub_(uniform)
    gradient.scatter_add_(-1, index, gradient.new_full(index.shape, smoothing - 1))
    return (log_normalizer - wanted).sum(), gradient.to(logits.dtype)


def chunked_cross_entropy(
    features: Float[Tensor, "N D"],
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None,
    targets: Int[Tensor, " N"],
    *,
    smoothing: float,
    chunk_tokens: int,
) -> Float[Tensor, ""]:
    """Compute the sum of `smoothed_cross_entropy_over_all_classes` of a linear map's logits, chunk by chunk.

    Logits and their gradient exist for `chunk_tokens` tokens at a time. The gradients of features, weight and bias are
    made along with the loss, while a chunk's logits are at hand, so calling this under `no_grad` saves little.
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        features, weight, bias, targets, smoothing, chunk_tokens
    )
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        chunk_tokens: int,
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=features.device)
        by_features = torch.empty_like(features)
        # Added up in float32 at least, as many chunks' sums must be.
        by_weight = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
        by_bias = None if bias is None else torch.zeros_like(bias, dtype=by_weight.dtype)
        chunks = (torch.split(each, chunk_tokens) for each in (features, targets, by_features))
        for chunk, wanted, by_chunk in zip(*chunks, strict=True):
            gradient = F.linear(chunk, weight, bias)
            total += _turn_into_gradient(gradient, wanted, smoothing)
            torch.mm(gradient, weight, out=by_chunk)
            by_weight += gradient.T @ chunk
            if by_bias is not None:
                by_bias += gradient.sum(dim=0)
        ctx.save_for_backward(by_features, by_weight, by_bias)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_features, by_weight, by_bias = ctx.saved_tensors
        by_features = by_features * gradient
        by_weight = (by_weight * gradient).to(ctx.weight_dtype)
        by_bias = None if by_bias is None else (by_bias * gradient).to(ctx.weight_dtype)
        return by_features, by_weight, by_bias, None, None, None


# As many logits as a processor core's own cache holds in float32, twice.
_CACHED_LOGITS = 1 << 18


def _turn_into_gradient(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the sum of the losses, and put their gradient in the place of the logits."""
    num_rows = max(1, _CACHED_LOGITS // logits.size(-1)) if logits.device.type == "cpu" else len(logits)
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    for rows, wanted in zip(torch.split(logits, num_rows), torch.split(targets, num_rows), strict=True):
        loss, gradient = smoothed_cross_entropy_and_gradient(rows, wanted, smoothing)
        rows.copy_(gradient)
        total += loss
    return total
