"""Constraints as text: Python reads the expression, only what is allowed passes, and nothing of it is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

__all__ = ["MissingValue", "Quoted", "Rule", "parsed"]

Quoted = Mapping[str, tuple[bool, str]]
"""What stood in quotes, by what stands in its place: whether it is the name of a column, and the text."""


class MissingValue(ast.expr):
    """Whether the value of a column is missing: `missing(x)` in the text."""

    _fields = ("column",)

    def __init__(self, column: ast.Name) -> None:
        super().__init__()
        self.column = column


_QUOTED = re.compile(r"`([^`]+)`|'([^']*)'|\"([^\"]*)\"")
_IMPLICATION = re.compile(r"\s*if\b(.*)\bthen\b(.*)", re.DOTALL)
_LONE_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
_SIGNS = str.maketrans({"≤": "<=", "≥": ">=", "≠": "!=", "−": "-", "·": "*"})
_ALLOWED: tuple[type[ast.AST], ...] = (
    ast.BoolOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BinOp,
    ast.Name,
    ast.Constant,
    ast.Tuple,
)
_ALLOWED += (ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Load)
_ALLOWED += (MissingValue, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)


@dataclass(frozen=True)
class Rule:
    """A constraint as it was read: `quoted` are the names and texts that stood in quotes, by what stands in their place."""

    claim: ast.expr
    condition: ast.expr | None = None
    unique: bool = False
    quoted: Quoted = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        found: list[tuple[bool, str]] = []
        for part in (self.condition, self.claim):
            nodes = [node for node in ast.walk(part) if isinstance(node, ast.Name)] if part is not None else []
            found += [self.quoted.get(n.id, (True, n.id)) for n in sorted(nodes, key=lambda n: n.col_offset)]
        return tuple(dict.fromkeys(name for is_name, name in found if is_name))

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the columns that it takes to be missing or not."""
        parts = [part for part in (self.condition, self.claim) if part is not None]
        found = [node.column.id for part in parts for node in ast.walk(part) if isinstance(node, MissingValue)]
        return tuple(dict.fromkeys(self.quoted.get(name, (True, name))[1] for name in found))


@cache
def parsed(text: str) -> Rule:
    """Reads a constraint: Python reads the expression, and only the parts that are allowed pass."""
    quoted: dict[str, tuple[bool, str]] = {}

    def shelve(match: re.Match[str]) -> str:
        key = f"quoted_{len(quoted)}__".ljust(len(match.group()), "_")
        quoted[key] = (match.group(1) is not None, next(g for g in match.groups() if g is not None))
        return key

    plain = _QUOTED.sub(shelve, text).translate(_SIGNS)
    implication = _IMPLICATION.fullmatch(plain)
    if implication is None:
        claim = _expression(plain.strip(), text, quoted)
        if isinstance(claim, ast.Call):
            return Rule(_unique(claim, text, quoted), unique=True, quoted=quoted)
        return Rule(_checked(claim, text), quoted=quoted)
    condition, claim = (_expression(" " * (part == 2) + implication[part].strip(), text, quoted) for part in (1, 2))
    return Rule(_checked(claim, text), _checked(condition, text), quoted=quoted)


def _expression(plain: str, text: str, quoted: Quoted) -> ast.expr:
    try:
        found: ast.expr = _Missing(quoted).visit(ast.parse(plain.strip(), mode="eval").body)
        return found
    except (SyntaxError, ValueError):
        advice = 'write comparisons of columns, such as "start <= end", and names that are not a word in backticks'
        if _LONE_EQUALS.search(plain):
            advice = "write == for equality"
        raise ValueError(f"the constraint {text!r} cannot be read: {advice}") from None


class _Missing(ast.NodeTransformer):
    """Puts `MissingValue` in the place of calls of `missing` with the name of a column."""

    def __init__(self, quoted: Quoted) -> None:
        self.quoted = quoted

    def visit_Call(self, node: ast.Call) -> ast.expr:
        named = isinstance(node.func, ast.Name) and node.func.id == "missing"
        argument = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if not named or not isinstance(argument, ast.Name) or not self.quoted.get(argument.id, (True, ""))[0]:
            return node
        return ast.copy_location(MissingValue(column=argument), node)


def _checked(tree: ast.expr, text: str) -> ast.expr:
    """The expression, if it is made of what is allowed and says something that is true or false."""
    for node in ast.walk(tree):
        number = not isinstance(node, ast.Constant) or isinstance(node.value, int | float)
        if not isinstance(node, _ALLOWED) or not number:
            what = {ast.Attribute: "a name with a dot", ast.Call: "a call"}.get(
                type(node), "a part that is not allowed"
            )
            advice = "comparisons, + - * /, and, or, not, in, if … then …, missing(x); names that are not a word in backticks"
            raise ValueError(f"the constraint {text!r} has {what}: use {advice}")
    if isinstance(tree, ast.BinOp | ast.Constant | ast.Tuple):
        raise ValueError(f'the constraint {text!r} is not true or false: compare it, such as "a + b <= total"')
    return tree


def _unique(call: ast.Call, text: str, quoted: Quoted) -> ast.expr:
    """The columns of `unique(a, b)`."""
    names = [a for a in call.args if isinstance(a, ast.Name) and quoted.get(a.id, (True, ""))[0]]
    is_unique = isinstance(call.func, ast.Name) and call.func.id == "unique"
    if not is_unique or call.keywords or not names or len(names) < len(call.args):
        raise ValueError(
            f"the constraint {text!r} is not one that is known: unique(a, b) takes names of columns, missing(a) one name"
        )
    return ast.copy_location(ast.Tuple(elts=list(names), ctx=ast.Load()), call)
