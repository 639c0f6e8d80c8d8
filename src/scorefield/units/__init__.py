"""The units of data: maps between data and the states that models work on."""

from .base import Units
from .channels import ChannelUnits
from .choose import UnitsChoice, choose_units
from .column_map import ColumnMap
from .columns import ColumnUnits
from .elimination import Equation
from .finding_functions import find_functions
from .finding_relations import find_relations, relations_with_gaps
from .forms import find_form
from .functions import ColumnFunction
from .partly_equal import PartlyEqual
from .readings import ReadingUnits
from .related import Related
from .relations import Relation, Relations
from .standardize import Standardize
from .wishes import Wish, Wishes

__all__ = [
    "ChannelUnits",
    "ColumnMap",
    "ColumnUnits",
    "Equation",
    "ColumnFunction",
    "PartlyEqual",
    "ReadingUnits",
    "Related",
    "Relation",
    "Relations",
    "Standardize",
    "Units",
    "UnitsChoice",
    "Wish",
    "Wishes",
    "choose_units",
    "find_form",
    "find_functions",
    "find_relations",
    "relations_with_gaps",
]
