"""Pages of the site that follow from code: the API from docstrings, a page for each example, the help of the command line."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import scorefield

INCLUDED = {
    "benchmarks": "benchmarks/README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security_policy": "SECURITY.md",
}
"""Files outside of this folder that are pages of the site."""

CODE = ".. code-block:: text"
SECTIONS = ("Arguments:", "Attributes:", "Example:", "Raises:", "References:", "Returns:", "Yields:")


def write(root: Path, folder: Path) -> None:
    """Writes the pages of the API, the examples and the command line into `folder`, where they differ."""
    pages = {**api_pages(), **example_pages(root), "commands.md": command_page()}
    pages |= {f"{name}.md": copied(root, path) for name, path in INCLUDED.items()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in folder.rglob("*.*"):
        if str(path.relative_to(folder)) not in pages:
            path.unlink()


def copied(root: Path, path: str) -> str:
    """A page from elsewhere in the repository, with links that lead to where they led."""

    def moved(link: re.Match[str]) -> str:
        target = os.path.relpath((root / path).parent / link[1], root)
        own = {file: f"{name}.md" for name, file in INCLUDED.items()}
        if target in own:
            return f"]({own[target]}"
        if target.startswith("docs/"):
            return f"](../{target.removeprefix('docs/')}"
        return f"](../../{target}"

    return re.sub(r"\]\((?!http|#|mailto)([^)#]+)", moved, (root / path).read_text())


def linked(app: object, name: str, source: list[str]) -> None:
    """Links that lead out of this folder, to the pages that stand for their targets."""
    if name.startswith("_generated"):
        return
    for page, path in INCLUDED.items():
        source[0] = source[0].replace(f"](../{path}", f"](_generated/{page}.md")
    source[0] = re.sub(r"\]\(\.\./examples/(\w+)\.py", r"](_generated/examples/\1.md", source[0])


def titled(title: str, *parts: str) -> str:
    return "\n\n".join([f"{title}\n{'=' * len(title)}", *parts]) + "\n"


def public_modules() -> list[str]:
    """The modules that `dir(scorefield)` lists, and those that they export."""
    found = [name for name in dir(scorefield) if inspect.ismodule(getattr(scorefield, name)) and name != "cli"]
    return [inner for name in found for inner in (name, *(f"{name}.{part}" for part in exports(name, modules=True)))]


def exports(name: str, modules: bool) -> list[str]:
    """The public names of a module: those of modules, or the others."""
    module = importlib.import_module(f"scorefield.{name}")
    return [each for each in module.__all__ if inspect.ismodule(getattr(module, each)) is modules]


def api_pages() -> dict[str, str]:
    pages, lines = {}, []
    for name in public_modules():
        module = importlib.import_module(f"scorefield.{name}")
        shown = exports(name, modules=False)
        body = f".. automodule:: scorefield.{name}\n   :members: {', '.join(shown)}\n   :imported-members:\n"
        if not shown:
            body = f".. automodule:: scorefield.{name}\n"
        pages[f"api/{name}.rst"] = titled(f"scorefield.{name}", body)
        lines.append(f"| [scorefield.{name}](api/{name}.rst) | {(module.__doc__ or '').split(chr(10))[0]} |")
    front = [name for name in scorefield.__all__ if not name.startswith("__")]
    tree = "\n".join(["```{toctree}", ":hidden:", "", *(f"api/{name}" for name in public_modules()), "```"])
    table = "\n".join(["| module | what is in it |", "| --- | --- |", *lines])
    start = "From the front door, `import scorefield`: " + ", ".join(f"`{name}`" for name in front) + "."
    pages["api.md"] = "\n\n".join(["# API reference", start, "Everything else is in the modules:", table, tree]) + "\n"
    return pages


def example_pages(root: Path) -> dict[str, str]:
    """A page for each script in `examples/`: what it says of itself, its figure where there is one, and its code."""
    pages, titles = {}, []
    for path in sorted((root / "examples").glob("*.py")):
        tree = ast.parse(path.read_text())
        about = ast.get_docstring(tree) or ""
        title, _, rest = about.partition("\n")
        rest = re.sub(r"^ *(python examples/.*)$", r"```console\n$ \1\n```", rest, flags=re.MULTILINE)
        rest = re.sub(r"(?<!\n)\n(```console)", r"\n\n\1", rest)
        first = (tree.body[0].end_lineno or 0) + 2 if about else 1  # of the code
        figure = root / "docs" / f"{path.stem}.png"
        parts = [f"# {title.rstrip('.')}", plain(rest.strip())]
        if figure.exists():
            parts.append(f"![{title.rstrip('.')}](../../{figure.name})")
        parts.append(f"```{{literalinclude}} ../../../examples/{path.name}\n:language: python\n:lines: {first}-\n```")
        pages[f"examples/{path.stem}.md"] = "\n\n".join(parts) + "\n"
        titles.append(path.stem)
    contents = "\n".join(["```{toctree}", ":maxdepth: 1", "", *(f"examples/{name}" for name in titles), "```"])
    intro = "Each script of `examples/` runs as it stands; what several share is in modules without a command line. "
    intro += "The [gallery](../gallery.md) shows what they make."
    pages["examples.md"] = f"# The scripts\n\n{intro}\n\n{contents}\n"
    return pages


def plain(text: str) -> str:
    """Prose of a docstring as Markdown: brackets and stars mean themselves, outside of code."""
    blocks = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)
    return "".join(part if part.startswith("`") else re.sub(r"([\[\]*_$<>])", r"\\\1", part) for part in blocks)


def command_page() -> str:
    """What `scorefield --help` and the help of each command say."""

    def said(*words: str) -> str:
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
        command = [sys.executable, "-m", "scorefield", *words, "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.rstrip()

    first = said()
    verbs = re.findall(r"^│ ([a-z][a-z-]+)  ", first, re.MULTILINE)
    parts = ["# The command line", f"```text\n{first}\n```"]
    parts += [f"## scorefield {verb}\n\n```text\n{said(verb)}\n```" for verb in verbs]
    return "\n\n".join(parts) + "\n"


def inline_formula(translator: object, node: object) -> None:
    formula(translator, node, "inline")


def block_formula(translator: object, node: object) -> None:
    formula(translator, node, "block")


def formula(translator: object, node: object, display: str) -> None:
    """A formula in LaTeX as MathML."""
    from docutils import nodes
    from latex2mathml.converter import convert

    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def restructured(app: object, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """A docstring as reStructuredText: code in single backticks, every other character as it stands."""
    lines[:] = "\n".join(lines).split("\n")
    found: list[str] = []
    section, code = False, False
    for i, line in enumerate(lines):
        text, before = line.strip(), lines[i - 1].strip() if i else ""
        indent = len(line) - len(line.lstrip())
        if indent == 0 and text:
            section = text in SECTIONS
            code = False
        if text.startswith(">>>"):
            if before and not before.startswith((">>>", "...")) and not code and before not in SECTIONS:
                found.append("")
            code = True
        elif not text and not any(later.strip().startswith((">>>", "...")) for later in lines[i + 1 : i + 2]):
            code = False
        base = 4 if section else 0
        if not code and text and not before and indent >= base + 4 and not literal(found):
            found += [" " * base + CODE, ""]
        verbatim = code or (indent >= base + 4 and literal(found))
        found.append(line if verbatim or text in SECTIONS else escaped(line))
    lines[:] = found


def literal(found: list[str]) -> bool:
    """Whether the lines end within a literal block."""
    for line in reversed(found):
        if line.strip() == CODE:
            return True
        if line.strip() and len(line) - len(line.lstrip()) < 4:
            return False
    return False


def escaped(line: str) -> str:
    parts = re.split(r"(``.*?``(?!`)|`[^`]*`)", line)
    return "".join(
        quoted(part) if part.startswith("`") else re.sub(r"([\\*|]|_(?=\W|$))", r"\\\1", part) for part in parts
    )


def quoted(code: str) -> str:
    """Code in backticks; if it holds backticks itself, as Markdown writes them, with blanks around."""
    if not code.startswith("`` "):
        return code
    return ":literal:`" + code[3:-3].replace("`", "\\`") + "`"
