"""The least time that a translation can take on this processor: its products at the rate measured, weights read once.

What else there is, attention, normalization and search, is not counted: a share of 100% cannot be had.
"""

from dataclasses import dataclass

from attento.engines.native import NativeEngine
from attento.engines.packed.file import PackedModel
from attento.speed.cases import Case


@dataclass(frozen=True)
class Work:
    """What one model has to do.

    Attributes:
        source_products: multiplications for one token of a source: the encoder's, and of the decoder's keys and values.
        target_products: multiplications for one token of one hypothesis.
        step_bytes: bytes of weights that one step of the decoder reads.
    """

    source_products: int
    target_products: int
    step_bytes: int

    @classmethod
    def of(cls, packed: PackedModel) -> "Work":
        """Count the matrices of a packed translation model.

        Raises:
            RunFolderError: the file is damaged.
        """
        source = target = step_bytes = 0
        output = "output" if packed.has_matrix("output") else "target_embedding"
        for tensor in packed.tensors:
            name = tensor.removesuffix(".weight")
            if name == tensor:
                continue
            matrix = packed.matrix(name)
            products = matrix.outputs * matrix.inputs
            if name.startswith("encoder.") or name.endswith(".keys_values"):
                source += products
            elif name.startswith("decoder.") or name == output:
                target += products
                step_bytes += matrix.panels.nbytes
        # A model of one stack reads its source by the matrices that it writes with.
        return cls(source or target, target, step_bytes)


@dataclass(frozen=True)
class Rates:
    """What the processor does in a second, on one thread.

    Attributes:
        products: multiplications of the engine's own kernel, on data in the nearest cache.
        bytes: bytes of weights read, of a stretch as long as the decoder's.
    """

    products: float
    bytes: float

    @classmethod
    def measure(cls, engine: NativeEngine, work: Work) -> "Rates":
        """Measure both on the spot; takes a second."""
        return cls(engine.product_rate(), engine.read_rate(work.step_bytes))


def least_seconds(work: Work, rates: Rates, case: Case) -> float:
    """Return the least time in which one thread translates one batch of a case with a length."""
    assert case.length is not None
    steps = tokens = case.length + 1
    reading = case.batch * tokens * work.source_products / rates.products
    products = case.batch * case.beam_size * work.target_products / rates.products
    return reading + steps * max(products, work.step_bytes / rates.bytes)
