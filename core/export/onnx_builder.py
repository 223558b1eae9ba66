"""The registry's models as ONNX graphs, written down node by node: for where torch, which can make any, is not wanted.

Sizes come from the weights, so one function serves every width. A graph is handed over only where it gives what was
measured (`measured_onnx`); the tests hold each against the exporter's own file. To add one: its function in `GRAPHS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.export.formats import on_the_sweep, small_state

if TYPE_CHECKING:
    from core.runs.run import Run

OPSET, IR = 17, 8  # of 2022, which every runtime in use reads
EPSILON = 1e-5  # of normalisations, PyTorch's own
INPUT, OUTPUT = "input", "scores"  # as in the exporter's files


class Graph:
    """Nodes in their order, and the arrays that they take; a value is known by its name."""

    def __init__(self, state: Mapping[str, np.ndarray]) -> None:
        self.state, self.arrays = state, dict[str, np.ndarray]()
        self.nodes: list[Any] = []

    def op(self, kind: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add a node; an input is another's value, a tensor of the model, or a constant."""
        from onnx import helper

        names = [self._named(value) for value in inputs]
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _named(self, value: str | np.ndarray) -> str:
        if isinstance(value, np.ndarray):
            name = f"constant_{len(self.arrays)}"
            self.arrays[name] = value
            return name
        if value in self.state:
            self.arrays[value] = self.state[value]
        return value

    def shape(self, x: str, *sizes: int) -> str:
        """`x` in another shape; -1 is what is left, 0 as it was."""
        return self.op("Reshape", x, np.array(sizes, np.int64))

    def part(self, x: str, axis: int, start: int, end: int) -> str:
        """`x[..., start:end]` along an axis."""
        return self.op("Slice", x, *(np.array([n], np.int64) for n in (start, end, axis)))

    def most(self, x: str, axis: int) -> str:
        """The largest value along an axis, which goes."""
        return self.op("ReduceMax", x, axes=[axis], keepdims=0)

    def linear(self, x: str, name: str) -> str:
        """Along the last axis."""
        turned = np.ascontiguousarray(self.state[f"{name}.weight"].T)
        return self.op("Add", self.op("MatMul", x, turned), f"{name}.bias")

    def scaled(self, x: str, name: str) -> str:
        """`x * scale + shift`."""
        return self.op("Add", self.op("Mul", x, f"{name}.scale"), f"{name}.shift")

    def layer_norm(self, x: str, name: str) -> str:
        """Over the last axis."""
        return self.op("LayerNormalization", x, f"{name}.weight", f"{name}.bias", axis=-1, epsilon=EPSILON)

    def batch_norm(self, x: str, name: str) -> str:
        """By the statistics that are kept with the weights."""
        kept = (f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        return self.op("BatchNormalization", x, *kept, epsilon=EPSILON)

    def conv(self, x: str, name: str, stride: int = 1, pad: int = 0) -> str:
        """In two dimensions, with a bias where there is one."""
        bias = [f"{name}.bias"] if f"{name}.bias" in self.state else []
        return self.op("Conv", x, f"{name}.weight", *bias, strides=[stride] * 2, pads=[pad] * 4)

    def finished(self, output: str, shape: tuple[int | None, ...], outputs: int) -> bytes:
        """The whole program: raw inputs (batch, *shape) to (batch, outputs)."""
        from onnx import TensorProto, helper, numpy_helper

        self.nodes.append(helper.make_node("Identity", [output], [OUTPUT]))
        raw = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *shape])
        scores = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", outputs])
        arrays = [numpy_helper.from_array(np.asarray(value, order="C"), name) for name, value in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "model", [raw], [scores], arrays)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        data: bytes = model.SerializeToString()
        return data


def mlp(g: Graph, settings: Mapping[str, Any]) -> str:
    """`core.models.mlp.net`: an even place is a linear layer, and what has a scale at the end restores the units."""
    x = g.scaled(g.op("Flatten", INPUT), "1")
    places = _places(g, "")
    for place in places:
        x = g.linear(x, str(place))
        x = g.op("LeakyRelu", x, alpha=0.01) if place != places[-1] else x
    last = places[-1] + 1
    return g.scaled(x, str(last)) if f"{last}.scale" in g.state else x


