"""Hugging Face's MarianMT, with the label smoother and the optimizer of its own Trainer."""

from typing import Any

import torch
from transformers import MarianConfig, MarianMTModel
from transformers.trainer_pt_utils import LabelSmoother
from worker import Task, TorchSystem, parameter_count, serve

_IGNORED = -100


class HuggingFace(TorchSystem):
    """What `Seq2SeqTrainer` does in a step, without its bookkeeping."""

    packages = ("torch", "transformers")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        config = MarianConfig(
            vocab_size=task.vocab_size,
            d_model=task.d_model,
            encoder_layers=task.encoder_layers,
            decoder_layers=task.decoder_layers,
            encoder_ffn_dim=task.d_ff,
            decoder_ffn_dim=task.d_ff,
            encoder_attention_heads=task.num_heads,
            decoder_attention_heads=task.num_heads,
            dropout=task.dropout,
            attention_dropout=0.0,
            activation_function="relu",
            scale_embedding=True,
            pad_token_id=task.pad_id,
            eos_token_id=task.eos_id,
            bos_token_id=task.bos_id,
            decoder_start_token_id=task.bos_id,
            use_cache=False,
        )
        self.model = MarianMTModel(config).train()
        self.parameters = parameter_count(self.model)
        self.smoother = LabelSmoother(epsilon=task.label_smoothing, ignore_index=_IGNORED)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=task.learning_rate,
            betas=(task.beta1, task.beta2),
            eps=task.epsilon,
            weight_decay=0.0,
            fused=True,
        )

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        source, target_input, target_output = batch
        labels = target_output.masked_fill(target_output == self.task.pad_id, _IGNORED)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            outputs = self.model(
                input_ids=source,
                attention_mask=(source != self.task.pad_id).long(),
                decoder_input_ids=target_input,
                decoder_attention_mask=(target_output != self.task.pad_id).long(),
            )
            loss = self.smoother(outputs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.task.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss)


if __name__ == "__main__":
    serve(HuggingFace)
