"""A vision transformer for square pictures; attention heads and feed-forward features are two widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.elastic.family import Family
from core.elastic.width import Width
from core.errors import UserError
from core.models.base import MOST_CLASSES, WIDEST, Model, Settings, call_text, fit_pictures, whole
from core.models.onnx_graph import INPUT, Graph

if TYPE_CHECKING:
    from torch import nn


def family(
    *,
    classes: int,
    size: int,
    heads: int = 8,
    hidden: int = 128,
    dim: int = 64,
    depth: int = 2,
    patch: int | None = None,
    head_dim: int = 8,
    lower: int = 1,
) -> Family:
    """Build the family of a vision transformer.

    Parameters
    ----------
    classes, size
        Number of classes, and pixels of a picture's side.
    heads, hidden
        Attention heads and feed-forward features of a block at full width.
    dim, depth, head_dim
        Features of a token, number of blocks, features of a head.
    patch
        Pixels of a token's side; by default a quarter of the picture's side, or its smallest divisor.
    lower
        Smallest `hidden`.

    Raises
    ------
    UserError
        For a setting that is out of range, or a patch that does not divide the size.
    """
    whole("classes", classes, 1, MOST_CLASSES)
    whole("size", size, 1, 4096)
    whole("heads", heads, 2, 1024)
    whole("dim", dim, 1, WIDEST)
    whole("depth", depth, 1, 64)
    whole("head_dim", head_dim, 1, 4096)
    whole("lower", lower, 1, whole("hidden", hidden, 2, WIDEST))
    side = _patch_side(size, patch)

    def build(heads: int, hidden: int) -> nn.Module:
        from core.models.vit.net import vit

        return vit(heads, hidden, classes, size, side, dim, depth, head_dim)

    return Family(build, heads=heads, hidden=Width(hidden, lower))


def call(settings: Settings, widths: Mapping[str, int]) -> str:
    """Return the call of `net.vit` that builds one size."""
    kept = {name: settings[name] for name in ("classes", "size", "dim", "depth", "head_dim")}
    side = _patch_side(settings["size"], settings["patch"])
    return call_text("vit", heads=widths["heads"], hidden=widths["hidden"], **kept, patch=side)


def graph(g: Graph, settings: Settings) -> str:
    """Add the nodes of `net.vit`."""
    tokens, pixels = g.state["positions"].shape[0], g.state["embed.weight"].shape[1]
    side, patch, head_dim = round(tokens**0.5), round(pixels**0.5), settings["head_dim"]
    x = g.shape(g.scaled(g.op("Flatten", INPUT), "normalise"), -1, side, patch, side, patch)
    x = g.shape(g.op("Transpose", x, perm=[0, 1, 3, 2, 4]), -1, tokens, pixels)
    x = g.op("Add", g.linear(x, "embed"), "positions")
    for k in range(settings["depth"]):
        name = f"blocks.{k}"
        x = g.op("Add", x, _attention(g, g.layer_norm(x, f"{name}.norm1"), f"{name}.attention", tokens, head_dim))
        y = g.linear(g.layer_norm(x, f"{name}.norm2"), f"{name}.feed_forward.0")
        x = g.op("Add", x, g.linear(_gelu(g, y), f"{name}.feed_forward.2"))
    return g.linear(g.op("ReduceMean", g.layer_norm(x, "norm"), axes=[1], keepdims=0), "head")


def _attention(g: Graph, x: str, name: str, tokens: int, head_dim: int) -> str:
    """Add self-attention, (batch, tokens, dim) to the same; a head's features lie side by side."""

    def heads(part: str, perm: list[int]) -> str:
        return g.op("Transpose", g.shape(g.linear(x, f"{name}.{part}"), -1, tokens, count, head_dim), perm=perm)

    count = g.state[f"{name}.query.bias"].shape[0] // head_dim
    scores = g.op("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
    shares = g.op("Softmax", g.op("Mul", scores, np.array(head_dim**-0.5, np.float32)), axis=-1)
    y = g.op("Transpose", g.op("MatMul", shares, heads("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return g.linear(g.shape(y, -1, tokens, count * head_dim), f"{name}.out")


def _gelu(g: Graph, x: str) -> str:
    """Add the exact GELU, by the error function."""
    erf = g.op("Erf", g.op("Mul", x, np.array(0.5**0.5, np.float32)))
    return g.op("Mul", g.op("Mul", x, np.array(0.5, np.float32)), g.op("Add", erf, np.array(1, np.float32)))


def _patch_side(size: int, patch: int | None) -> int:
    """Return the pixels of a token's side. Raises UserError where they don't divide the picture's."""
    if patch is None:
        return size // 4 if size % 4 == 0 else 1 if size < 8 else min(k for k in range(2, size + 1) if size % k == 0)
    if size % whole("patch", patch, 1, size):
        raise UserError(f"patch is {patch}, which does not divide the picture's side of {size} pixels; choose one")
    return patch


MODEL = Model(
    family=family,
    net="core.models.vit.net",
    call=call,
    fit=fit_pictures,
    graph=graph,
    meaning="a vision transformer, for pictures",
    recipe={"lr": 5e-3, "epochs": 20},
)
