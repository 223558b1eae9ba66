"""Check, before any training, that a model's forward in training mode can run through slices of shared weights.

A training step runs the module at a drawn size on a slice of the full weights (`torch.func.functional_call`). What
goes beyond that is refused here with its cause: outputs that differ in training mode, tensors that the forward writes,
recomputation in the backward pass, tables derived from weights and kept, weights that are not float32. Imports torch.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.func import functional_call

from core.elastic.batch_norm import buffers, set_mode
from core.elastic.discovery.factory import first_line
from core.elastic.discovery.outputs import float_tensors
from core.errors import UserError

if TYPE_CHECKING:
    from core.elastic.family import Family
    from core.elastic.layout import Layout

State = Mapping[str, torch.Tensor]

TOLERANCE = 1e-3  # of two runs of one model in float32, relative to the largest output
NUMPY_LACKS = ("bfloat16", "complex", "float8")  # prefixes of the dtypes that no run could store


def check_training_forward(family: Family, example: torch.Tensor) -> None:
    """Run one forward and backward pass in training mode at a middle size, plainly and through a slice, and compare.

    Parameters
    ----------
    family
        The family, whose layout has been checked.
    example
        Inputs (rows, ...), of the dtype that the training feeds.

    Raises
    ------
    UserError
        In one sentence with the cause and the mend, where a training would fail or go wrong later.
    """
    _check_dtypes(family.layout)
    widths = {name: width.sizes[(len(width.sizes) - 1) // 2] for name, width in family.layout.widths.items()}
    x = example if len(example) > 1 else torch.cat([example, example])  # batch normalisation needs two rows
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        plain = family.build(**widths)
        own = plain.state_dict(keep_vars=True)
        _check_modes(plain, x, estimated=set(buffers(plain)))
        torch.manual_seed(1)  # a second module has other random numbers, where its factory draws any
        sibling = family.new_sibling(**widths)
        attributes = _attributes(sibling)
        expected = _trained(plain, None, x)
        state = _copy(own)
        _compare(_sliced(sibling, state, x), expected, kept=None)
        _check_gradients(own, state)
        other = _copy(own, scale=0.5)
        second = _sliced(sibling, other, x)
        fresh = _sliced(family.new_sibling(**widths), _copy(own, scale=0.5), x)
        _compare(second, fresh, _kept(sibling, attributes))


def _check_dtypes(layout: Layout) -> None:
    for name, tensor in layout.tensors.items():
        is_number = tensor.dtype.startswith(("float", "bfloat", "complex"))
        is_weight = tensor.kind != "buffer"
        if (is_weight and is_number and tensor.dtype != "float32") or tensor.dtype.startswith(NUMPY_LACKS):
            raise UserError(
                f"tensor {name!r} is of {tensor.dtype}; training needs weights of float32, so build the model with "
                "dtype=torch.float32"
            )


def _check_modes(plain: nn.Module, x: torch.Tensor, estimated: set[str]) -> None:
    """Compare training with evaluation: the kind of output, and tensors that the forward writes."""
    before = {name: value.detach().clone() for name, value in plain.state_dict().items()}
    outputs = []
    for training in (False, True):
        set_mode(plain, training, by_batch=training)
        try:
            with torch.no_grad():
                outputs.append(_kind(plain(x.clone())))
        except Exception as error:  # the user's own
            mode = "training" if training else "evaluation"
            raise UserError(f"the model can't run on the example input in {mode} mode ({first_line(error)})") from error
    if outputs[0] != outputs[1]:
        raise UserError(
            f"the model gives {outputs[1]} in training mode and {outputs[0]} in evaluation mode; training needs the "
            "same output in both, so leave out what training mode adds (an auxiliary output)"
        )
    after = plain.state_dict()
    for name in before.keys() ^ after.keys():
        raise UserError(f"tensor {name!r} comes or goes in a forward pass; every tensor must be there from the start")
    for name, value in before.items():
        if name not in estimated and not torch.equal(value, after[name].detach()):
            kind = "parameter" if isinstance(plain.state_dict(keep_vars=True)[name], nn.Parameter) else "buffer"
            raise UserError(
                f"the forward pass writes {kind} {name!r}, of which every width would need its own; only the "
                "statistics of PyTorch's batch normalisation are kept for each width, so use that, or a layer without "
                "such a state (no spectral norm, no running average of one's own)"
            )


def _trained(module: nn.Module, state: State | None, x: torch.Tensor) -> list[torch.Tensor]:
    """Floating-point outputs in training mode with a fixed seed, after their sum's backward pass."""
    set_mode(module, True, by_batch=True)
    torch.manual_seed(2)
    if state is None:
        output = module(x.clone())
    else:
        aside = {name: value for name, value in module.named_buffers() if name not in state}
        output = functional_call(module, {**state, **aside}, (x.clone(),), tie_weights=False)
    outputs = list(float_tensors(output))
    learned = [value.sum() for value in outputs if value.requires_grad]
    if learned:
        torch.stack(learned).sum().backward()
    return [value.detach() for value in outputs]


