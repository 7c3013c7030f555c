"""The README of a run folder: what the model is, what it learned from, what it scored, how to use it."""

from attento.config import dump_settings
from attento.models.base import EncoderDecoder
from attento.training.config import RecipeConfig
from attento.training.loop import RunState
from attento.training.validation import ValidationResult


def model_card(config: RecipeConfig, model: EncoderDecoder, state: RunState, result: ValidationResult) -> str:
    """Return the card as Markdown."""
    data = config.data
    corpora = "\n".join(f"- `{corpus.name}` (weight {corpus.weight:g})" for corpus in data.train)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    bleu = "not measured" if result.bleu is None else f"{result.bleu:.2f} (greedy search)"
    return f"""# {data.source_language} to {data.target_language}, {config.model.architecture}

A translation model trained with Attento: {parameters:,} parameters, {state.step:,} updates,
{state.source_tokens:,} source and {state.target_tokens:,} target tokens seen.

    attento translate PATH-OF-THIS-FOLDER "a sentence"

| on the validation set `{data.validation.name}` | |
|---|---|
| loss, nats a target token | {result.loss:.4f} |
| BLEU | {bleu} |

Trained on:

{corpora}

The licences of these texts decide what may be done with the weights.

## Settings

```yaml
{dump_settings(config)}```
"""
