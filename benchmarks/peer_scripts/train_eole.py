"""eole: its model, its optimizer, and the step of its own `Trainer`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyonmttok
import torch
from eole.config.run import TrainConfig
from eole.constants import DefaultTokens
from eole.models.model import get_model_class
from eole.trainer import build_trainer
from eole.utils import Statistics
from eole.utils.optimizers import Optimizer
from worker import Task, TorchSystem, parameter_count, serve

_CPU = -1


class Eole(TorchSystem):
    """One trainer for each precision; bf16 is eole's own mixed precision."""

    packages = ("torch", "eole")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.trainers = {precision: _trainer(task, precision) for precision in task.precisions}
        self.parameters = parameter_count(next(iter(self.trainers.values())).model)

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        source, target_input, target_output = batch
        begin = target_input[:, :1]
        given = {
            "src": source,
            "srclen": (source != self.task.pad_id).sum(dim=1),
            "tgt": torch.cat([begin, target_output], dim=1),
            "images": None,
            "prefix_len": None,
            **dict.fromkeys(("cid", "cid_line_number"), [0] * len(source)),
        }
        tokens = int((target_output != self.task.pad_id).sum())
        seen = Statistics()
        self.trainers[precision]._train_step([given], tokens, Statistics(), seen)
        return float(seen.loss / tokens)


def _trainer(task: Task, precision: str) -> Any:
    specials = [DefaultTokens.PAD, DefaultTokens.UNK, DefaultTokens.BOS, DefaultTokens.EOS]
    words = [f"w{number}" for number in range(len(specials), task.vocab_size)]
    vocab = pyonmttok.build_vocab_from_tokens(words, special_tokens=specials)
    names = {"pad_token": specials[0], "unk_token": specials[1], "bos_token": specials[2], "eos_token": specials[3]}
    vocabs = {"src": vocab, "tgt": vocab, "specials": names, "decoder_start_token": DefaultTokens.BOS}
    config = _config(task, precision)
    model = get_model_class(config.model).for_training(config.model, vocabs, config.training, device_id=_CPU)
    return build_trainer(config, _CPU, model, vocabs, Optimizer.from_config(model, config))


def _config(task: Task, precision: str) -> TrainConfig:
    # Its checks want files of text and vocabulary, which are never read here.
    empty = Path(task.folder) / "empty.txt"
    empty.touch()
    sizes = asdict(task)
    return TrainConfig(
        data={"train": {"path_src": str(empty), "path_tgt": str(empty)}},
        src_vocab=str(empty),
        share_vocab=True,
        save_data=str(Path(task.folder) / "data"),
        model={
            "architecture": "transformer",
            "encoder": {"encoder_type": "transformer", "layers": sizes["encoder_layers"]},
            "decoder": {"decoder_type": "transformer", "layers": sizes["decoder_layers"]},
            "hidden_size": task.d_model,
            "heads": task.num_heads,
            "transformer_ff": task.d_ff,
            "embeddings": {"word_vec_size": task.d_model, "position_encoding_type": "SinusoidalInterleaved"},
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "add_qkvbias": True,
            "add_final_linear_bias": True,
            "add_ffnbias": True,
        },
        training={
            "model_path": str(Path(task.folder) / "model"),
            "world_size": 1,
            "gpu_ranks": [],
            "compute_dtype": precision,
            "param_init_method": "xavier_uniform",
            "dropout": [task.dropout],
            "attention_dropout": [0.0],
            "dropout_steps": [0],
            "label_smoothing": task.label_smoothing,
            "normalization": "tokens",
            "optim": "adam",
            "adam_beta1": task.beta1,
            "adam_beta2": task.beta2,
            "learning_rate": task.learning_rate,
            "max_grad_norm": task.clip_norm,
            "log_attention_entropy": False,
        },
    )


if __name__ == "__main__":
    serve(Eole)
