"""The units of data: maps between data and the states that models work on."""

from .base import Units
from .standardize import Standardize

__all__ = ["Standardize", "Units"]
