"""Text tables and XYZ files: lines to columns, with the line number in every error."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import xarray as xr
from ase.data import atomic_numbers

from aetx.io.lazy import Identity, reading, wrong

COMMENTS = ("%", "#", "//", ";", "!")
LARGEST = 2**53
"""Whole numbers up to this one are told apart."""
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")
LONGEST = 2 * 1024**3
"""Bytes of text that are read at most."""


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file.

    Raises
    ------
    InputError
        If it is empty, too long, or no UTF-8 text.
    """
    identity = Identity.of(path)
    if identity.size > LONGEST:
        raise wrong(path, "size", f"{identity.size} bytes", f"at most {LONGEST} bytes of text", "is it a table?")
    block = path.read_bytes()
    if b"\x00" in block[:4096]:
        raise wrong(path, "content", "bytes that are not text", "a text file", "name the reader of this format")
    try:
        return block.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        found = f"byte 0x{block[error.start]:02x} at {error.start}"
        raise wrong(path, "content", found, "UTF-8 text", "save the file as UTF-8") from error


def rows_of(path: Path) -> list[tuple[int, list[str]]]:
    """Return the words of each line that is neither empty nor a comment, with its number from 1."""
    found = []
    for number, line in enumerate(text_lines(path), 1):
        text = line.strip()
        if text and not text.startswith(COMMENTS):
            found.append((number, _words(path, number, text.rstrip(",;"))))
    if not found:
        raise wrong(path, "content", "no line of numbers", "at least one", "the file is empty or all comments")
    return found


def _words(path: Path, line: int, text: str) -> list[str]:
    if "," in text or ";" in text:
        between = {one.strip() for one in _BETWEEN.findall(text)}
        if len(between) > 1:
            found = " and ".join("blanks" if not one else repr(one) for one in sorted(between)) + " between the words"
            fix = "if the comma is a decimal one, write points; else part all columns alike"
            raise wrong(path, f"line {line}", found, "one of them", fix)
    return _BETWEEN.split(text)


def number_of(path: Path, line: int, column: str, word: str) -> float:
    """Return a word as a number, written in the digits 0 to 9 with a decimal point."""
    try:
        if not word.isascii() or "_" in word:  # Python reads these as numbers, too
            raise ValueError(word)
        return float(word)
    except ValueError as error:
        raise wrong(path, f"line {line}, {column}", repr(word[:80]), "a number", "mend the line") from error


def is_count(word: str) -> bool:
    """Tell whether a word is a whole number from 0 to 999,999,999 in plain digits."""
    return word.isascii() and word.isdecimal() and len(word) < 10


def table_of(path: Path) -> np.ndarray:
    """Return a text table of numbers, shape (rows, columns)."""
    rows = rows_of(path)
    width = len(rows[0][1])
    for line, words in rows:
        if len(words) != width:
            found = f"{len(words)} columns"
            raise wrong(path, f"line {line}", found, f"{width}, as line {rows[0][0]} has", "mend the line")
    values = [
        [number_of(path, line, f"column {at + 1}", word) for at, word in enumerate(words)] for line, words in rows
    ]
    return np.array(values, float)


def element(path: Path, field: str, word: str) -> int:
    """Return the atomic number of a symbol or of a number; ``X`` is unknown, 0."""
    if word == "X":
        return 0
    if is_count(word) and int(word) <= 118:
        return int(word)
    found = atomic_numbers.get(word)
    if found is None:
        raise wrong(path, field, repr(word), "a chemical symbol or an atomic number", "mend the element")
    return int(found)