def _sliced(sibling: nn.Module, state: State, x: torch.Tensor) -> list[torch.Tensor]:
    """`_trained` through the tensors in `state`. Raises UserError where the pass fails."""
    try:
        return _trained(sibling, state, x)
    except Exception as error:  # the user's own, or torch's in its place
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename.endswith("checkpoint.py") for frame in frames):
            raise UserError(
                "the model recomputes a block in the backward pass (torch.utils.checkpoint), when the slice of the "
                "weights is no longer in place; call the block without checkpoint"
            ) from error
        raise UserError(
            f"the model runs by itself, but not through a slice of its weights ({first_line(error)}); its forward may "
            "use only its own parameters and buffers, and keep nothing from one call to the next"
        ) from error


def _check_gradients(own: State, state: State) -> None:
    for name, value in own.items():
        if value.grad is not None and state[name].grad is None:
            raise UserError(
                f"parameter {name!r} gets no gradient through a slice of the weights; the forward must reach it as an "
                "attribute of its module, not by a reference kept elsewhere or in a recomputed block"
            )


def _compare(outputs: list[torch.Tensor], expected: list[torch.Tensor], kept: str | None) -> None:
    same = [a.shape == b.shape for a, b in zip(outputs, expected, strict=True)]
    largest = max((float(b.abs().max()) for b in expected if b.numel()), default=0.0) or 1.0
    if all(same) and all(
        torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True)
        for a, b in zip(outputs, expected, strict=True)
    ):
        return
    if kept is not None:
        raise UserError(
            f"the model keeps {kept} from one forward pass to the next, and its output depends on it; compute it anew "
            "in each pass, or make it a buffer that never changes"
        )
    raise UserError(
        "a second module with the same weights gives another output; random numbers that the factory draws must be "
        "parameters or buffers of the model"
    )


def _copy(own: State, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """The tensors by name, as leaves of their own; a tied one is the same leaf under each name."""
    copies: dict[int, torch.Tensor] = {}
    for value in own.values():
        if id(value) not in copies:
            copy = value.detach().clone()
            copies[id(value)] = (copy * scale if value.requires_grad else copy).requires_grad_(value.requires_grad)
    return {name: copies[id(value)] for name, value in own.items()}


def _attributes(module: nn.Module) -> dict[str, dict[str, Any]]:
    return {name: dict(vars(part)) for name, part in module.named_modules()}


def _kept(module: nn.Module, before: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The first plain attribute that a forward has set, by its full name."""
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if not key.startswith("_") and key not in ("training", "mode_set") and before[name].get(key) is not value:
                return repr(f"{name}.{key}" if name else key)
    return None


def _kind(output: Any) -> str:
    """An output in words: `a tensor of shape (2, 3)`, `a tuple of 2`."""
    if isinstance(output, torch.Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, (tuple, list, dict)):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
