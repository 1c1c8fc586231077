"""Paths of a recipe: local files only, patterns that match several, names that are safe, an output apart."""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aetx.recipe.findings import Findings
from aetx.recipe.substitute import give
from aetx.recipe.text import Node

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|.*::", re.DOTALL)
_UNSAFE = re.compile(r"[^\w.=,+-]+")
MOST = 100_000
"""Members that one pattern may have."""
LOOKED_AT = 300_000
"""Names that are read at most to find the files of one pattern."""


@dataclass(frozen=True)
class Member:
    """One file that a pattern matches, and the part of its name that tells it from the others."""

    label: str
    path: Path


@dataclass(frozen=True)
class Files:
    """Finds files. Relative paths start at the recipe's folder, those typed on the command line at the current one."""

    folder: Path
    findings: Findings

    def locate(self, node: Node, where: str) -> Path | None:
        """Return the one file that a path names, or say why there is none."""
        text = self._text(node, where)
        if text is None:
            return None
        path = self._base(node) / text
        return path if self._present(path, text, node, where) else None

    def members(self, node: Node, where: str) -> tuple[Member, ...] | None:
        """Return the files that a pattern matches, in natural order; None for a path that is no pattern."""
        text = self._text(node, where)
        if text is None or not is_pattern(text) or _exists(self._base(node) / text):
            return None
        found: list[Member] = []
        spelled = list(itertools.islice(expand(text), MOST + 1))
        if len(spelled) > MOST:
            self.findings.say(node.place, where, node.found, f"at most {MOST} files", "split the recipe")
            return ()
        for labels, plain in spelled:
            path = self._base(node) / plain
            if not _globs(plain):
                if self._present(path, plain, node, where):
                    found.append(Member("-".join(labels), path))
                continue
            names = _globbed(plain, self._base(node))
            if names is None:
                fix = "write out the folders, and '*' only where files differ"
                self.findings.say(node.place, where, node.found, f"a pattern that fits {LOOKED_AT} names or fewer", fix)
                return ()
            matches = [self._base(node) / name for name in sorted(names, key=natural)]
            if not matches:
                fix = f"check the pattern; it was looked for as {str(path)!r}"
                self.findings.say(node.place, where, node.found, "a pattern that matches files", fix)
            found += [
                Member("-".join([*labels, *_matched(plain, name)]), one)
                for name, one in zip(sorted(names, key=natural), matches, strict=True)
            ]
        if any(not is_safe(member.label) for member in found) or _repeated(member.label for member in found):
            found = [Member(safe(member.path.stem), member.path) for member in found]
        twice = _repeated(member.label for member in found)
        if twice:
            wanted, fix = "files whose names differ", "rename the files, or narrow the pattern"
            self.findings.say(node.place, where, f"two files called {twice!r}", wanted, fix)
        return tuple(found)

    def _base(self, node: Node) -> Path:
        return Path.cwd() if node.typed else self.folder

    def _text(self, node: Node, where: str) -> str | None:
        if node.broken:
            return None
        text = node.raw if node.plain and node.value is not None else node.value
        if node.value is None and node.reference:
            found = f"'${{{node.reference}}}', which has no value"
            self.findings.say(node.place, where, found, "the path of a file", give(node.reference))
        elif not isinstance(text, str) or not text.strip():
            self.findings.say(node.place, where, node.found, "the path of a file", "write it as text")
        elif _REMOTE.match(text):
            fix = (
                "copy the data here first; chained URLs (::) are refused"
                if "::" in text
                else "copy the data here first"
            )
            self.findings.say(node.place, where, node.found, "a local path: network inputs are off", fix)
        else:
            return text
        return None

    def _present(self, path: Path, text: str, node: Node, where: str) -> bool:
        try:
            if path.exists():
                return True
        except OSError as error:
            self.findings.say(node.place, where, repr(text), "a path that can be read", error.strerror or str(error))
            return False
        fix = f"there is no {str(path)!r}"
        if not node.typed and not Path(text).is_absolute() and _exists(Path.cwd() / text):
            fix += "; paths in a recipe start at the recipe's folder, not at the current one"
        elif text.startswith("~"):
            fix += "; '~' is not expanded"
        self.findings.say(node.place, where, repr(text), "a file that exists", fix)
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name
        return False


