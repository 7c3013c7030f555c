"""This project's own trainer, by the step that `attento train` makes."""

from pathlib import Path
from typing import Any, Literal, cast

from worker import Task, TorchSystem, parameter_count, serve

from attento.data.pairs.batching import Batch, TokenBatches
from attento.data.pairs.prepared import PreparedCorpus
from attento.models.build import build_translation_model
from attento.models.translation.config import TransformerConfig
from attento.run_folder import RunFolder
from attento.training.config import OptimizerConfig, TrainingConfig
from attento.training.loop import Trainer
from attento.training.process import keep_freed_memory
from attento.training.tasks.translation import TranslationObjective, TranslationValidator, ValidationText


class Attento(TorchSystem):
    """One trainer for each precision: they are only stepped, never run."""

    packages = ("torch", "attento")

    def __init__(self, task: Task) -> None:
        keep_freed_memory()
        super().__init__(task)
        corpus = PreparedCorpus.open(Path(task.corpus))
        self.trainers = {precision: _trainer(task, corpus, precision) for precision in task.precisions}
        self.parameters = parameter_count(next(iter(self.trainers.values())).model)

    def step(self, batch: list[Any], precision: str) -> float:
        """Do one update and return the mean loss of a target token."""
        source, target_input, target_output = batch
        source_mask, target_mask = source != self.task.pad_id, target_output != self.task.pad_id
        tokens = [int(mask.sum()) for mask in (source_mask, target_mask)]
        trainer = self.trainers[precision]
        before = trainer.state.meter.loss
        trainer.step(Batch(source, source_mask, target_input, target_output, target_mask, *tokens), print)
        return (trainer.state.meter.loss - before) / tokens[1]


def _trainer(task: Task, corpus: PreparedCorpus, precision: str) -> Trainer:
    config = TrainingConfig(
        device="cpu",
        precision=cast(Literal["fp32", "bf16"], precision),
        label_smoothing=task.label_smoothing,
        clip_norm=task.clip_norm,
        optimizer=OptimizerConfig(beta1=task.beta1, beta2=task.beta2, epsilon=task.epsilon),
    )
    shape = TransformerConfig(
        encoder_layers=task.encoder_layers,
        decoder_layers=task.decoder_layers,
        d_model=task.d_model,
        d_ff=task.d_ff,
        num_heads=task.num_heads,
        dropout=task.dropout,
    )
    pairs = corpus.validation.take(range(len(corpus.validation)))
    text = ValidationText(*corpus.validation_texts(), pairs)
    model = build_translation_model(shape, task.vocab_size, task.vocab_size)
    return Trainer(
        config,
        TranslationObjective(model, config.label_smoothing, config.loss_chunk_tokens),
        TokenBatches(corpus.train, task.tokens_per_step, config.seed),
        TranslationValidator(config.validation, text, corpus.tokenizers, corpus.config.target_language),
        RunFolder(Path(task.folder) / precision),
        corpus.fingerprint,
    )


if __name__ == "__main__":
    serve(Attento)
