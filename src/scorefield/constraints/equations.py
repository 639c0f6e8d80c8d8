"""Constraints that are linear equations, which samples can have by construction."""

from __future__ import annotations

import ast
from itertools import pairwise

from ..units import Equation
from .reading import Quoted

__all__ = ["equations"]

_Linear = tuple[dict[str, float], float]


def equations(node: ast.expr, names: list[object], quoted: Quoted) -> list[Equation] | None:
    """The equations of an expression, if it consists of linear ones; None otherwise."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        parts = [equations(value, names, quoted) for value in node.values]
        return None if any(p is None for p in parts) else [e for p in parts for e in p or ()]
    if not isinstance(node, ast.Compare) or not all(isinstance(op, ast.Eq) for op in node.ops):
        return None
    sides = [_linear(side, quoted) for side in (node.left, *node.comparators)]
    found = []
    for a, b in pairwise(sides):
        if a is None or b is None:
            return None
        weights = {name: a[0].get(name, 0.0) - b[0].get(name, 0.0) for name in {**a[0], **b[0]}}
        known = {str(name) for name in names if name is not None}
        if not weights.keys() <= known or not any(weights.values()):
            return None
        found.append(Equation(tuple(weights.get(str(n), 0.0) if n is not None else 0.0 for n in names), b[1] - a[1]))
    return found


def _linear(node: ast.expr, quoted: Quoted) -> _Linear | None:
    """Coefficients by name and a constant; None if an expression is not linear."""
    if isinstance(node, ast.Constant):
        return {}, float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        is_name, name = quoted.get(node.id, (True, node.id))
        return ({name: 1.0}, 0.0) if is_name else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _linear(node.operand, quoted)
        return None if inner is None else _scaled(inner, -1.0)
    if not isinstance(node, ast.BinOp):
        return None
    a, b = _linear(node.left, quoted), _linear(node.right, quoted)
    if a is None or b is None:
        return None
    if isinstance(node.op, ast.Add | ast.Sub):
        b = _scaled(b, 1.0 if isinstance(node.op, ast.Add) else -1.0)
        return {name: a[0].get(name, 0.0) + b[0].get(name, 0.0) for name in {**a[0], **b[0]}}, a[1] + b[1]
    if isinstance(node.op, ast.Mult):
        return _scaled(b, a[1]) if not a[0] else _scaled(a, b[1]) if not b[0] else None
    return _scaled(a, 1 / b[1]) if not b[0] and b[1] else None


def _scaled(linear: _Linear, factor: float) -> _Linear:
    return {name: factor * weight for name, weight in linear[0].items()}, factor * linear[1]
