"""Constraints that a user declares: what every row of a table satisfies, and every sample shall satisfy."""

from .constraint import Constraint, check_rows
from .drawing import Rules, ValidDraws, draw_valid
from .skipped import to_be_missing

__all__ = ["Constraint", "Rules", "ValidDraws", "check_rows", "draw_valid", "to_be_missing"]
