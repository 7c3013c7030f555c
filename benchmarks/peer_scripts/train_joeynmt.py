"""JoeyNMT: its model, batch, loss, clipping and optimizer, in the order of its `TrainManager`."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from joeynmt.batch import Batch
from joeynmt.builders import build_gradient_clipper, build_optimizer
from joeynmt.model import build_model
from joeynmt.vocabulary import Vocabulary
from worker import Task, TorchSystem, parameter_count, serve

_UNK, _PAD = 0, 1


class JoeyNmt(TorchSystem):
    """fp32 alone: its mixed precision is float16, which the CPU is slow in."""

    packages = ("torch", "joeynmt")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        # Its vocabulary has the first two special tokens the other way round.
        self.batches = [[_swap(ids, task.pad_id) for ids in batch] for batch in self.batches]
        self.task = replace(task, pad_id=_PAD)
        self.model = _model(task)
        self.model.loss_function = ("crossentropy", task.label_smoothing)
        self.model.train()
        self.parameters = parameter_count(self.model)
        # Its loss is a divergence; the others' is a cross-entropy, which is more by the entropy of the smoothed target.
        rest = task.label_smoothing / (task.vocab_size - 2)
        sure = 1 - task.label_smoothing
        self.least = -sure * math.log(sure) - task.label_smoothing * math.log(rest)
        self.clip = build_gradient_clipper({"clip_grad_val": None, "clip_grad_norm": task.clip_norm})
        betas = (task.beta1, task.beta2)
        settings = {"optimizer": "adam", "learning_rate": task.learning_rate, "adam_betas": betas}
        self.optimizer = build_optimizer(settings, self.model.parameters())

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        source, target_input, target_output = batch
        given = Batch(
            src=source,
            src_length=(source != _PAD).sum(dim=1),
            src_prompt_mask=None,
            trg=torch.cat([target_input[:, :1], target_output], dim=1),
            trg_prompt_mask=None,
            indices=torch.arange(len(source)),
            device=torch.device("cpu"),
            pad_index=_PAD,
            eos_index=self.task.eos_id,
        )
        given.sort_by_src_length()
        summed, _, _, _ = self.model(return_type="loss", **vars(given))
        loss = given.normalize(summed, normalization="tokens")
        loss.backward()
        self.clip(parameters=self.model.parameters())
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss) + self.least


def _swap(ids: torch.Tensor, pad: int) -> torch.Tensor:
    return torch.where(ids == pad, _PAD, torch.where(ids == _PAD, _UNK, ids))


def _model(task: Task) -> Any:
    specials = SimpleNamespace(
        unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>", sep_token=None, lang_tags=[],
        unk_id=_UNK, pad_id=_PAD, bos_id=task.bos_id, eos_id=task.eos_id, sep_id=None,
    )  # fmt: skip
    vocabulary = Vocabulary([f"w{number}" for number in range(4, task.vocab_size)], specials)

    def stack(layers: int) -> dict[str, Any]:
        return {
            "type": "transformer",
            "num_layers": layers,
            "num_heads": task.num_heads,
            "hidden_size": task.d_model,
            "ff_size": task.d_ff,
            "dropout": task.dropout,
            "layer_norm": "post",
            "embeddings": {"embedding_dim": task.d_model, "scale": True, "dropout": task.dropout},
        }

    settings = {
        "encoder": stack(task.encoder_layers),
        "decoder": stack(task.decoder_layers),
        "tied_embeddings": True,
        "tied_softmax": True,
        "initializer": "xavier_uniform",
        "embed_initializer": "normal",
        "embed_init_weight": task.d_model**-0.5,
    }
    return build_model(settings, vocabulary, vocabulary)


if __name__ == "__main__":
    serve(JoeyNmt)
