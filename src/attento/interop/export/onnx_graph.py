"""A graph of ONNX operators, made node by node. Knows no model."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

Numbers: TypeAlias = int | float | Sequence[int] | Sequence[float] | NDArray[Any]

# What onnxruntime 1.17 and all later ones read.
_OPSET, _IR_VERSION = 20, 9
_TYPES = {
    np.dtype(np.float32): onnx.TensorProto.FLOAT,
    np.dtype(np.float64): onnx.TensorProto.DOUBLE,
    np.dtype(np.int64): onnx.TensorProto.INT64,
    np.dtype(np.bool_): onnx.TensorProto.BOOL,
}


class Graph:
    """Nodes, weights, inputs and outputs; values are known by their names."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: type[np.generic], axes: Sequence[str | int]) -> str:
        """Declare an input; an axis of any length has a name."""
        self._inputs.append(onnx.helper.make_tensor_value_info(name, _TYPES[np.dtype(dtype)], axes))
        return name

    def output(self, value: str, name: str, dtype: type[np.generic], axes: Sequence[str | int]) -> None:
        """Give a value out under a name."""
        self._nodes.append(onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(onnx.helper.make_tensor_value_info(name, _TYPES[np.dtype(dtype)], axes))

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Store an array under a name, once however often it is asked for."""
        if name not in self._weights:
            self._weights[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def constant(self, values: Numbers, dtype: type[np.generic] = np.float32) -> str:
        """Store numbers of no name."""
        array = np.asarray(values, dtype)
        return self.weight(f"constant_{len(self._weights)}", array)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of one output, and return that."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Change the number format."""
        return self.op("Cast", value, to=_TYPES[np.dtype(dtype)])

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Change the shape; 0 leaves an axis as it is, -1 is what is left."""
        return self.op("Reshape", value, self.constant(shape, np.int64))

    def insert_axes(self, value: str, *axes: int) -> str:
        """Insert axes of length 1."""
        return self.op("Unsqueeze", value, self.constant(axes, np.int64))

    def length(self, value: str, axis: int) -> str:
        """Return the length of an axis, as a number."""
        return self.op("Squeeze", self.op("Shape", value, start=axis, end=axis + 1))

    def model(self) -> onnx.ModelProto:
        """Return the finished model, checked for being well formed."""
        graph = onnx.helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._weights.values())
        )
        opsets = [onnx.helper.make_opsetid("", _OPSET)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="attento")
        onnx.checker.check_model(model, full_check=True)
        return model


def axes_of(model: onnx.ModelProto) -> dict[str, dict[str, list[str | int]]]:
    """Return the axes of everything that goes into a model and out of it: lengths, or names where any length goes."""
    return {
        kind: {
            port.name: [axis.dim_param or axis.dim_value for axis in port.type.tensor_type.shape.dim] for port in ports
        }
        for kind, ports in (("inputs", model.graph.input), ("outputs", model.graph.output))
    }
