"""OpenNMT-py: its model, its optimizer, and the step of its own `Trainer`."""

from pathlib import Path
from typing import Any

import onmt.opts
import pyonmttok
import torch
from onmt.constants import DefaultTokens
from onmt.model_builder import build_model
from onmt.trainer import build_trainer
from onmt.utils import Statistics
from onmt.utils.optimizers import Optimizer
from onmt.utils.parse import ArgumentParser
from worker import Task, TorchSystem, parameter_count, serve

_CPU = -1


class OpenNmtPy(TorchSystem):
    """fp32 alone: its mixed precision is for CUDA."""

    packages = ("torch", "OpenNMT-py")

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        options = _options(task)
        specials = [DefaultTokens.PAD, DefaultTokens.UNK, DefaultTokens.BOS, DefaultTokens.EOS]
        words = [f"w{number}" for number in range(len(specials), task.vocab_size)]
        vocab = pyonmttok.build_vocab_from_tokens(words, special_tokens=specials)
        vocabs = {
            "src": vocab,
            "tgt": vocab,
            "data_task": options.model_task,
            "decoder_start_token": DefaultTokens.BOS,
        }
        model = build_model(options, options, vocabs, None, _CPU)
        self.trainer = build_trainer(options, _CPU, model, vocabs, Optimizer.from_opt(model, options))
        self.parameters = parameter_count(model)

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        source, target_input, target_output = batch
        begin = target_input[:, :1]
        given = {
            "src": source[:, :, None],
            "srclen": (source != self.task.pad_id).sum(dim=1),
            "tgt": torch.cat([begin, target_output], dim=1)[:, :, None],
            **dict.fromkeys(("cid", "cid_line_number"), [0] * len(source)),
        }
        tokens = int((target_output != self.task.pad_id).sum())
        seen = Statistics()
        self.trainer._gradient_accumulation([given], tokens, Statistics(), seen)
        return float(seen.loss / tokens)


def _options(task: Task) -> Any:
    parser = ArgumentParser()
    onmt.opts.train_opts(parser)
    arguments = {
        # Asked for, but never read here.
        "data": "none",
        "src_vocab": "none",
        "save_model": Path(task.folder) / "model",
        "encoder_type": "transformer",
        "decoder_type": "transformer",
        "enc_layers": task.encoder_layers,
        "dec_layers": task.decoder_layers,
        "hidden_size": task.d_model,
        "word_vec_size": task.d_model,
        "heads": task.num_heads,
        "transformer_ff": task.d_ff,
        "dropout": task.dropout,
        "attention_dropout": 0.0,
        "label_smoothing": task.label_smoothing,
        "normalization": "tokens",
        "optim": "adam",
        "adam_beta1": task.beta1,
        "adam_beta2": task.beta2,
        "learning_rate": task.learning_rate,
        "max_grad_norm": task.clip_norm,
        "param_init": 0,
        "world_size": 1,
    }
    flags = ["position_encoding", "share_vocab", "share_embeddings", "share_decoder_embeddings", "param_init_glorot"]
    flags.append("add_qkvbias")
    line = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    options = parser.parse_args(line + [f"--{flag}" for flag in flags])
    options.data = {}
    ArgumentParser.validate_train_opts(options)
    ArgumentParser.update_model_opts(options)
    ArgumentParser.validate_model_opts(options)
    return options


if __name__ == "__main__":
    serve(OpenNmtPy)