def _globbed(pattern: str, folder: Path) -> list[str] | None:
    """Return the paths that a pattern of ``*`` and ``?`` matches; None where too many names would have to be read."""
    parts = Path(pattern).parts
    reached, looked_at = [""], 0
    for number, part in enumerate(parts):
        if not _globs(part):
            joined = [os.path.join(one, part) for one in reached]  # noqa: PTH118 - spelled as the recipe spells it
            reached = [one for one in joined if number < len(parts) - 1 or _exists(folder / one)]
            continue
        matches = re.compile(fnmatch.translate(part.replace("[", "[[]"))).fullmatch
        found: list[str] = []
        for one in reached:
            try:
                names = os.listdir(folder / one)  # noqa: PTH208 - names, not paths
            except OSError:
                continue
            looked_at += len(names) + 1
            if looked_at > LOOKED_AT:
                return None
            found += [os.path.join(one, name) for name in names if matches(name) and name[0] != "."]  # noqa: PTH118
        reached = found
    return reached


def is_pattern(text: str) -> bool:
    """Tell whether a path may stand for several files: ``*``, ``?``, ``{20-24}``, ``{a,b}``."""
    return _globs(text) or bool(_BRACES.search(text))


_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})(?:-|\.\.)(\d{1,9})")


def expand(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the braces' choices and the path with them put in: ``{20-24}``, ``{a,b}``, ``{7}``."""
    match = _BRACES.search(text)
    if match is None:
        yield (), text
        return
    for choice in _choices(match[1]):
        for labels, rest in expand(text[match.end() :]):
            yield (choice, *labels), text[: match.start()] + choice + rest


def _choices(text: str) -> Iterator[str]:
    for part in text.split(","):
        span = _RANGE.fullmatch(part.strip())
        if span is None:
            yield part.strip()
            continue
        first, last = int(span[1]), int(span[2])
        width = len(span[1]) if span[1].startswith("0") else 0
        for number in range(first, last + 1) if first <= last else range(first, last - 1, -1):
            yield f"{number:0{width}d}"


def _globs(text: str) -> bool:
    return "*" in text or "?" in text


def _matched(pattern: str, path: str) -> list[str]:
    """Return what the wildcards of a pattern stand for in a path."""
    parts = re.split(r"(\*+|\?)", pattern)
    wild = {"*": r"([^/]*)", "?": r"([^/])"}
    text = "".join(wild[part[0]] if i % 2 else re.escape(part) for i, part in enumerate(parts))
    match = re.fullmatch(text, path)
    return [one for one in match.groups() if one] if match else []


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``pt_2`` before ``pt_10``."""
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts)


def is_safe(label: str) -> bool:
    """Tell whether a text can stand in the name of a file on every system."""
    short = len(label) <= 100 and len(label.encode("utf-8", "replace")) <= 200
    return bool(label) and _UNSAFE.search(label) is None and not label.startswith((".", "-")) and short


def safe(text: str) -> str:
    """Return a text as it can stand in the name of a file, cut to 100 bytes."""
    return _UNSAFE.sub("_", text).lstrip(".-").encode("utf-8", "replace")[:100].decode("utf-8", "ignore") or "file"


def stems(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return the members named by the stems of their files, as far as these tell them apart."""
    members = tuple(members)
    renamed = tuple(Member(safe(member.path.stem), member.path) for member in members)
    return members if _repeated(member.label for member in renamed) else renamed


def _repeated(labels: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for label in labels:
        if label.lower() in seen:
            return label
        seen.add(label.lower())
    return None


def real(path: Path) -> Path:
    """Return where a path leads through all links; unlike `Path.resolve`, a loop of links is no error here."""
    return Path(os.path.realpath(path))


def overlap(output: Path, file: Path) -> str | None:
    """Say how an output folder and an input clash: equal, inside, or parent; None where they are apart."""
    out, one = real(output), real(file)
    if out == one:
        return "the same as"
    if one in out.parents:
        return "inside"
    return "a parent of" if out in one.parents else None
