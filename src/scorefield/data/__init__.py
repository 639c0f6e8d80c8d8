"""Data: rows in memory or on disk, their layout for networks, the form in which they were given; files in and out."""

from .columns import Column, describe_columns
from .dependence import Dependence, dependence_of
from .errors import DataError, DataTypeError
from .files import check, contents, lost, read, takes, with_cells, write
from .foreign import native
from .formats import FORMATS, Format, Selection
from .frames import check_distinct
from .given_readings import flags_of, free_first
from .labels import group_codes, time_order
from .lattice import cells
from .overlap import Overlap, overlap_of
from .partial import (
    beyond,
    check_possible,
    gaps_to_fill,
    in_place_of,
    known_values,
    missing,
    packed_with_gaps,
    rows_with_gaps,
    unknown_column,
    warn_impossible,
)
from .ragged import Ragged
from .readings import Encoded, Readings
from .repeats import Repeats, repeats_of
from .rows import ArrayRows, FileRows, Rows
from .schema import Schema
from .summary import Summary, summarize
from .support import encoded, excluded, rows_and_excluded
from .text_form import TextForm

__all__ = [
    "FORMATS",
    "ArrayRows",
    "Column",
    "DataError",
    "DataTypeError",
    "Dependence",
    "Overlap",
    "Encoded",
    "FileRows",
    "Format",
    "Ragged",
    "Readings",
    "Repeats",
    "Rows",
    "Schema",
    "Selection",
    "Summary",
    "TextForm",
    "beyond",
    "cells",
    "check",
    "check_distinct",
    "check_possible",
    "contents",
    "dependence_of",
    "overlap_of",
    "describe_columns",
    "encoded",
    "excluded",
    "flags_of",
    "free_first",
    "group_codes",
    "gaps_to_fill",
    "in_place_of",
    "known_values",
    "lost",
    "missing",
    "native",
    "read",
    "repeats_of",
    "rows_and_excluded",
    "packed_with_gaps",
    "rows_with_gaps",
    "summarize",
    "takes",
    "time_order",
    "unknown_column",
    "warn_impossible",
    "with_cells",
    "write",
]
