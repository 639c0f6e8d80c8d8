"""Errors about data that already say, in one line, what was got and what to do."""

from __future__ import annotations

__all__ = ["DataError", "DataTypeError", "one_line"]


class DataError(ValueError):
    """Data or a file that cannot be used; the message is complete, so that nobody wraps it again."""


class DataTypeError(TypeError):
    """Data that are not numbers; the message is complete, so that nobody wraps it again."""


def one_line(error: BaseException, most: int = 200) -> str:
    """What an error says, in one line of at most `most` characters.

    Example:
        >>> one_line(KeyError())
        'KeyError'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 2]} …"
