"""One kind of foreign model a file: what its settings mean here, and which weight is which."""

from collections.abc import Sequence

from attento.errors import DataError
from attento.interop.families.bart import Bart
from attento.interop.families.bert import Bert
from attento.interop.families.gpt2 import GPT2
from attento.interop.families.llama import Llama, Mistral
from attento.interop.families.marian import Marian
from attento.interop.families.t5 import T5
from attento.interop.family import Family
from attento.setting_trees import suggest

FAMILIES: Sequence[type[Family]] = (Marian, Bart, T5, GPT2, Llama, Mistral, Bert)


def find_family(model_type: object) -> Family:
    """Return the kind of foreign model that a `model_type` names.

    Raises:
        DataError: there is none of that name; the message says which there are.
    """
    for kind in FAMILIES:
        if kind.model_type == model_type:
            return kind()
    known = [kind.model_type for kind in FAMILIES]
    raise DataError(f"`model_type: {model_type}` is not supported{suggest(str(model_type), known)}")
