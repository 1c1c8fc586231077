"""Strict YAML: plain data with the place of every value; no tags, no aliases, no key twice, bounded size and depth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from aetx.recipe.findings import Findings
from aetx.recipe.place import Place

LARGEST = 1 << 20
"""Bytes that a recipe may have."""

DEEPEST = 50
"""Levels of nesting that a recipe may have."""

MOST = 20_000
"""Values that a recipe may have; larger tables belong in a file beside it."""

Scalar: TypeAlias = str | int | float | bool | None

COMMAND_LINE = Place(0, 0)


@dataclass(frozen=True)
class Node:
    """One value of the recipe: what it is, where it stands, where its key stands, how it was written.

    `plain` is true for an unquoted scalar, whose `raw` spelling a text field may want (``010``, ``NO``). `broken`
    marks a value about which something has been said already. `typed` is true where the text comes from the
    command line, so that a relative path in it starts at the current folder. `reference` is the name of the variable
    that the whole value stands for.
    """

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    place: Place
    key: Place
    raw: str = ""
    plain: bool = False
    broken: bool = False
    typed: bool = False
    reference: str = ""

    @property
    def found(self) -> str:
        """What to show for this value in a message."""
        return show(self)

    def under(self, key: Place) -> Node:
        """Return the value as it stands behind a key."""
        return replace(self, key=key)


def show(node: Node) -> str:
    """Return a short spelling of a value, as ``repr`` does."""
    if isinstance(node.value, Mapping):
        return "a mapping"
    if isinstance(node.value, tuple):
        return "[" + ", ".join(show(item) for item in node.value[:6]) + (", ...]" if len(node.value) > 6 else "]")
    if node.plain and not isinstance(node.value, str):
        return node.raw or "nothing"
    text = repr(node.value)
    return text if len(text) <= 120 else text[:100] + "...'"


def plain_data(node: Node) -> object:
    """Return the value without its places: scalars, lists, dictionaries."""
    if isinstance(node.value, Mapping):
        return {name: plain_data(item) for name, item in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain_data(item) for item in node.value]
    return node.value


def read(path: Path, findings: Findings) -> tuple[str, Node]:
    """Return the text of a recipe and its tree.

    Raises
    ------
    RecipeError
        If it cannot be read as a mapping. Keys given twice are only noted in `findings`.
    """
    top = Place(1, 1)
    try:
        size = path.stat().st_size
        if not path.is_file():
            findings.say(COMMAND_LINE, "recipe", repr(str(path)), "a file", "name the YAML file of the recipe")
        elif size > LARGEST:
            findings.say(top, "recipe", f"{size} bytes", f"at most {LARGEST}", "this is no recipe, or hold data apart")
        findings.stop()
        text = _decoded(path.read_bytes(), findings)
    except OSError as error:
        reason = error.strerror or str(error)
        findings.say(COMMAND_LINE, "recipe", f"{str(path)!r}: {reason}", "a file that can be read", "check the path")
        findings.stop()
        raise AssertionError from error
    return text, parse(text, findings)


def parse(text: str, findings: Findings) -> Node:
    """Return the tree of a recipe's text.

    Raises
    ------
    RecipeError
        As `read` does.
    """
    builder = _Builder(findings)
    tree = None
    try:
        for document, tree in enumerate(_documents(text, builder)):
            if document:
                findings.say(tree.place, "recipe", "a second document", "one", "remove everything from '---' on")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        found = (error.problem or str(error)).removeprefix("found ")
        findings.say(place, "recipe", found, "YAML 1.2", _advice(text, place))
        builder.fatal = True
    except YAMLError as error:
        findings.say(Place(1, 1), "recipe", " ".join(str(error).split()), "YAML 1.2", "mend the text")
        builder.fatal = True
    except _TooMuch:
        builder.fatal = True
    if builder.fatal:
        findings.stop()
    if tree is None or not isinstance(tree.value, Mapping):
        place = tree.place if tree else Place(1, 1)
        found = tree.found if tree and tree.value is not None else "nothing"
        fix = "start with 'aetx: 1', then 'inputs:' and 'steps:'"
        findings.say(place, "recipe", found, "a mapping of keys to values", fix)
        findings.stop()
    assert tree is not None
    return tree


class _TooMuch(Exception):  # noqa: N818 - never leaves this module
    """Nesting beyond `DEEPEST`, or more than `MOST` values; the finding is noted already."""


@dataclass
class _Builder:
    """Turns parser events into nodes. Nothing is ever constructed but text, numbers, lists and mappings."""

    findings: Findings
    fatal: bool = False
    count: int = 0

    def node(self, event: Event, events: Iterator[Event], field: str, depth: int) -> Node:
        place = _place(event)
        self._refuse(event, place, field)
        self.count += 1
        if self.count > MOST:
            fix = "put large tables in a file beside the recipe"
            self.findings.say(place, field or "recipe", f"more than {MOST} values", "fewer", fix)
            raise _TooMuch
        if isinstance(event, ScalarEvent):
            plain = event.style is None
            value = resolve(event.value) if plain else event.value
            return Node(value, place, place, raw=event.value, plain=plain)
        if depth > DEEPEST:
            found, fix = f"nested deeper than {DEEPEST}", "write it flatter"
            self.findings.say(place, field or "recipe", found, f"at most {DEEPEST} levels", fix)
            raise _TooMuch
        if isinstance(event, SequenceStartEvent):
            return Node(tuple(self._items(events, field, depth)), place, place)
        if isinstance(event, MappingStartEvent):
            return Node(self._entries(events, field, depth), place, place)
        return Node(None, place, place)

    def _items(self, events: Iterator[Event], field: str, depth: int) -> Iterator[Node]:
        for number, event in enumerate(events):
            if isinstance(event, SequenceEndEvent):
                return
            yield self.node(event, events, f"{field}[{number}]", depth + 1)

    def _entries(self, events: Iterator[Event], field: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            key = self.node(event, events, field, depth + 1)
            name = key.raw
            if not isinstance(event, ScalarEvent) or not name:
                found = key.found if not isinstance(event, ScalarEvent) else "an empty key"
                self.findings.say(key.place, field or "recipe", found, "a name as key", "quote it, or write a name")
                name = ""
            where = f"{field}.{name}" if field else name
            value = self.node(next(events), events, where, depth + 1).under(key.place)
            if name in entries:
                first = entries[name].key.line
                fix = f"remove one of the two, on lines {first} and {key.place.line}"
                self.findings.say(key.place, where, f"the key {name!r} twice", "each key once", fix)
            elif name:
                entries[name] = value
        return entries

    def _refuse(self, event: Event, place: Place, field: str) -> None:
        assert isinstance(event, NodeEvent)
        where = field or "recipe"
        if isinstance(event, AliasEvent):
            found, wanted = f"the alias '*{event.anchor}'", "plain values: aliases are not allowed"
            self.findings.say(place, where, found, wanted, "write it out, or use vars: and ${vars.name}")
            self.fatal = True
            return
        tag = getattr(event, "ctag", None)
        if tag is not None:
            found, wanted = f"the tag {str(tag)!r}", "plain values: tags are not allowed"
            self.findings.say(place, where, found, wanted, "remove the tag, or quote the text")
            self.fatal = True
        if event.anchor is not None:
            found, wanted = f"the anchor '&{event.anchor}'", "plain values: anchors and aliases are not allowed"
            self.findings.say(place, where, found, wanted, "remove it, or use vars: and ${vars.name}")
            self.fatal = True


def _documents(text: str, builder: _Builder) -> Iterator[Node]:
    events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
    for event in events:
        if isinstance(event, DocumentStartEvent):
            yield builder.node(next(events), events, "", 1)


def _place(event: Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1)


_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,300})")
_REAL = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, Scalar] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | dict.fromkeys((".inf", "+.inf", ".Inf", ".INF"), float("inf"))
    | dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf"))
    | dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan"))
)


def resolve(text: str) -> Scalar:
    """Return what an unquoted scalar means: YAML 1.2, but digits behind a leading zero (``010``) stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _decoded(content: bytes, findings: Findings) -> str:
    for mark, name in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")):
        if content.startswith(mark):
            findings.say(Place(1, 1), "recipe", f"{name} text", "UTF-8", "save as UTF-8")
            findings.stop()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        found = f"byte 0x{content[error.start]:02X} at offset {error.start}"
        findings.say(Place(line, column), "recipe", found, "UTF-8", "save as UTF-8")
        findings.stop()
    bad = _FORBIDDEN.search(text)
    if bad:
        before_text = text[: bad.start()]
        place = Place(before_text.count("\n") + 1, len(before_text) - before_text.rfind("\n"))
        findings.say(place, "recipe", f"the control character {bad[0]!r}", "text", "remove it, or save as UTF-8")
        findings.stop()
    return text


def _advice(text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[place.column - 1 : place.column] == "\t":
        return "indent with spaces, not with tabs"
    return "mend the text here or just above"
