"""The units of data: maps between data and the states that models work on."""

from .base import Units
from .column_map import ColumnMap
from .columns import ColumnUnits
from .standardize import Standardize

__all__ = ["ColumnMap", "ColumnUnits", "Standardize", "Units"]
