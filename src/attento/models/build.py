"""From settings to a model: one `match`, no registry."""

from attento.errors import ConfigError
from attento.models.base import EncoderDecoder
from attento.models.config import ModelConfig
from attento.models.transformer import Transformer


def build_model(config: ModelConfig, source_vocab_size: int, target_vocab_size: int) -> EncoderDecoder:
    """Make a model with freshly drawn weights.

    Raises:
        ConfigError: the settings do not go with these vocabularies.
    """
    try:
        match config.architecture:
            case "transformer":
                return Transformer(config, source_vocab_size, target_vocab_size)
    except ValueError as problem:
        raise ConfigError(str(problem)) from problem
