"""The columns of tables: what each holds, as a plain value that turns it into numbers and back."""

from .affixed import Affixed, NumberFormat
from .base import Column
from .category import Category
from .clock_time import ClockFormat, ClockTime
from .constant import Constant
from .date import Date
from .infer import describe_columns, infer
from .number import Number

__all__ = ["Affixed", "Category", "ClockTime", "ClockFormat", "Column", "Constant", "Date", "Number", "NumberFormat"]
__all__ += ["describe_columns", "infer"]
