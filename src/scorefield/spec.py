"""Objects as plain data: the constructor is the configuration.

One contract replaces registries: every argument of `__init__` is kept under its own name. Of this package, a file may
name values alone: modules (`torch.nn.Module`) and frozen dataclasses, whose constructors store and check. What opens files,
trains or draws is neither.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
from typing import Any

from torch import Tensor, nn

__all__ = ["arguments", "build", "describe", "path_of"]


def describe(value: Any, tensors: list[Tensor] | None = None) -> Any:
    """Turns an object into plain data, `{"class": …, "arguments": {…}}`, of which `build` makes an equal one.

    Arguments:
        value: Plain data, or an object that keeps the arguments of its constructor under their own names.
        tensors: Receives the tensors among the arguments; without it they are refused.

    Raises:
        TypeError: If an object does not keep its arguments, or is not a value that `build` would make.

    Example:
        >>> from scorefield.processes import EDM
        >>> describe(EDM(rho=5.0))["arguments"]
        {'sigma_min': 0.002, 'sigma_max': 80.0, 'rho': 5.0}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [describe(v, tensors) for v in value]
    if isinstance(value, Tensor) and tensors is not None:
        tensors.append(value.detach())
        return {"tensor": len(tensors) - 1}
    cls = type(value)
    if "." in cls.__qualname__:
        raise TypeError(f"{cls.__qualname__} cannot be described: move the class to the top of its module")
    if not _is_value(cls):
        raise TypeError(f"{cls.__qualname__} cannot be described: it is neither a module nor a frozen dataclass")
    names = arguments(cls)
    missing = ["*"] if names is None else [n for n in names if not hasattr(value, n)]
    if names is None or missing:
        what = f"it does not keep its arguments {missing} as attributes"
        raise TypeError(f"{cls.__qualname__} cannot be described: {what}")
    kept = {n: describe(getattr(value, n), tensors) for n in names}
    return {"class": path_of(cls), "arguments": kept}


def path_of(cls: type) -> str:
    """Where a class is found: in the outermost package that offers it, so that a file outlives moves inside.

    Example:
        >>> from scorefield.denoisers import EDMPrediction
        >>> path_of(EDMPrediction)
        'scorefield.denoisers.EDMPrediction'
    """
    place = cls.__module__
    while (outer := place.rpartition(".")[0]) and vars(sys.modules[outer]).get(cls.__qualname__) is cls:
        place = outer
    return f"{place}.{cls.__qualname__}"


def arguments(cls: type) -> list[str] | None:
    """The names of the arguments of a constructor; None if it takes any number of them, or is Python's own."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return None
    if cls.__module__ == "builtins" or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return None
    return [p.name for p in parameters]


def build(
    value: Any, trusted: tuple[str, ...] = ("scorefield",), tensors: list[Tensor] | None = None, external: Any = None
) -> Any:
    """The inverse of `describe`; lists come back as tuples.

    Arguments:
        value: What `describe` returned.
        trusted: The packages whose classes may be built.
        tensors: The tensors that `describe` gathered.
        external: Stands in the place of `{"external": …}`, an object that could not be described.

    Raises:
        ValueError: If a class is not of a trusted package, is not a class of it any more, or is not a value; or if its
            arguments do not fit.

    Example:
        >>> build({"class": "os.system", "arguments": {}})
        Traceback (most recent call last):
            ...
        ValueError: os.system is not of the trusted packages ('scorefield',): pass trusted=(…, 'os') if you trust it
    """
    if isinstance(value, list):
        return tuple(build(v, trusted, tensors, external) for v in value)
    if not isinstance(value, dict):
        return value
    if set(value) == {"tensor"}:
        return _pick(tensors or [], value["tensor"])
    if set(value) == {"external"}:
        if external is None:
            what = f"the numbers of a {value['external']}, not how to build it"
            raise ValueError(f"the file holds {what}: pass network=…")
        return external
    if set(value) != {"class", "arguments"} or [type(value[k]) for k in ("class", "arguments")] != [str, dict]:
        raise ValueError(f"a description needs 'class', a name, and 'arguments', a dict; got {str(value)[:80]}")
    cls = _find(value["class"], trusted)
    kept = {k: build(v, trusted, tensors, external) for k, v in value["arguments"].items()}
    try:
        return cls(**kept)
    except TypeError as error:
        raise ValueError(f"{value['class']} does not take these arguments: {error}") from error


def _pick(tensors: list[Tensor], number: Any) -> Tensor:
    if not isinstance(number, int) or not 0 <= number < len(tensors):
        raise ValueError(f"a description asks for tensor {number!r} of {len(tensors)}: the file is not whole")
    return tensors[number]


def _find(path: str, trusted: tuple[str, ...]) -> type:
    module, _, name = path.rpartition(".")
    package = module.split(".")[0]
    if package not in trusted:
        hint = f"pass trusted=(…, {package!r}) if you trust it"
        raise ValueError(f"{path} is not of the trusted packages {trusted}: {hint}")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there is no {path} here: the file may come from another version") from error
    if not isinstance(cls, type) or cls.__module__.split(".")[0] != package:
        raise ValueError(f"{path} is not a class of {package}")
    if not _is_value(cls):
        raise ValueError(f"{path} is not a module or a frozen dataclass: a model file may not name it")
    return cls


def _is_value(cls: type) -> bool:
    """Whether a file may name a class of this package; those of other packages are trusted whole, or not at all."""
    if cls.__module__.split(".")[0] != __name__.split(".")[0] or issubclass(cls, nn.Module):
        return True
    frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return frozen and not cls.__name__.startswith("_")
