"""Objects as plain data: the constructor is the configuration.

One contract replaces registries: every argument of `__init__` is kept under its own name. Of this package, a file may
name values alone: modules (`torch.nn.Module`) and frozen dataclasses, whose constructors store and check; and each only where
an argument is of its type. A module has no argument for what opens files, trains or draws.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import typing
from typing import Any

from torch import Tensor, nn

__all__ = ["arguments", "arguments_of", "build", "describe", "path_of", "size_of"]

_DEEPEST, _MOST = 64, 500_000  # lists and objects in each other; values in all
_LARGEST = 2**22  # whole number that a module of this package takes: sizes, depths and counts


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
    names = arguments_of(value)
    kept = {n: describe(getattr(value, n), tensors) for n in names}
    return {"class": path_of(type(value)), "arguments": kept}


def arguments_of(value: Any) -> list[str]:
    """The names of the arguments that an object was made with, and keeps as attributes.

    Raises:
        TypeError: If it does not keep them, or is not a value that `build` would make.

    Example:
        >>> from scorefield.processes import VE
        >>> arguments_of(VE(0.1, 10.0))
        ['sigma_min', 'sigma_max']
    """
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
    if cls.__init__ is nn.Module.__init__ and (added := _added(value)):
        what = f"its class has no __init__ that makes {', '.join(added)}"
        raise TypeError(f"{cls.__qualname__} cannot be described: {what}")
    return names


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
    """The names of the arguments of a constructor; None if it takes any number of them, or is Python's own.

    A module without a constructor of its own has none: that of `torch.nn.Module` takes any number, and no argument.
    """
    if getattr(cls, "__init__", None) is nn.Module.__init__:
        return []
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return None
    if cls.__module__ == "builtins" or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return None
    return [p.name for p in parameters]


def _added(module: nn.Module) -> list[str]:
    """The names of what was put into a module from outside, which its class would not make again."""
    usual = vars(nn.Module())
    parts = [name for kind in ("_parameters", "_buffers", "_modules") for name in vars(module)[kind]]
    return sorted({*parts, *(vars(module).keys() - usual.keys())})


def build(
    value: Any,
    trusted: tuple[str, ...] = ("scorefield",),
    tensors: list[Tensor] | None = None,
    external: Any = None,
    kind: Any = None,
) -> Any:
    """The inverse of `describe`; lists come back as tuples.

    Arguments:
        value: What `describe` returned.
        trusted: The packages whose classes may be built.
        tensors: The tensors that `describe` gathered.
        external: Stands in the place of `{"external": …}`, an object that could not be described.
        kind: The type of what is built; of any without it. Of arguments it is what their constructors say.

    Raises:
        ValueError: If a class is not of a trusted package, is not a class of it any more, is not a value, or not of the type
            that belongs in its place; if its arguments do not fit, or the description is too large or too deep, or
            has a size beyond 4,194,304.

    Example:
        >>> build({"class": "os.system", "arguments": {}})
        Traceback (most recent call last):
            ...
        ValueError: os.system is not of the trusted packages ('scorefield',): pass trusted=('scorefield', 'os') if you trust it
    """
    size_of(value)
    return _Builder(trusted, tensors or [], external).build(value, kind, "a description")


def size_of(value: Any) -> int:
    """How many values a description holds.

    Raises:
        ValueError: If it holds more than 500,000, or they lie more than 64 deep in each other.

    Example:
        >>> size_of({"class": "a.B", "arguments": {"c": [1, 2]}})
        6
    """
    todo, count = [(value, 0)], 0
    while todo:
        each, depth = todo.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST:
            what = f"more than {_DEEPEST} deep in each other" if depth > _DEEPEST else f"more than {_MOST:,}"
            raise ValueError(f"a description holds values {what}: it is not a model that was written by scorefield")
        inside = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        todo += [(part, depth + 1) for part in inside]
    return count


@dataclasses.dataclass(frozen=True)
class _Builder:
    trusted: tuple[str, ...]
    tensors: list[Tensor]
    external: Any

    def build(self, value: Any, kind: Any, place: str) -> Any:
        """Builds a value of the type that belongs in a place."""
        if isinstance(value, list):
            return tuple(self.build(v, kind, place) for v in value)
        if not isinstance(value, dict):
            return value
        if set(value) == {"tensor"}:
            return _pick(self.tensors, value["tensor"])
        if set(value) == {"external"}:
            if self.external is None:
                what = f"the numbers of a {value['external']}, not how to build it"
                raise ValueError(f"the file holds {what}: pass network=…")
            return self.external
        if set(value) != {"class", "arguments"} or [type(value[k]) for k in ("class", "arguments")] != [str, dict]:
            raise ValueError(f"a description needs 'class', a name, and 'arguments', a dict; got {str(value)[:80]}")
        cls = _find(value["class"], self.trusted)
        allowed = None if kind is None else _classes(kind)
        if allowed is not None and not any(_is_one(cls, each) for each in allowed):
            need = " or ".join(sorted(each.__name__ for each in allowed)) or "plain data"
            raise ValueError(f"{place} takes {need}, not {value['class']}: a model file may not name it there")
        kinds = _kinds(cls)
        kept = {k: self.build(v, kinds.get(k), f"{cls.__name__}({k}=…)") for k, v in value["arguments"].items()}
        if _is_own(cls) and issubclass(cls, nn.Module):
            _check_sizes(cls, kept)
        try:
            return cls(**kept)
        except (TypeError, AttributeError) as error:
            why = " ".join(str(error).split())[:300]
            raise ValueError(f"{value['class']} does not take these arguments: {why}") from error


def _kinds(cls: type) -> dict[str, Any]:
    """The types of the arguments of a constructor, as far as it says them."""
    try:
        return typing.get_type_hints(cls if dataclasses.is_dataclass(cls) else cls.__init__)  # type: ignore[misc]
    except NameError:
        if _is_own(cls):
            raise
        return {}


def _classes(kind: Any) -> tuple[type, ...]:
    """The classes that a type names: those of a union, of a sequence, …"""
    if isinstance(kind, type) and not typing.get_args(kind):
        return (kind,)
    return tuple(dict.fromkeys(each for part in typing.get_args(kind) for each in _classes(part)))


def _check_sizes(cls: type, kept: dict[str, Any]) -> None:
    """Whether the whole numbers that a module takes can be sizes: loops over larger ones do not end."""
    for name, value in kept.items():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, int) and abs(each) > _LARGEST:
                raise ValueError(f"{cls.__name__}({name}=…) takes whole numbers up to {_LARGEST:,}, got {each:.3g}")


def _pick(tensors: list[Tensor], number: Any) -> Tensor:
    if not isinstance(number, int) or not 0 <= number < len(tensors):
        raise ValueError(f"a description asks for tensor {number!r} of {len(tensors)}: the file is not whole")
    return tensors[number]


def _find(path: str, trusted: tuple[str, ...]) -> type:
    module, _, name = path.rpartition(".")
    package = module.split(".")[0]
    if package not in trusted:
        hint = f"pass trusted={(*trusted, package)} if you trust it"
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


def _is_one(cls: type, kind: type) -> bool:
    """Whether objects of a class are of a type; of a protocol, if they have its methods."""
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(cls, name) for name in vars(kind) if not name.startswith("_"))
    return issubclass(cls, kind)


def _is_own(cls: type) -> bool:
    return cls.__module__.split(".")[0] == __name__.split(".")[0]


def _is_value(cls: type) -> bool:
    """Whether a file may name a class of this package; those of other packages are trusted whole, or not at all."""
    if not _is_own(cls) or issubclass(cls, nn.Module):
        return True
    frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return frozen and not cls.__name__.startswith("_")
