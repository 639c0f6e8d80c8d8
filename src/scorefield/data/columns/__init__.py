"""The columns of tables: what each holds, as a plain value that turns it into numbers and back."""

from .base import Column

__all__ = ["Column"]
