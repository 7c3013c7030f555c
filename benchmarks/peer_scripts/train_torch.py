"""torch's own `nn.Transformer`, as its tutorial on translation puts it to use."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from worker import Task, TorchSystem, parameter_count, serve

_MAX_LENGTH = 512


class TranslationModel(nn.Module):
    """Embedding, sinusoidal positions, `nn.Transformer` and output by one tied matrix."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.embedding = nn.Embedding(task.vocab_size, task.d_model, padding_idx=task.pad_id)
        nn.init.normal_(self.embedding.weight, std=task.d_model**-0.5)
        self.scale = math.sqrt(task.d_model)
        self.register_buffer("positions", _sinusoids(task.d_model))
        self.dropout = nn.Dropout(task.dropout)
        self.transformer = nn.Transformer(
            d_model=task.d_model,
            nhead=task.num_heads,
            num_encoder_layers=task.encoder_layers,
            num_decoder_layers=task.decoder_layers,
            dim_feedforward=task.d_ff,
            dropout=task.dropout,
            batch_first=True,
        )

    def forward(self, source: Tensor, source_padding: Tensor, target: Tensor, target_padding: Tensor) -> Tensor:
        """Return the logits of the next target token at every place."""
        causal = torch.ones(target.size(1), target.size(1), dtype=torch.bool).triu(1)
        hidden = self.transformer(
            self._embed(source),
            self._embed(target),
            tgt_mask=causal,
            src_key_padding_mask=source_padding,
            tgt_key_padding_mask=target_padding,
            memory_key_padding_mask=source_padding,
            tgt_is_causal=True,
        )
        return nn.functional.linear(hidden, self.embedding.weight)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.dropout(self.embedding(ids) * self.scale + self.positions[: ids.size(1)])


class TorchTransformer(TorchSystem):
    """A loop as a tutorial writes it."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.model = TranslationModel(task).train()
        self.parameters = parameter_count(self.model)
        self.loss = nn.CrossEntropyLoss(ignore_index=task.pad_id, label_smoothing=task.label_smoothing)
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=task.learning_rate,
            betas=(task.beta1, task.beta2),
            eps=task.epsilon,
            fused=True,
        )

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        source, target_input, target_output = batch
        pad = self.task.pad_id
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = self.model(source, source == pad, target_input, target_output == pad)
            loss = self.loss(logits.flatten(0, 1), target_output.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.task.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss)


def _sinusoids(d_model: int) -> Tensor:
    angles = torch.arange(_MAX_LENGTH)[:, None] / 10_000 ** (torch.arange(0, d_model, 2) / d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


if __name__ == "__main__":
    serve(TorchTransformer)
