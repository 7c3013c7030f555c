"""What is told of a model's parts must be what its weights are."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from architectures import CLASSIFICATION, LANGUAGE, TRANSLATION, classifier, language_model, translation_model
from torch import nn

from attento.models.anatomy import Part, anatomy, parameters_by_role
from attento.models.presets import PRESETS

SYSTEMS = [
    pytest.param(partial(build, settings, *sizes), id=name)
    for build, systems, sizes in (
        (translation_model, TRANSLATION, (29, 29)),
        (language_model, LANGUAGE, (29,)),
        (classifier, CLASSIFICATION, (29, 5)),
    )
    for name, settings in systems.items()
]


def leaves(part: Part) -> int:
    """Count parameters from the shapes alone."""
    own = 0
    for weight in filter(None, part.shape.split(", ")):
        size = 1
        for side in weight.split(" ")[1::2]:
            size *= int(side)
        own += size
    return part.count * (own + sum(leaves(each) for each in part.parts))


@pytest.mark.parametrize("make", SYSTEMS)
def test_shapes_and_roles_add_up_to_the_parameters(make: Callable[[], nn.Module]) -> None:
    model = make()
    total = sum(weight.numel() for weight in model.parameters())
    tree = anatomy(model)
    assert leaves(tree) == tree.parameters == total
    assert sum(parameters_by_role(model).values()) == total


def test_equal_layers_are_told_once() -> None:
    stack = nn.ModuleList([nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(3, 5), nn.Linear(5, 3)])
    names = [(part.name, part.count, part.kind, part.shape) for part in anatomy(stack).parts]
    assert names == [
        ("0-2", 3, "Linear", "weight 3 x 5, bias 3"),
        ("3", 1, "Linear", "weight 5 x 3, bias 5"),
        ("4", 1, "Linear", "weight 3 x 5, bias 3"),
    ]


def test_roles_of_a_llama_by_its_formula() -> None:
    d, d_ff, layers, vocab = 4096, 11008, 32, 32000
    with torch.device("meta"):
        model = language_model(PRESETS["llama_7b"].model.model_dump(), vocab)
    roles = parameters_by_role(model)
    assert roles == {
        "token vectors and output": 2 * vocab * d,
        "attention": layers * 4 * d * d,
        "feed-forward": layers * 3 * d * d_ff,
        "normalization": (2 * layers + 1) * d,
    }
    assert 0.64 < roles["feed-forward"] / sum(roles.values()) < 0.65
