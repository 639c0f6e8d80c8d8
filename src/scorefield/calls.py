"""Objects written as calls: `heun`, `ddim(eta=1)`, `heun(steps=18, schedule=karras(rho=5))`. Nothing is evaluated."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from .renames import ARGUMENTS, NAMES
from .spec import path_of

__all__ = ["parse_call", "parse_call_with", "plain_value", "split_call", "write_call"]

_NUMBERS: dict[Any, tuple[Any, str]] = {int: (int, "a whole number"), float: (int | float, "a number")}
_CONSTANTS = {"inf": math.inf, "true": True, "false": False, "none": None}


def parse_call_with(
    text: str, base: type, extra: Mapping[str, type], renamed: Mapping[str, str] | None = None
) -> tuple[Any, dict[str, Any]]:
    """An object written as a call, and further arguments of the call, which belong to what is around the object.

    Names are those that the package offers, in capitals or not, whole or a part that no other has. Arguments are
    literals and other such calls.

    Arguments:
        text: The call.
        base: The class that the object is an instance of.
        extra: The further arguments: their names and types.
        renamed: Old names of these arguments, which still work with a warning.

    Raises:
        ValueError: If the call cannot be read, or a class refuses its arguments.

    Example:
        >>> from scorefield.samplers import Sampler
        >>> parse_call_with("ddim(eta=1, steps=20)", Sampler, {"steps": int})
        (DDIM(eta=1), {'steps': 20})
    """
    call = _call(_parsed(text, base.__name__.lower()))
    for keyword in call.keywords:
        if (new := (renamed or {}).get(str(keyword.arg))) is not None:
            warnings.warn(f"{keyword.arg}= is now {new}=: write {new}= in {text!r}", DeprecationWarning, stacklevel=3)
            keyword.arg = new
    named = [(str(k.arg), k.value) for k in call.keywords if k.arg in extra]
    if len({name for name, _ in named}) < len(named):
        raise ValueError(f"{text} gives an argument twice: give it once")
    further = {name: _value(name, node, extra[name]) for name, node in named}
    own = ast.Call(call.func, call.args, [k for k in call.keywords if k.arg not in extra])
    return _made(own, base, tuple(extra)), further


def parse_call(
    text: str, base: type, read: Callable[[str], Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Any:
    """The object that is written as a name or a call.

    Arguments:
        text: The call.
        base: The class that the object is an instance of.
        read: What a string among the arguments stands for: the content of a file, say.
        defaults: Values by the names of arguments: where the call, or one inside of it, leaves such an argument out.

    Raises:
        ValueError: If the call cannot be read, or a class refuses its arguments.

    Example:
        >>> from scorefield.processes import Process
        >>> parse_call("vp(beta_max=10)", Process)
        VP(beta_min=0.1, beta_max=10, start=1e-05)
        >>> parse_call("edm", Process, defaults={"sigma_max": 50.0})
        EDM(sigma_min=0.002, sigma_max=50.0, rho=7.0)
    """
    tree = _parsed(text, base.__name__.lower())
    if read is not None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = read(node.value)
    return _made(_call(tree), base, defaults=defaults)


def plain_value(text: str) -> int | float | str:
    """A whole number or a number, if a text is one; else the text, as where digits are grouped by the underscores of Python.

    Example:
        >>> plain_value("3"), plain_value("1e-3"), plain_value("sea"), plain_value("1_000")
        (3, 0.001, 'sea', '1_000')
    """
    for kind in () if "_" in text else (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def split_call(text: str, word: str) -> list[str]:
    """The calls that are written with | between them.

    Arguments:
        text: The calls.
        word: What one of them is, for messages.

    Raises:
        ValueError: If the text cannot be read.

    Example:
        >>> split_call("blur(width=2) | downsample", "operator")
        ['blur(width=2)', 'downsample']
    """
    node, found = _parsed(text, word), []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(ast.unparse(node.right))
        node = node.left
    return [ast.unparse(node), *found[::-1]]


def _parsed(text: str, word: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"cannot read the {word} {text!r} ({why}): write name or name(key=value, …)") from None


def _kinds(base: type) -> dict[str, type]:
    """The concrete subclasses that the package offers, by their names in small letters."""
    home = importlib.import_module(path_of(base).rpartition(".")[0])
    modules = [home, importlib.import_module("scorefield.posterior"), importlib.import_module("scorefield.mcmc")]
    members = {name: kind for module in modules for name, kind in vars(module).items() if inspect.isclass(kind)}
    offered = {name: kind for name, kind in members.items() if issubclass(kind, base)}
    return dict(sorted((name.lower(), kind) for name, kind in offered.items() if not inspect.isabstract(kind)))


def _call(node: ast.expr) -> ast.Call:
    """A call as it is, a name as a call without arguments."""
    if isinstance(node, ast.Name):
        return ast.Call(node, [], [])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(k.arg for k in node.keywords):
        return node
    raise ValueError(f"{ast.unparse(node)} is not a name or a call: write name or name(key=value, …)")


def _named(name: str, base: type) -> type:
    """The class of that name, or the only one whose name contains it."""
    kinds, word = _kinds(base), base.__name__.lower()
    renamed = {
        kinds[new.rpartition(".")[2].lower()] for new in _renamed(name) if new.rpartition(".")[2].lower() in kinds
    }
    found = [name.lower()] if name.lower() in kinds else [n for n in kinds if name.lower() in n]
    if len(renamed) == 1 and name.lower() not in kinds and {kinds[n] for n in found} != renamed:
        (kind,) = renamed
        warnings.warn(f"{name} is now {kind.__name__}: write {kind.__name__.lower()}", DeprecationWarning, stacklevel=2)
        return kind
    if len(found) == 1:
        return kinds[found[0]]
    close = found or difflib.get_close_matches(name.lower(), kinds, 1)
    hint = f"did you mean {' or '.join(kinds[n].__name__ for n in close)}?" if close else "choose one of these."
    raise ValueError(f"unknown {word} {name!r}: {hint} Known: {', '.join(k.__name__ for k in kinds.values())}")


def _renamed(name: str) -> list[str]:
    """Today's paths of what had that name in an earlier version."""
    return [new for old, new in NAMES.items() if old.rpartition(".")[2].lower() == name.lower()]


