"""Data: rows in memory or on disk, their layout for networks, the form in which they were given; files in and out."""

from .columns import Column, describe_columns
from .errors import DataError, DataTypeError
from .files import check, contents, lost, read, write
from .formats import FORMATS, Format, Selection
from .lattice import cells
from .partial import known_values, missing
from .rows import ArrayRows, FileRows, Rows
from .schema import Schema
from .summary import Summary, summarize

__all__ = [
    "FORMATS",
    "ArrayRows",
    "Column",
    "DataError",
    "DataTypeError",
    "FileRows",
    "Format",
    "Rows",
    "Schema",
    "Selection",
    "Summary",
    "cells",
    "check",
    "contents",
    "describe_columns",
    "known_values",
    "lost",
    "missing",
    "read",
    "summarize",
    "write",
]
