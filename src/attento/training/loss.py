"""Cross-entropy with label smoothing, and its backward pass in chunks so that logits never stand whole in memory."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def smoothed_cross_entropy_over_all_classes(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float
) -> Float[Tensor, " N"]:
    """Compute each token's cross-entropy in nats against (1 - smoothing) on the target + smoothing / V on every class.

    The mass goes to all V classes, the target among them (Szegedy et al. 2016, section 7; Vaswani et al. 2017,
    section 5.4); some toolkits spread it over V - 1 or V - 2 classes instead.
    """
    return F.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")


def smoothed_cross_entropy_and_gradient(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float, scale: float
) -> tuple[Float[Tensor, ""], Float[Tensor, "N V"]]:
    """Compute the sum of `smoothed_cross_entropy_over_all_classes` and the gradient of scale times it.

    With z the logits, q the smoothed target and y the true class: loss = logsumexp(z) - sum(q z), and its gradient is
    softmax(z) - q. Written out, because it walks over the logits a third as often as automatic differentiation.
    """
    uniform = smoothing / logits.size(-1)
    index = targets[:, None]
    probabilities = logits.softmax(dim=-1, dtype=torch.float32)
    # logsumexp from the largest class, whose probability is at least 1/V and so has a good logarithm.
    log_normalizer = logits.amax(dim=-1, keepdim=True).float() - probabilities.amax(dim=-1, keepdim=True).log()
    total = logits.sum(dim=-1, keepdim=True, dtype=torch.float32)
    wanted = (1 - smoothing) * logits.gather(-1, index).float() + uniform * total
    gradient = torch.add(probabilities.new_tensor(-uniform * scale), probabilities, alpha=scale, out=probabilities)
    gradient.scatter_add_(-1, index, gradient.new_full(index.shape, -(1 - smoothing) * scale))
    return (log_normalizer - wanted).sum(), gradient.to(logits.dtype)


def backward_in_chunks(
    features: Float[Tensor, "B T D"],
    project: Callable[[Float[Tensor, "N D"]], Float[Tensor, "N V"]],
    targets: Int[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    smoothing: float,
    scale: float,
    chunk_tokens: int,
) -> Float[Tensor, ""]:
    """Run the backward pass of scale * (sum of every real token's loss) from features on; gradients are added up.

    The projection and its loss go forward and backward a chunk of tokens at a time, so no more than
    chunk_tokens x V logits exist at once; padding is left out before the projection. Returns the unscaled sum of the
    losses.
    """
    real = features[mask]  # (B, T, D) -> (N, D)
    total = torch.zeros((), dtype=torch.float32, device=features.device)
    gradients = []
    chunks = torch.split(real.detach(), chunk_tokens)
    for chunk, wanted in zip(chunks, torch.split(targets[mask], chunk_tokens), strict=True):
        chunk.requires_grad_()
        logits = project(chunk)
        loss, gradient = smoothed_cross_entropy_and_gradient(logits.detach(), wanted, smoothing, scale)
        torch.autograd.backward(logits, gradient)
        assert chunk.grad is not None
        gradients.append(chunk.grad)
        total += loss
    torch.autograd.backward(real, torch.cat(gradients))
    return total