def coordinates(g: Graph, settings: Mapping[str, Any]) -> str:
    """`core.models.coordinates.net`."""
    angle = g.op("MatMul", g.scaled(INPUT, "0"), "1.directions")
    return _stack(g, g.op("Concat", g.op("Sin", angle), g.op("Cos", angle), axis=1), "")


def liif(g: Graph, settings: Mapping[str, Any]) -> str:
    """`core.models.liif.net`."""
    patch = settings["patch"]
    count, middle = 3 * patch * patch, patch // 2

    def pixels(x: str) -> str:
        return g.shape(g.part(x, 1, 0, count), -1, 3, patch, patch)

    row = g.part(pixels(INPUT), 2, middle, middle + 1)
    nearest = g.op("Div", g.shape(g.part(row, 3, middle, middle + 1), -1, 3), np.array(255, np.float32))
    y = g.scaled(INPUT, "normalise")
    features = g.op("Relu", g.conv(g.op("Relu", g.conv(pixels(y), "encode.0")), "encode.2"))
    seen = g.op("Concat", g.op("Flatten", features), g.part(y, 1, count, count + 4), axis=1)
    return g.op("Add", nearest, _stack(g, seen, "decode."))


def convnet(g: Graph, settings: Mapping[str, Any]) -> str:
    """`core.models.convnet.net`."""
    x = g.shape(g.scaled(g.op("Flatten", INPUT), "normalise"), -1, 1, settings["size"], settings["size"])
    x = g.op("Relu", g.batch_norm(g.conv(x, "first", stride=2, pad=2), "norm"))
    for k in range(settings["stages"]):
        name, stride = f"stages.{k}", 2 if k else 1
        y = g.op("Relu", g.batch_norm(g.conv(x, f"{name}.conv1", stride=stride, pad=1), f"{name}.norm1"))
        y = g.batch_norm(g.conv(y, f"{name}.conv2", pad=1), f"{name}.norm2")
        around = g.conv(x, f"{name}.around", stride=stride) if k else x
        x = g.op("Relu", g.op("Add", y, around))
    return g.linear(g.op("ReduceMean", x, axes=[2, 3], keepdims=0), "head")


def vit(g: Graph, settings: Mapping[str, Any]) -> str:
    """`core.models.vit.net`."""
    tokens, each = g.state["positions"].shape[0], g.state["embed.weight"].shape[1]
    side, patch, width = round(tokens**0.5), round(each**0.5), settings["head_dim"]
    x = g.shape(g.scaled(g.op("Flatten", INPUT), "normalise"), -1, side, patch, side, patch)
    x = g.shape(g.op("Transpose", x, perm=[0, 1, 3, 2, 4]), -1, tokens, each)
    x = g.op("Add", g.linear(x, "embed"), "positions")
    for k in range(settings["depth"]):
        name = f"blocks.{k}"
        x = g.op("Add", x, _attention(g, g.layer_norm(x, f"{name}.norm1"), f"{name}.attention", tokens, width))
        y = g.linear(g.layer_norm(x, f"{name}.norm2"), f"{name}.feed_forward.0")
        x = g.op("Add", x, g.linear(_gelu(g, y), f"{name}.feed_forward.2"))
    return g.linear(g.op("ReduceMean", g.layer_norm(x, "norm"), axes=[1], keepdims=0), "head")


def pointnet(g: Graph, settings: Mapping[str, Any]) -> str:
    """`core.models.pointnet.net`."""
    x = g.op("Sub", INPUT, g.op("ReduceMean", INPUT, axes=[1], keepdims=1))
    far = g.most(g.op("ReduceSum", g.op("Mul", x, x), np.array([2], np.int64), keepdims=0), 1)
    radius = g.op("Max", g.op("Sqrt", far), np.array(1e-12, np.float32))
    x = g.op("Div", x, g.shape(radius, -1, 1, 1))
    x = _points(g, g.op("MatMul", x, _turn(g, x, "turn", 3)), "low.")
    x = _points(g, g.op("MatMul", x, _turn(g, x, "align", 64)), "high.")
    return g.linear(_stack(g, g.most(x, 1), "cloud.", last=True), "head")


