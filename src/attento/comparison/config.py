"""The settings of a comparison: what all systems share, what is their own, the budget, the measurements."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, StringConstraints, model_validator

from attento.config import Settings

Lengths = Annotated[tuple[PositiveInt, ...], Field(min_length=2)]

# Where a system has a setting of such a name, the recall task gives it this value: small models learn it in a minute.
_SMALL: dict[str, Any] = {
    "d_model": 64,
    "d_ff": 128,
    "d_hidden": 128,
    "d_token": 64,
    "num_heads": 4,
    "d_key": None,
    "d_value": None,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "layers": 2,
    "dropout": 0.0,
}


class BudgetConfig(Settings):
    """What every system gets the same of; exactly one of the three."""

    updates: PositiveInt | None = Field(None, description="steps of training, in place of `training.max_steps`")
    minutes: PositiveFloat | None = Field(None, description="minutes of training, in place of `training.max_minutes`")
    parameters: PositiveInt | None = Field(None, description="every system has so many, give or take 10%")

    @model_validator(mode="after")
    def _one(self) -> "BudgetConfig":
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            told = "none is given" if not given else f"there are {' and '.join(f'`{name}`' for name in given)}"
            raise ValueError(f"give exactly one of `updates`, `minutes` and `parameters`; {told}")
        return self


class SystemConfig(Settings):
    """What is a system's own; its settings go before those that all share."""

    model: dict[str, Any]
    training: dict[str, Any] = Field({})
    search: dict[str, Any] = Field({})


class QualityConfig(Settings):
    """How good a system is, on `data.test`."""

    resamples: PositiveInt = Field(1000, description="draws behind each bootstrap interval")
    length_edges: tuple[PositiveInt, ...] = Field(
        (10, 15, 20, 30), description="longest source, in words, of each bucket but the last"
    )


class CostConfig(Settings):
    """What a system takes."""

    sentences: PositiveInt = Field(200, description="test sentences that are translated for the speed")
    repeats: PositiveInt = Field(3, description="times that the speed is measured")
    memory_steps: PositiveInt = Field(3, description="training steps in the fresh process that tells the memory")


class TableConfig(Settings):
    """Table 1 of Vaswani et al. 2017, measured."""

    lengths: Lengths = Field(
        (16, 32, 64, 128, 256), description="lengths at which a step is timed and its memory counted"
    )
    rows: PositiveInt = Field(4, description="sentences of each length in a step")
    repeats: PositiveInt = Field(5, description="timed steps of each length, after one that is not")
    path_lengths: Lengths = Field((4, 8, 16, 32), description="lengths at which operations and paths are counted")


class RecallConfig(Settings):
    """A key is shown, other symbols follow, and the key is asked for."""

    distances: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = Field(
        (1, 4, 16, 64), description="symbols from the key to the question"
    )
    keys: int = Field(8, ge=2, description="different keys; guessing is right once in so many times")
    fillers: PositiveInt = Field(16, description="different other symbols")
    updates: PositiveInt = 300
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 0.002
    test_examples: PositiveInt = Field(200, description="fresh examples of each distance")
    repeats: PositiveInt = Field(1, description="trainings, each from a seed of its own")
    size: dict[str, Any] = Field(_SMALL, description="settings that every system has here, where it has such a one")


class MeasureConfig(Settings):
    """What is measured, and how; null leaves a measurement out."""

    seed: NonNegativeInt = 1
    batch_tokens: PositiveInt = Field(
        4096, description="tokens of one batch when a test set is gone through, the same for all systems"
    )
    quality: QualityConfig | None = QualityConfig()
    cost: CostConfig | None = CostConfig()
    table: TableConfig | None = TableConfig()
    recall: RecallConfig | None = RecallConfig()


SystemName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class CompareConfig(Settings):
    """A whole comparison. `data`, `training` and `search` are a training recipe's, and checked as such."""

    data: dict[str, Any]
    training: dict[str, Any] = Field({})
    search: dict[str, Any] = Field({})
    systems: dict[SystemName, SystemConfig] = Field(min_length=1)
    budget: BudgetConfig
    measure: MeasureConfig = MeasureConfig()

    @model_validator(mode="after")
    def _budget_alone_says_how_long(self) -> "CompareConfig":
        taken = {"updates": "max_steps", "minutes": "max_minutes"}
        places = {"training": self.training}
        places |= {f"systems.{name}.training": system.training for name, system in self.systems.items()}
        for place, training in places.items():
            for name, setting in taken.items():
                if getattr(self.budget, name) is not None and setting in training:
                    raise ValueError(f"`{place}.{setting}` is what `budget.{name}` says; leave one of them out")
        return self
