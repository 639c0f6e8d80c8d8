"""Limits on what a file may make a program do: how much memory is taken, and how much work is done, before it is believed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["BoundedTensors", "check_storage"]

_REDUCTION = getattr(torch.Tag, "reduction", None)  # not in older versions
_NO_LARGER = {torch.ops.aten.cat, torch.ops.aten.stack, torch.ops.aten._linalg_eigh}  # than twice what they are given
_LIKE = ("ones_like", "zeros_like", "empty_like", "full_like", "allclose", "normal_")
_EACH = {getattr(torch.ops.aten, name) for name in _LIKE}  # done to each number, though not marked so
_NUMBERS: dict[Any, Callable[..., int]] = {  # that an operation makes, by its arguments
    torch.ops.aten.linspace.default: lambda start, end, steps: steps,
    torch.ops.aten.repeat.default: lambda x, repeats: x.numel() * math.prod(repeats),
}
_WIDE = 8  # bytes of a number, which may be wider than those that it is made of
_MOST_VALUES = 100_000  # that a checkpoint of other code holds, apart from the numbers in its tensors


class BoundedTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, tensors are made up to a number of bytes in all, and operations up to a number.

    The shape of the result of each operation is found on the meta device, where nothing is allocated, before it is run.

    Arguments:
        bytes: How many bytes new tensors may take, together, whether they are kept or not.
        operations: How many operations may be run.

    Raises:
        ValueError: If there are more.

    Example:
        >>> with BoundedTensors(bytes=1000, operations=10):
        ...     torch.ones(10**12)
        Traceback (most recent call last):
            ...
        ValueError: tensors of 4e+12 bytes are asked for, more than 1000 can be needed here
    """

    def __init__(self, bytes: int, operations: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes, self.operations = bytes, operations
        self.made = self.run = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Of PyTorch: whether its compiler is imported, which takes over a second, to keep out of what is never compiled."""
        return False

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        self.run += 1
        if self.run > self.operations:
            raise ValueError(f"more than {self.operations} operations are asked for, more than can be needed here")
        self.made += _new_bytes(func, args, given)
        if self.made > self.bytes:
            what = f"tensors of {self.made:.3g} bytes are asked for"
            raise ValueError(f"{what}, more than {self.bytes} can be needed here")
        return func(*args, **given)


def _new_bytes(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """How many bytes an operation would allocate, or a little more; 0 where only its values tell.

    Of what is common the size is known without the meta device, whose operations import PyTorch's compiler: over a second.
    """
    given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    if func in _NUMBERS:
        return _WIDE * int(_NUMBERS[func](*args))
    if not given:
        return _on_meta(func, args, kwargs)
    if func.overloadpacket in _NO_LARGER or _REDUCTION in func.tags:
        return 2 * sum(each.numel() * max(each.element_size(), _WIDE) for each in given)
    if torch.Tag.pointwise in func.tags or func.overloadpacket in _EACH:
        return 0 if func._schema.is_mutable else _broadcast(given)
    return _on_meta(func, args, kwargs)


def _broadcast(given: list[Tensor]) -> int:
    """The bytes of what an operation makes of each number of tensors."""
    try:
        count = math.prod(np.broadcast_shapes(*(each.shape for each in given)))
    except ValueError:  # they do not fit each other, as the operation itself will say
        return 0
    return count * max(_WIDE, *(2 * each.element_size() for each in given))  # complex numbers of two real ones


def _on_meta(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """The bytes of new tensors, by the operation itself where nothing is allocated."""
    inputs = list[Tensor]()

    def shape_of(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("meta")
        if not isinstance(value, Tensor):
            return value
        inputs.append(torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta"))
        return inputs[-1]

    places, named = tree_map(shape_of, args), tree_map(shape_of, kwargs)
    if not inputs:
        named["device"] = torch.device("meta")
    try:
        found = func(*places, **named)
    except (RuntimeError, TypeError, NotImplementedError, ValueError):
        return 0
    old = {each.untyped_storage()._cdata for each in inputs}
    new = [each for each in tree_leaves(found) if isinstance(each, Tensor)]
    return sum(each.numel() * each.element_size() for each in new if each.untyped_storage()._cdata not in old)


def check_storage(content: Any, name: object = "the checkpoint") -> None:
    """Whether the tensors in a checkpoint hold as many numbers as they say, and there are not too many values.

    Arguments:
        content: Tensors, numbers and text in mappings and sequences.
        name: What they were read from, for messages.

    Raises:
        ValueError: If a tensor has more numbers than are stored for it, or there are too many values.

    Example:
        >>> check_storage({"weight": torch.zeros(1).expand(10**6)})
        Traceback (most recent call last):
            ...
        ValueError: the checkpoint has 4 bytes for a tensor of shape (1000000,): it is not whole, download it again
    """
    todo, known, count = [content], set[int](), 0
    while todo:
        value = todo.pop()
        count += 1
        if count > _MOST_VALUES:
            raise ValueError(f"{name} holds more than {_MOST_VALUES:,} values besides its tensors: more than it needs")
        if isinstance(value, Tensor):
            stored = value.untyped_storage().nbytes() if value.layout == torch.strided else 0
            if value.numel() * value.element_size() > stored:
                what = f"{name} has {stored} bytes for a tensor of shape {tuple(value.shape)}"
                raise ValueError(f"{what}: it is not whole, download it again")
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in known:
            known.add(id(value))
            todo += [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
