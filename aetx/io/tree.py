"""YAML files of data: text, lists and mappings with their lines; no tags, no aliases, no key twice, bounded depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from aetx.errors import InputError, Problem
from aetx.io.points import text_lines

LARGEST = 1 << 24
"""Bytes of a file that are read at most."""
DEEPEST = 20
"""Levels of nesting that a file may have."""

Value: TypeAlias = "str | tuple[Leaf, ...] | Mapping[str, Leaf]"


@dataclass(frozen=True)
class Leaf:
    """One value and the line, counted from 1, where it begins. Numbers stay text; `quoted` tells ``"1"`` from ``1``."""

    value: Value
    line: int
    quoted: bool = False


def read_tree(path: Path) -> Leaf:
    """Return the one document of a YAML file. Nothing is ever constructed but text, lists and mappings.

    Raises
    ------
    InputError
        If it is no YAML, or uses more of it than plain values.
    """
    if path.stat().st_size > LARGEST:
        found = f"{path.stat().st_size} bytes"
        raise InputError(Problem(str(path), "size", found, f"at most {LARGEST}", "name the right file"))
    builder = _Builder(path)
    try:
        events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse("\n".join(text_lines(path))))
        trees = [builder.leaf(next(events), events, 1) for event in events if isinstance(event, DocumentStartEvent)]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found = (error.problem or str(error)).removeprefix("found ")
        builder.fail(mark.line + 1 if mark else 1, found, "YAML 1.2", "mend the text here or just above")
    except YAMLError as error:
        builder.fail(1, " ".join(str(error).split()), "YAML 1.2", "mend the text")
    if len(trees) != 1:
        builder.fail(1, f"{len(trees)} documents", "one", "remove the others")
    return trees[0]


@dataclass(frozen=True)
class _Builder:
    path: Path

    def fail(self, line: int, found: str, wanted: str, fix: str) -> NoReturn:
        raise InputError(Problem(str(self.path), "content", found, wanted, fix, line, 1))

    def leaf(self, event: Event, events: Iterator[Event], depth: int) -> Leaf:
        line = event.start_mark.line + 1
        marked = not isinstance(event, NodeEvent) or event.anchor is not None
        if marked or getattr(event, "ctag", None) is not None:
            self.fail(line, "a tag, an anchor or an alias", "plain values", "write it out")
        if depth > DEEPEST:
            self.fail(line, f"nested deeper than {DEEPEST}", f"at most {DEEPEST} levels", "write it flatter")
        if isinstance(event, SequenceStartEvent):
            return Leaf(tuple(self._items(events, depth)), line)
        if isinstance(event, MappingStartEvent):
            return Leaf(self._entries(events, depth), line)
        assert isinstance(event, ScalarEvent)
        return Leaf(event.value, line, event.style is not None)

    def _items(self, events: Iterator[Event], depth: int) -> Iterator[Leaf]:
        for event in events:
            if isinstance(event, SequenceEndEvent):
                return
            yield self.leaf(event, events, depth + 1)

    def _entries(self, events: Iterator[Event], depth: int) -> dict[str, Leaf]:
        entries: dict[str, Leaf] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            line = event.start_mark.line + 1
            if not isinstance(event, ScalarEvent):
                self.fail(line, "a list or a mapping as key", "a name as key", "write a name")
            if event.value in entries:
                self.fail(line, f"the key {event.value!r} twice", "each key once", "remove one of the two")
            entries[event.value] = self.leaf(next(events), events, depth + 1)
        return entries