def read_xyz(path: Path, extended: bool) -> xr.Dataset:
    """Read one frame of a plain or extended XYZ file as positions (angstrom), species and columns."""
    lines = text_lines(path)
    first = lines[0].strip()
    if not is_count(first) or int(first) < 1:
        raise wrong(path, "line 1", repr(first[:40]), "the number of atoms", "this is not an XYZ file; name its reader")
    count = int(first)
    comment = lines[1] if len(lines) > 1 else ""
    body = lines[2 : 2 + count]
    if len(body) < count:
        raise wrong(path, "line 1", f"{count} atoms", f"{max(len(lines) - 2, 0)}, as many as lines", "it is cut short")
    if any(line.strip() for line in lines[2 + count :]):
        fix = "give one frame in a file"
        raise wrong(path, f"line {3 + count}", "more lines after the last atom", "one frame", fix)
    layout = re.search(r'\bProperties=("?)([A-Za-z0-9_:]+)\1', comment)
    if extended and layout is None:
        raise wrong(path, "line 2", repr(comment[:60]), "Properties=...", "name reader: xyz for plain XYZ files")
    columns = _layout(path, layout[2]) if layout else [("species", "S", 1), ("pos", "R", 3)]
    return _columns(path, comment, [line.split() for line in body], columns, exact=layout is not None)


def _layout(path: Path, text: str) -> list[tuple[str, str, int]]:
    parts = text.split(":")
    with reading(path, "line 2, Properties", "name:type:count, ..."):
        found = [(parts[at], parts[at + 1], int(parts[at + 2])) for at in range(0, len(parts), 3)]
    bad = [one for one in found if one[1] not in "SRIL" or not 1 <= one[2] <= 64]
    names = [one[0] for one in found]
    if bad or len(set(names)) < len(names) or not any(one[0] == "pos" and one[2] == 3 for one in found):
        raise wrong(path, "line 2, Properties", repr(text[:80]), "types S, R, I, L and pos:R:3", "mend the line")
    return found


def _columns(
    path: Path, comment: str, rows: list[list[str]], columns: list[tuple[str, str, int]], *, exact: bool
) -> xr.Dataset:
    width = sum(count for _, _, count in columns)
    for at, row in enumerate(rows):
        if len(row) < width or (exact and len(row) != width):
            raise wrong(path, f"line {at + 3}", f"{len(row)} columns", str(width), "mend the line")
    found = xr.Dataset(attrs={"source_header": comment[:20000]})
    noted = re.search(r'\baetx_units="([^"]*)"', comment)
    written = dict(one.split(":", 1) for one in noted[1].split() if ":" in one) if noted else {}
    start = 0
    for name, kind, count in columns:
        words = [row[start : start + count] for row in rows]
        start += count
        if name in ("species", "Z", "element", "numbers"):
            made = [element(path, f"line {at + 3}", one[0]) for at, one in enumerate(words)]
            found["species"] = ("atom", np.array(made, np.int32), {"units": "1"})
        elif kind == "S":
            continue
        else:
            numbers = _numbers(path, name, kind, words)
            if name == "pos":
                found["position"] = (("atom", "axis"), numbers, {"units": "angstrom"})
            else:
                dims = ("atom",) if count == 1 else ("atom", "axis") if count == 3 else ("atom", f"{name}_part")
                unit = {"units": written[name]} if name in written else {}
                found[name] = (dims, numbers[:, 0] if count == 1 else numbers, unit)
    return found


def _numbers(path: Path, name: str, kind: str, words: list[list[str]]) -> np.ndarray:
    if kind == "L":
        known = {"T": 1, "True": 1, "true": 1, "1": 1, "F": 0, "False": 0, "false": 0, "0": 0}
        for at, row in enumerate(words):
            if any(word not in known for word in row):
                raise wrong(path, f"line {at + 3}, {name}", repr(row), "T or F", "mend the line")
        return np.array([[known[word] for word in row] for row in words], np.int32)
    values = [[number_of(path, at + 3, name, word) for word in row] for at, row in enumerate(words)]
    made = np.array(values, float)
    if kind == "I":
        if not (np.array_equal(made, np.rint(made)) and (np.abs(made) <= LARGEST).all()):
            wanted = f"whole numbers up to {LARGEST}"
            raise wrong(path, f"column {name}", "numbers with fractions, or too large", wanted, "mend Properties")
        return made.astype(np.int64)
    return made