def _places(g: Graph, prefix: str) -> list[int]:
    """The numbers of a sequence's parts that have a weight."""
    parts = (name.removeprefix(prefix).split(".") for name in g.state if name.startswith(prefix))
    return sorted(int(part[0]) for part in parts if len(part) == 2 and part[1] == "weight" and part[0].isdecimal())


def _stack(g: Graph, x: str, prefix: str, *, last: bool = False) -> str:
    """The linear layers of a sequence, with a ReLU between, and after the last one where it is said."""
    places = _places(g, prefix)
    for place in places:
        x = g.linear(x, f"{prefix}{place}")
        x = g.op("Relu", x) if last or place != places[-1] else x
    return x


def _points(g: Graph, x: str, prefix: str) -> str:
    """Layers that treat every point alike: linear, normalised, ReLU."""
    for place in _places(g, prefix)[::2]:
        x = g.op("Relu", g.layer_norm(g.linear(x, f"{prefix}{place}"), f"{prefix}{place + 1}"))
    return x


def _turn(g: Graph, x: str, name: str, k: int) -> str:
    """A matrix for each cloud, (batch, k, k)."""
    seen = _stack(g, g.most(_points(g, x, f"{name}.points."), 1), f"{name}.cloud.", last=True)
    return g.shape(g.linear(seen, f"{name}.matrix"), -1, k, k)


def _attention(g: Graph, x: str, name: str, tokens: int, width: int) -> str:
    """Heads of `width` features side by side."""

    def heads(part: str, perm: list[int]) -> str:
        return g.op("Transpose", g.shape(g.linear(x, f"{name}.{part}"), -1, tokens, count, width), perm=perm)

    count = g.state[f"{name}.query.bias"].shape[0] // width
    scores = g.op("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
    shares = g.op("Softmax", g.op("Mul", scores, np.array(width**-0.5, np.float32)), axis=-1)
    y = g.op("Transpose", g.op("MatMul", shares, heads("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return g.linear(g.shape(y, -1, tokens, count * width), f"{name}.out")


def _gelu(g: Graph, x: str) -> str:
    """The exact one, by the error function."""
    grown = g.op("Erf", g.op("Mul", x, np.array(0.5**0.5, np.float32)))
    return g.op("Mul", g.op("Mul", x, np.array(0.5, np.float32)), g.op("Add", grown, np.array(1, np.float32)))


GRAPHS: dict[str, Callable[[Graph, Mapping[str, Any]], str]] = {
    "mlp": mlp, "coordinates": coordinates, "liif": liif, "convnet": convnet, "vit": vit, "pointnet": pointnet
}  # fmt: skip


def plain_onnx(run: Run, widths: Mapping[str, int]) -> bytes | None:
    """The small model as ONNX; None for a model that is not written down here. Raises RunError for a damaged run.

    Nothing has been run: settings come from anybody's run.json, so it may be no program at all.
    """
    make = GRAPHS.get(run.record.family.get("name") or "")
    if make is None:
        return None
    graph, shape = Graph(small_state(run, widths)), tuple(run.record.input.shape)
    try:
        output = make(graph, run.record.family.get("settings", {}))
        return graph.finished(output, (None, 3) if make is pointnet else shape, len(run.record.labels))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError):
        return None  # settings and weights that don't belong together


def measured_onnx(run: Run, widths: Mapping[str, int]) -> bytes | None:
    """The small model as ONNX where it answers each stored example as it was measured to; None otherwise.

    Raises RunError where the run's weights are damaged.
    """
    from core.export.verify import check

    data = plain_onnx(run, widths)
    if data is None:
        return None
    try:
        return data if check(run, on_the_sweep(run, widths), "onnx", data).examples else None
    except (UserError, ImportError):
        return None
    except Exception:  # what onnxruntime makes of a program that is none; torch then judges
        return None
