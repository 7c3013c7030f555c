"""The settings of a training run, and the whole recipe: data, model, search, training."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from attento.config import Settings
from attento.data.denoising.config import DenoisingDataConfig
from attento.data.labels.config import LabelDataConfig
from attento.data.masked.config import MaskedDataConfig
from attento.data.pairs.config import DataConfig
from attento.data.stream.config import TextDataConfig
from attento.decoding.config import SearchConfig
from attento.models.config import (
    ClassifierModelConfig,
    LanguageModelConfig,
    MaskedModelConfig,
    ModelConfig,
    TranslationModelConfig,
)
from attento.models.presets import find_preset
from attento.models.translation.config import TransformerConfig, TranslationConfig


class OptimizerConfig(Settings):
    """Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019); the defaults are the paper's (section 5.3)."""

    name: Literal["adam", "adamw"] = "adam"
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.98, ge=0, lt=1)
    epsilon: PositiveFloat = 1e-9
    weight_decay: float = Field(0.0, ge=0, description="decoupled decay, for adamw alone; matrices only")

    @model_validator(mode="after")
    def _decay_needs_adamw(self) -> "OptimizerConfig":
        if self.weight_decay and self.name == "adam":
            raise ValueError("`weight_decay` is for `name: adamw`; plain adam does not decay weights")
        return self


class ScheduleConfig(Settings):
    """How the learning rate rises and falls; see `training.update.schedules`."""

    name: Literal["paper", "inverse_sqrt", "cosine"] = "paper"
    peak: PositiveFloat = Field(1.0, description="highest learning rate; for `paper` the factor before eq. 3")
    warmup: PositiveInt = Field(4000, description="steps on which the rate rises")
    cooldown: NonNegativeInt = Field(0, description="last steps, over which the rate falls to nothing")


class ValidationConfig(Settings):
    """How the run judges itself on the validation set."""

    metric: Literal["bleu", "loss", "accuracy"] = Field(
        "bleu",
        description="what the best checkpoint and early stop go by; loss for language models, and by default "
        "accuracy for classifiers",
    )
    tokenize: str | None = Field(None, description="sacreBLEU tokenizer; chosen from the target language if null")
    lowercase: bool = False
    patience: PositiveInt | None = Field(10, description="stop after so many validations without a better one")
    max_sentences: PositiveInt | None = Field(None, description="judge by the first so many sentences")


class TrainingConfig(Settings):
    """The loop's settings."""

    max_steps: PositiveInt = 100_000
    max_minutes: PositiveFloat | None = Field(
        None, description="stop after so many minutes of steps, if that is sooner"
    )
    tokens_per_step: PositiveInt | Literal["auto"] = Field(
        25_000, description="source plus target tokens an update, without padding; auto: what fits in memory, to 25,000"
    )
    accumulation: PositiveInt = Field(
        1, description="parts in which a step's batch is computed, to save memory; more where it runs out"
    )
    seed: NonNegativeInt = 1
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="bf16 where the device is faster with it")
    activation_checkpointing: bool = Field(
        False, description="keep a layer's input alone for the backward pass: less memory, a third more to compute"
    )
    compile: bool = Field(
        False,
        description="compile the model: minutes before the first step, faster ones on a GPU; kept for later runs",
    )
    parallel: Literal["auto", "ddp", "fsdp"] = Field(
        "auto", description="how processes that torchrun started share the work; auto: ddp where there are several"
    )
    hang_timeout_s: PositiveInt = Field(600, description="seconds without any movement before several processes end")
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    clip_norm: PositiveFloat | None = Field(1.0, description="longest gradient; not clipped if null")
    loss_chunk_tokens: PositiveInt = Field(1024, description="target tokens whose logits exist at once")
    validation: ValidationConfig = ValidationConfig()
    validate_every: PositiveInt = 1000
    checkpoint_every: PositiveInt = 1000
    keep_last: PositiveInt = Field(5, description="checkpoints kept, and averaged at the end")
    report_every: PositiveInt = 50
    max_bad_steps: PositiveInt = Field(20, description="steps in a row without a finite gradient before the run stops")

    @model_validator(mode="after")
    def _shards_are_not_compiled(self) -> "TrainingConfig":
        if self.compile and self.parallel == "fsdp":
            raise ValueError("`compile` is for one process or `parallel: ddp`; with `parallel: fsdp` set it to false")
        return self


_MODELS_OF: dict[str, tuple[type[Settings], ...]] = {
    "translation": get_args(TranslationModelConfig),
    "language_modeling": get_args(LanguageModelConfig),
    "classification": get_args(ClassifierModelConfig),
    "masked_language_modeling": (MaskedModelConfig,),
    "denoising": (TransformerConfig,),
}
_METRICS_OF = {
    "translation": ("bleu", "loss"),
    "language_modeling": ("loss",),
    "classification": ("accuracy", "loss"),
    "masked_language_modeling": ("loss", "accuracy"),
    "denoising": ("loss", "accuracy"),
}


