"""How a sampler is written on the command line: `heun`, `ddim(eta=1)`, `heun(steps=18, grid=karras(rho=5))`."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from ..comparison import Way

__all__ = ["made", "parts", "way"]

_ALSO = ("steps", "grid")  # what every way has beside the arguments of its sampler
_NUMBERS: dict[Any, tuple[Any, str]] = {int: (int, "a whole number"), float: (int | float, "a number")}
_CONSTANTS = {"inf": math.inf, "true": True, "false": False, "none": None}


def way(text: str, steps: int | None = None) -> Way:
    """The way from noise to data that is written as a sampler's name, or as a call of it. Nothing is evaluated.

    Names are those of `scorefield.samplers`, in capitals or not, whole or a part that no other has. Arguments are literals and
    other such calls. Every sampler takes two more: `steps`, and `grid`, a call of a name of `scorefield.schedules`.

    Arguments:
        text: The call.
        steps: The number of steps where the call says none.

    Raises:
        ValueError: If it is not understood, or a class refuses its arguments.

    Example:
        >>> way("ddim(eta=1, steps=20)")
        Way(sampler=DDIM(eta=1), steps=20, grid=None)
    """
    from .. import samplers, schedules
    from ..comparison import Way

    call = _call(_parsed(text))
    also = {k.arg: k.value for k in call.keywords if k.arg in _ALSO}
    rest = ast.Call(call.func, call.args, [k for k in call.keywords if k.arg not in _ALSO])
    sampler = _made(rest, samplers.Sampler, _ALSO)
    if "steps" in also:
        steps = _value("steps", also["steps"], int)
    if "grid" not in also:
        return Way(sampler, steps)
    where = _made(_call(also["grid"]), schedules.Schedule)
    return Way(sampler, steps if "steps" in also or where.steps is None else None, where)


def made(text: str, base: type, read: Callable[[str], Any] | None = None) -> Any:
    """The object of a kind that is written as a name or a call, like samplers.

    Arguments:
        text: The call.
        base: The kind: one of the classes beside which it stands, or of the package that offers it.
        read: What a string among the arguments stands for: a file, say.

    Raises:
        ValueError: If it is not understood, or a class refuses its arguments.
    """
    tree = _parsed(text, base.__name__.lower())
    if read is not None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = read(node.value)
    return _made(_call(tree), base)


def parts(text: str, word: str) -> list[str]:
    """What is written with | between its parts.

    Arguments:
        text: The parts.
        word: What one is, for messages.

    Example:
        >>> parts("blur(width=2) | downsample", "operator")
        ['blur(width=2)', 'downsample']
    """
    node, found = _parsed(text, word), []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(ast.unparse(node.right))
        node = node.left
    return [ast.unparse(node), *found[::-1]]


def _parsed(text: str, word: str = "sampler") -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        why = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{text!r} is no {word} ({why}): write name or name(key=value, …)") from None


def _kinds(base: type) -> dict[str, type]:
    """The classes of a kind that its module, or the package around it, offers: by their names in small letters."""
    from ..spec import path_of

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
    """The class of a name, or the one whose name it is part of."""
    kinds, word = _kinds(base), base.__name__.lower()
    found = [name.lower()] if name.lower() in kinds else [n for n in kinds if name.lower() in n]
    if len(found) == 1:
        return kinds[found[0]]
    close = found or difflib.get_close_matches(name.lower(), kinds, 1)
    hint = f"did you mean {' or '.join(kinds[n].__name__ for n in close)}?" if close else "choose one of these"
    raise ValueError(f"there is no {word} {name!r} among {', '.join(k.__name__ for k in kinds.values())}: {hint}")


def _made(call: ast.Call, base: type, also: tuple[str, ...] = ()) -> Any:
    """The object of a kind that a call makes; `also` are arguments that it may have had besides."""
    kind = _named(call.func.id, base)  # type: ignore[attr-defined]
    parameters, hints = inspect.signature(kind).parameters, get_type_hints(kind)
    known, title = [*parameters, *also], kind.__name__
    if len(call.args) > len(parameters):
        raise ValueError(f"{title} takes {_listed(list(parameters))}, got {len(call.args)} values")
    pairs = [*zip(parameters, call.args), *((str(k.arg), k.value) for k in call.keywords)]
    for name in (name for name, _ in pairs if name not in known):
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else "leave it out"
        raise ValueError(f"{title} takes {_listed(known)}, got {name!r}: {hint}")
    given = {name: _value(name, node, hints.get(name)) for name, node in pairs}
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in given]
    if missing:
        raise ValueError(f"{title} needs {_listed(missing)}: write {title.lower()}({missing[0]}=…)")
    if len(given) < len(pairs):
        raise ValueError(f"{ast.unparse(call)} says something twice: say it once")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{ast.unparse(call)} has a value of the wrong kind: {error}") from error


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


def _value(name: str, node: ast.expr, hint: Any) -> Any:
    """The value of an argument: what a call makes where the hint is a kind of objects of ours, else a literal."""
    bases = [kind for kind in (hint, *get_args(hint)) if inspect.isclass(kind) and inspect.isabstract(kind)]
    if bases and not (isinstance(node, ast.Constant) and node.value is None):
        return _made(_call(node), bases[0])
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
        raise ValueError(f"{ast.unparse(node)} is no value: write a number, or what the sampler takes") from None
