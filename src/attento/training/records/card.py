"""The README of a run folder: what the model is, what it learned from, what it scored, how to use it."""

from dataclasses import dataclass

from attento.config import Settings, dump_settings
from attento.training.validation import ValidationResult


@dataclass(frozen=True)
class Card:
    """What a model card says in another way for each kind of work."""

    title: str
    kind: str
    """What sort of model it is, with an article."""
    usage: str
    """A command that uses it; PATH stands for the folder."""
    validation: str
    """The name of the text that it was judged on."""
    corpora: tuple[str, ...]
    unit: str = "target token"
    """What is predicted."""


_NAMES = {
    "loss": "loss, nats a {unit}",
    "bleu": "BLEU, greedy search",
    "perplexity": "perplexity",
    "bits_per_character": "bits a character",
    "accuracy": "accuracy, per cent",
}


def model_card(card: Card, settings: Settings, seen: str, result: ValidationResult) -> str:
    """Return the card as Markdown; `seen` is the size of the model and what it has seen, in words."""
    corpora = "\n".join(f"- {name}" for name in card.corpora)
    scores = "\n".join(
        f"| {_NAMES[name].format(unit=card.unit)} | {_shown(name, value)} |"
        for name, value in result.record("").items()
    )
    return f"""# {card.title}

{card.kind} trained with Attento: {seen}.

    {card.usage}

| on the validation set `{card.validation}` | |
|---|---|
{scores}

Trained on:

{corpora}

The licences of these texts decide what may be done with the weights.

## Settings

```yaml
{dump_settings(settings)}```
"""


def _shown(name: str, value: float) -> str:
    return {"loss": f"{value:.4f}", "accuracy": f"{100 * value:.2f}"}.get(name, f"{value:.2f}")