def _made(call: ast.Call, base: type, also: tuple[str, ...] = (), defaults: Mapping[str, Any] | None = None) -> Any:
    """The object that a call makes; `also` are further arguments that the call may have, for messages."""
    kind = _named(call.func.id, base)  # type: ignore[attr-defined]
    parameters, hints = inspect.signature(kind).parameters, get_type_hints(kind)
    known, title = [*parameters, *also], kind.__name__
    olds = {old: new for (owner, old), new in ARGUMENTS.items() if owner.rpartition(".")[2] == title}
    for keyword in (k for k in call.keywords if k.arg in olds):
        new = olds[str(keyword.arg)]
        warnings.warn(f"{title}: {keyword.arg} is now {new}: write {new}", DeprecationWarning, stacklevel=2)
        keyword.arg = new
    if len(call.args) > len(parameters):
        raise ValueError(f"{title} takes {_listed(list(parameters))}, got {len(call.args)} values")
    pairs = [*zip(parameters, call.args), *((str(k.arg), k.value) for k in call.keywords)]
    for name in (name for name, _ in pairs if name not in known):
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else "leave it out"
        raise ValueError(f"{title} takes {_listed(known)}, got {name!r}: {hint}")
    arguments = {name: _value(name, node, hints.get(name), defaults) for name, node in pairs}
    given = len(arguments)
    arguments = {name: value for name, value in (defaults or {}).items() if name in parameters} | arguments
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise ValueError(f"{title} needs {_listed(missing)}: write {title.lower()}({missing[0]}=…)")
    if given < len(pairs):
        raise ValueError(f"{ast.unparse(call)} gives an argument twice: give it once")
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ValueError(f"{ast.unparse(call)} has a value of the wrong kind: {error}") from error


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def _value(name: str, node: ast.expr, hint: Any, defaults: Mapping[str, Any] | None = None) -> Any:
    """The value of an argument: the object that a call makes where the type is an abstract class, else a literal."""
    bases = [kind for kind in (hint, *get_args(hint)) if inspect.isclass(kind) and inspect.isabstract(kind)]
    if bases and not (isinstance(node, ast.Constant) and node.value is None):
        return _made(_call(node), bases[0], defaults=defaults)
    value = _literal(node)
    if hint in _NUMBERS and (isinstance(value, bool) or not isinstance(value, _NUMBERS[hint][0])):
        raise ValueError(f"{name} is {_NUMBERS[hint][1]}, got {value!r}")
    return value


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(map(_literal, node.elts))
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{ast.unparse(node)} is not a value: write a number, or what the class takes") from None


def write_call(value: Any, **extra: Any) -> str:
    """An object as the call that makes it, for `parse_call_with`, without arguments that have their default value.

    Arguments:
        value: A number, a string, a sequence, or an object whose class is a dataclass.
        extra: Further arguments of the call; None leaves one out.

    Example:
        >>> from scorefield.samplers import DDIM
        >>> write_call(DDIM(eta=1.0), steps=20)
        'DDIM(eta=1, steps=20)'
    """
    if isinstance(value, tuple | list):
        return f"({', '.join(map(write_call, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if value is None or isinstance(value, str | int):
        return repr(value)
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    arguments = {f.name: kept for f in fields if f.init and (kept := getattr(value, f.name)) != f.default}
    arguments |= {name: kept for name, kept in extra.items() if kept is not None}
    name = type(value).__name__
    return f"{name}({', '.join(f'{n}={write_call(v)}' for n, v in arguments.items())})" if arguments else name
