"""The columns of tables: what each holds, as a plain value that turns it into numbers and back."""

from .affixed import Affixed, NumberFormat
from .base import Column
from .category import Category
from .constant import Constant
from .date import Date
from .infer import describe_columns, infer
from .number import Number

__all__ = ["Affixed", "Category", "Column", "Constant", "Date", "Number", "NumberFormat", "describe_columns", "infer"]
