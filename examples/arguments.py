"""The options that examples share.

They import it; it has no command line.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path


def arguments(about: str, output: str) -> ArgumentParser:
    """A parser that describes a script as its docstring does, with an option for where its figure goes."""
    parser = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(output), help="the figure")
    return parser
