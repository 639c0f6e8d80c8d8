"""The units of data: maps between data and the states that models work on."""

from .base import Units
from .elimination import Equation
from .finding_relations import find_relations
from .relations import Related, Relation, Relations
from .standardize import Standardize

__all__ = ["Equation", "Related", "Relation", "Relations", "Standardize", "Units", "find_relations"]