def _architecture(kind: type[Settings]) -> str:
    return str(get_args(kind.model_fields["architecture"].annotation)[0])


def _any_model(task: str) -> Any:
    """Return the union of all models' settings; a name that several tasks have is that of the task's own."""
    everybodys = [kind for kinds in _MODELS_OF.values() for kind in kinds]
    by_name = {_architecture(kind): kind for kind in (*everybodys, *_MODELS_OF[task])}
    return Annotated[Union[tuple(by_name.values())], Field(discriminator="architecture")]  # noqa: UP007


_READERS = {task: TypeAdapter[Any](_any_model(task)) for task in _MODELS_OF}


class RecipeConfig(Settings):
    """A whole run: what `config.yaml` holds."""

    data: DataConfig | TextDataConfig | LabelDataConfig | MaskedDataConfig | DenoisingDataConfig = Field(
        discriminator="task"
    )
    model: ModelConfig = TransformerConfig()
    search: SearchConfig = SearchConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_for_the_task(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        task = _task_of(tree)
        tree = _with_defaults(tree, {"data": {"task": task}, "model": {"architecture": "transformer"}})
        if task == "translation" or task not in _METRICS_OF:
            return tree
        # Smoothing is the paper's, for translation; elsewhere it would only be in the way of probabilities.
        return _with_defaults(
            tree, {"training": {"label_smoothing": 0.0, "validation": {"metric": _METRICS_OF[task][0]}}}
        )

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, tree: Any) -> Any:
        # Before the defaults of the task are filled in, as what stands last is done first.
        if not isinstance(tree, dict) or "preset" not in tree:
            return tree
        tree = dict(tree)
        name = str(tree.pop("preset"))
        preset, task = find_preset(name), _task_of(tree)
        if task in _MODELS_OF and not isinstance(preset.model, _MODELS_OF[task]):
            able = [each for each, kinds in _MODELS_OF.items() if isinstance(preset.model, kinds)]
            raise ValueError(f"`preset: {name}` cannot do `data.task: {task}`; it is for {' or '.join(able)}")
        told: dict[str, Any] = {"model": preset.model.model_dump()}
        if task == "translation":
            told["training"] = {"label_smoothing": preset.label_smoothing}
        return _with_defaults(tree, told)

    @field_validator("model", mode="before")
    @classmethod
    def _read_for_the_task(cls, tree: Any, info: Any) -> Any:
        # Where something is wrong with the data, the task is not known, and any may be meant.
        tasks = [info.data["data"].task] if "data" in info.data else list(_READERS)
        problems = []
        for task in tasks:
            try:
                return _READERS[task].validate_python(tree)
            except ValidationError as problem:
                problems.append(problem)
        raise problems[0]

    @model_validator(mode="after")
    def _model_can_do_the_task(self) -> "RecipeConfig":
        task, kinds = self.data.task, _MODELS_OF[self.data.task]
        if not isinstance(self.model, kinds):
            able = ", ".join(map(_architecture, kinds))
            raise ValueError(
                f"`model.architecture: {self.model.architecture}` cannot do `data.task: {task}`; architectures that "
                f"can: {able}"
            )
        metric = self.training.validation.metric
        if metric not in _METRICS_OF[task]:
            able = " or ".join(_METRICS_OF[task])
            raise ValueError(f"`training.validation.metric: {metric}` is not for `data.task: {task}`; set it to {able}")
        default = ValidationConfig()
        for name in ("tokenize", "lowercase", "max_sentences") if task != "translation" else ():
            if getattr(self.training.validation, name) != getattr(default, name):
                raise ValueError(f"`training.validation.{name}` is for `data.task: translation` alone; leave it out")
        return self

    @model_validator(mode="after")
    def _one_matrix_needs_one_vocabulary(self) -> "RecipeConfig":
        if not (isinstance(self.data, DataConfig) and isinstance(self.model, TranslationConfig)):
            return self
        if self.model.tied_embeddings == "all" and not self.data.tokenizer.joint:
            raise ValueError(
                "`model.tied_embeddings: all` is one matrix for both languages and needs `data.tokenizer.joint: true`; "
                "for two vocabularies set it to `target` or `none`"
            )
        return self


def _task_of(tree: Mapping[str, Any]) -> Any:
    data = tree.get("data")
    return data.get("task", "translation") if isinstance(data, dict) else "translation"


def _with_defaults(tree: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree in which what is not set stands as in `defaults`; what is no tree of settings stays as it is."""
    filled = dict(tree)
    for name, default in defaults.items():
        given = filled.setdefault(name, {} if isinstance(default, dict) else default)
        if isinstance(default, dict) and isinstance(given, dict):
            filled[name] = _with_defaults(given, default)
    return filled


def with_training(config: RecipeConfig, **settings: Any) -> RecipeConfig:
    """Return a recipe with other settings of `training`, which must be good ones."""
    return config.model_copy(update={"training": config.training.model_copy(update=settings)})


def flatten(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting of a tree of settings, by its dotted name."""
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from flatten(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, tree
