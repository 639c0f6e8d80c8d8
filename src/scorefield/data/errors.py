"""Errors about data that already say, in one line, what was got and what to do."""

from __future__ import annotations

from ..reading import CompleteError, FileError as DataError, one_line

__all__ = ["DataError", "DataTypeError", "one_line"]


class DataTypeError(CompleteError, TypeError):
    """Data that are not numbers; the message is complete, so that nobody wraps it again."""
