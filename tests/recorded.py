"""Small untrained models of every architecture, away from what is drawn at first, and a batch to send through them."""

import architectures
import torch
from torch import Tensor, nn

from attento.models.base import Classifier, EncoderDecoder, LanguageModel, MaskedLanguageModel, Sentences
from attento.models.language.ngram import NGramModel
from attento.nn.state import DecoderState

# Rows, source, target, vocabulary, classes.
B, S, T, V, C = 5, 9, 7, 17, 3
LENGTHS = [9, 1, 4, 6, 2]

EVERY = (
    {("translation", name): settings for name, settings in architectures.TRANSLATION.items()}
    | {("language", name): settings for name, settings in architectures.LANGUAGE.items()}
    | {("counted", name): settings for name, settings in architectures.COUNTED.items()}
    | {("classification", name): settings for name, settings in architectures.CLASSIFICATION.items()}
    | {("masked", name): settings for name, settings in architectures.MASKED.items()}
)


def make(which: tuple[str, str]) -> nn.Module:
    torch.manual_seed(1)
    (task, _), settings = which, EVERY[which]
    match task:
        case "translation":
            model: nn.Module = architectures.translation_model(settings, V, V)
        case "language" | "counted":
            model = architectures.language_model(settings, V)
        case "classification":
            model = architectures.classifier(settings, V, C)
        case _:
            model = architectures.masked_model(settings, V)
    if isinstance(model, NGramModel):
        model.fit(torch.cat((torch.tensor([2]), torch.randint(V, (211,)))).numpy())
    model = model.double()
    with torch.no_grad():
        # Away from what is drawn at first: gains of one and biases of zero would hide a mistake.
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter) * (parameter.std(correction=0) + 0.1))
    return model.eval()


def sentences(seed: int) -> Sentences:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(S) < torch.tensor(LENGTHS).roll(seed)[:, None]
    return Sentences(torch.randint(4, V, (B, S), generator=generator).masked_fill(~mask, 0), mask)


def target() -> Tensor:
    return torch.randint(4, V, (B, T), generator=torch.Generator().manual_seed(3))


def work(model: nn.Module, pieces: tuple[int, ...] = (T,)) -> Tensor:
    """Send a batch with padding through a model; return all its logits."""
    if isinstance(model, Classifier):
        return model([sentences(seed) for seed in range(model.num_sentences)])
    if isinstance(model, MaskedLanguageModel):
        return model(sentences(0))
    assert isinstance(model, EncoderDecoder | LanguageModel)
    logits, state = [], begin(model)
    for piece in target().split(list(pieces), dim=1):
        more, state = model.decode(piece, state)
        logits.append(more)
    return torch.cat(logits, dim=1)


def begin(model: EncoderDecoder | LanguageModel) -> DecoderState:
    if isinstance(model, LanguageModel):
        return model.start(B)
    source = sentences(0)
    return model.start(model.encode(source.ids, source.mask))
