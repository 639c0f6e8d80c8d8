"""Writes the notebooks from the tutorials that they are made of: `python docs/notebooks.py`.

A tutorial is the source, its notebook follows from it, and a test compares them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {"tutorial_tables.md": "tables.ipynb", "tutorial_inverse.md": "fields.ipynb"}


def notebook(page: str) -> str:
    """The notebook of a page, as JSON: its prose as Markdown, its Python as cells of code, without outputs."""
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    parts = re.split(r"^```python\n(.*?)^```\n", page, flags=re.MULTILINE | re.DOTALL)
    cells = [cell(i, part.strip(), code=bool(i % 2)) for i, part in enumerate(parts) if part.strip()]
    content = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def cell(number: int, text: str, code: bool) -> dict[str, object]:
    found: dict[str, object] = {"cell_type": "code" if code else "markdown", "id": f"cell-{number}", "metadata": {}}
    if code:
        found |= {"execution_count": None, "outputs": []}
    else:
        text = re.sub(r"\]\((?!http|\.\.)([^)]+)\)", r"](../docs/\1)", text).replace("](../notebooks/", "](")
    return {**found, "source": text.splitlines(keepends=True)}


def main() -> None:
    for page, name in NOTEBOOKS.items():
        path = ROOT / "notebooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(notebook((ROOT / "docs" / page).read_text()))
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
