"""The columns of tables: what each holds, as a plain value that turns it into numbers and back."""

from .base import Column
from .category import Boolean, Category
from .constant import Constant
from .date import Date
from .infer import describe_columns, infer
from .number import Number

__all__ = ["Boolean", "Category", "Column", "Constant", "Date", "Number", "describe_columns", "infer"]
