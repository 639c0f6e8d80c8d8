"""Damage to valid files: to their bytes, to plain data in them, and to text."""

from __future__ import annotations

import copy
import json
import struct
from typing import Any

import numpy as np

__all__ = ["damaged", "damaged_json", "damaged_plain", "damaged_safetensors", "damaged_text", "odd_value"]

_NUMBERS = (0, 1, -1, 2, 127, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1)
_TEXTS = (
    "",
    " ",
    "\0",
    "a" * 300,
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e-999",
    "é",
    "💥",
    "\u202e",
    "../..",
    "/dev/zero",
    "%s",
    "{}",
)
_TEXTS += (
    "0x10",
    "1_000",
    "１",
    "--",
    "<script>",
    "true",
    "null",
    "[[",
    "2001-02-30",
    "1e308",
    "-0",
    "$\\bm{v}$",
    "0" * 400 + "1",
)
_TOKENS = (
    ",",
    ";",
    "\t",
    "|",
    '"',
    "'",
    "\n",
    "\r",
    "\r\n",
    "#",
    "\ufeff",
    "\x00",
    "\x1a",
    "-",
    ".",
    "e",
    "9" * 400,
    " ",
    "=",
    "[",
    "]",
    "{",
)


def odd_value(rng: np.random.Generator, depth: int = 0) -> Any:
    """A value that nobody would write into a file."""
    kinds = [
        None,
        True,
        False,
        -1,
        0,
        3,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        2**70,
        -(2**70),
        10**400,
        [],
        {},
        "text",
    ]
    pick = int(rng.integers(len(kinds) + 3))
    if pick < len(kinds):
        return kinds[pick]
    if pick == len(kinds):
        return str(rng.choice(_TEXTS))
    if pick == len(kinds) + 1 or depth > 2:
        return [odd_value(rng, 3) for _ in range(rng.integers(1, 4))] if depth < 3 else 7
    return {str(rng.choice(_TEXTS)): odd_value(rng, depth + 1), "class": "scorefield.processes.VE", "arguments": {}}


def damaged(content: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Bytes with one to four changes."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        found = _change(found, rng, others)
    return bytes(found)


def _change(found: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytearray:
    size = len(found)
    if size < 4:
        return bytearray(rng.bytes(int(rng.integers(0, 40))))
    at = int(rng.integers(size)) if rng.random() < 0.6 else int(rng.integers(min(size, 128)))
    end = min(size, at + int(2 ** rng.uniform(0, 8)))
    kind = int(rng.integers(11))
    if kind == 0:
        found[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        found[at] = int(rng.integers(256))
    elif kind == 2:
        return found[:at]
    elif kind == 3:
        del found[at:end]
    elif kind == 4:
        found[at:at] = rng.bytes(end - at)
    elif kind == 5:
        found[at:end] = bytes(end - at)
    elif kind == 6:
        found[at:at] = found[at:end] * int(rng.integers(1, 9))
    elif kind == 7:
        width, code = [(1, "<b"), (2, "<h"), (4, "<i"), (8, "<q"), (4, ">i"), (8, ">q")][int(rng.integers(6))]
        number = int(rng.choice(_NUMBERS)) % 2 ** (8 * width)
        found[at : at + width] = struct.pack(code.upper(), number)
    elif kind == 8:
        other = others[int(rng.integers(len(others)))]
        cut = int(rng.integers(len(other) + 1))
        found[at:end] = other[cut : cut + end - at]
    elif kind == 9:
        other = others[int(rng.integers(len(others)))]
        return bytearray(found[:at] + other[min(at, len(other)) :])
    else:
        found[at:end] = b"\xff" * (end - at)
    return found


def damaged_text(text: str, rng: np.random.Generator) -> str:
    """Text with one to six changes to its tokens and lines."""
    for _ in range(int(rng.integers(1, 7))):
        lines = text.split("\n")
        row = int(rng.integers(len(lines)))
        kind = int(rng.integers(8))
        if kind == 0:
            del lines[row]
        elif kind == 1:
            lines[row:row] = [lines[row]] * int(rng.integers(1, 40))
        elif kind == 2:
            lines[row] = lines[row] * int(rng.integers(2, 30))
        elif kind in (3, 4, 5):
            fields = lines[row].split(",")
            fields[int(rng.integers(len(fields)))] = str(rng.choice(_TEXTS))
            lines[row] = ",".join(fields)
        else:
            at = int(rng.integers(len(lines[row]) + 1))
            lines[row] = lines[row][:at] + str(rng.choice(_TOKENS)) + lines[row][at + int(rng.integers(2)) :]
        text = "\n".join(lines)
    return text


def _places(value: Any) -> list[tuple[Any, Any]]:
    """All places in plain data, as a container and what stands for the place in it."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, name) for name, _ in items] + [place for _, inner in items for place in _places(inner)]


def damaged_plain(value: Any, rng: np.random.Generator) -> Any:
    """Plain data with one to three values removed, replaced, doubled or renamed."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        places = _places(value)
        if not places or rng.random() < 0.01:
            return odd_value(rng)
        inside, name = places[int(rng.integers(len(places)))]
        kind = int(rng.integers(5))
        if kind == 0:
            del inside[name]
        elif kind == 1 and isinstance(inside, list):
            inside.append(inside[name])
        elif kind == 1:
            inside[str(name) + "x"] = inside.pop(name)
        elif kind == 2:
            other, place = places[int(rng.integers(len(places)))]
            inside[name] = copy.deepcopy(other[place])
        else:
            inside[name] = odd_value(rng)
    return value


def damaged_json(content: bytes, rng: np.random.Generator) -> bytes:
    """A JSON file whose values, or rarely its text, are damaged."""
    if rng.random() < 0.02:
        return b"[" * 100_000
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):  # damaged before
        return damaged(content, rng, [content])
    return json.dumps(damaged_plain(plain, rng)).encode()


def damaged_safetensors(content: bytes, rng: np.random.Generator) -> bytes:
    """A .safetensors file with a damaged header, or damaged data in its metadata."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    if rng.random() < 0.7 and "scorefield" in header.get("__metadata__", {}):
        about = json.loads(header["__metadata__"]["scorefield"])
        header["__metadata__"]["scorefield"] = json.dumps(damaged_plain(about, rng))
    else:
        header = damaged_plain(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]
