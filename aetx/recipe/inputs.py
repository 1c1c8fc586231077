"""The `inputs:` of a recipe: which files, of which kind, and what is stated of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aetx.core.registry import Registry
from aetx.errors import RecipeError, did_you_mean
from aetx.io.stated import Stated
from aetx.model import KINDS, RAW_SERIES, TILT_SERIES, Kind
from aetx.recipe.files import Files, Member, is_pattern, stems
from aetx.recipe.findings import Findings
from aetx.recipe.plan import Input
from aetx.recipe.text import Node
from aetx.recipe.values import Builder

OWN = ("path", "kind", "reader", "join")
"""Keys of an input block beside those of `aetx.io.Stated`."""


@dataclass(frozen=True)
class Source:
    """An input or a step as later steps see it: its kind (None where it is wrong), its members where it is a list."""

    kind: Kind | None
    members: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """Reads input blocks."""

    registry: Registry
    files: Files
    findings: Findings

    def members(self, name: str, path: Node) -> tuple[Member, ...]:
        """Return the files that ``for_each`` runs over, each named by its stem."""
        found = self._matching(path, f"inputs.{name}.path")
        return stems(Member(member.label or str(number), member.path) for number, member in enumerate(found))

    def read(self, name: str, node: Node, only: Member | None) -> tuple[Source, list[Input]]:
        """Return what an input is for later steps, and its datasets: one, or one for each member of a list.

        Parameters
        ----------
        name
            Name of the input.
        node
            Its block, references filled in.
        only
            The member of ``for_each`` that this job runs on, if it is this input.
        """
        where = f"inputs.{name}"
        entries = self._entries(name, node)
        for key in entries:
            if key not in OWN and key not in Stated.model_fields:
                known = [*OWN, *Stated.model_fields]
                found = f"the unknown key {key!r}"
                self.findings.say(entries[key].key, f"{where}.{key}", found, "a known key", did_you_mean(key, known))
        groups = self._groups(name, node, entries, only)
        reader = self._reader(entries, where)
        stated = self._stated(node, entries, where)
        kind = self._kind(node, entries, where, reader, [path for paths in groups.values() for path in paths])
        members = tuple(groups) if set(groups) != {""} else None
        if kind is None or stated is None:
            return Source(kind, members), []
        return Source(kind, members), [
            Input(f"{name}/{label}" if label else name, paths, kind, reader, stated, node.key)
            for label, paths in groups.items()
        ]

    def _entries(self, name: str, node: Node) -> Mapping[str, Node]:
        if node.broken:
            return {}
        if isinstance(node.value, str):  # `series: data.mrc` is short for `series: {path: data.mrc}`
            return {"path": node}
        if isinstance(node.value, Mapping):
            return node.value
        fix = "write {path: file, kind: ...}"
        self.findings.say(node.place, f"inputs.{name}", node.found, "a path, or a mapping with a path", fix)
        return {}

    def _groups(
        self, name: str, node: Node, entries: Mapping[str, Node], only: Member | None
    ) -> dict[str, tuple[Path, ...]]:
        where = f"inputs.{name}.path"
        join = entries.get("join")
        if join is not None and not join.broken and join.value != "tilt":
            fix = "join: tilt makes one series of many files"
            self.findings.say(join.place, f"inputs.{name}.join", join.found, "'tilt'", fix)
        path = entries.get("path")
        if path is None:
            if isinstance(node.value, Mapping):
                found = ", ".join(entries) or "nothing"
                self.findings.say(node.key, f"inputs.{name}", found, "a key 'path'", "say which file it is")
            return {"": ()}
        if only is not None and join is not None:
            wanted = "one of the two: for_each runs on each file, join makes one series of them"
            self.findings.say(join.place, f"inputs.{name}.join", "'join' beside for_each", wanted, "remove one")
        if only is not None:
            return {"": (only.path,)}
        files = self._matching(path, where)
        if join is not None or not files:
            return {"": tuple(member.path for member in files)}
        if isinstance(path.value, tuple):
            named = stems(Member(member.label or str(number), member.path) for number, member in enumerate(files))
            return {member.label: (member.path,) for member in named}
        return {member.label: (member.path,) for member in files}

    def _matching(self, path: Node, where: str) -> list[Member]:
        """Return the files of a path, a pattern, or a list of these; a plain path has no label."""
        if isinstance(path.value, tuple):
            return [one for i, item in enumerate(path.value) for one in self._matching(item, f"{where}[{i}]")]
        several = self.files.members(path, where)
        if several is not None:
            return list(several)
        one = self.files.locate(path, where)
        return [Member("", one)] if one else []

    def _reader(self, entries: Mapping[str, Node], where: str) -> str | None:
        node = entries.get("reader")
        if node is None or node.broken:
            return None
        known = self.registry.reader_names()
        if isinstance(node.value, str) and node.value in known:
            return node.value
        fix = did_you_mean(str(node.value), known)
        self.findings.say(node.place, f"{where}.reader", f"the unknown reader {node.found}", "a known reader", fix)
        return None

    def _stated(self, node: Node, entries: Mapping[str, Node], where: str) -> dict[str, object] | None:
        block = {key: self._with_files(key, one, where) for key, one in entries.items() if key in Stated.model_fields}
        builder = Builder(self.findings, self.files.locate)
        made = builder.build(Stated, replace(node, value=block), where)
        return None if made is None else made.model_dump(exclude_unset=True)

    def _with_files(self, key: str, node: Node, where: str) -> Node:
        """Return a stated value with the path of its side file, if it has one, made whole."""
        if key == "angles" and isinstance(node.value, str) and not node.broken:
            return self._located(node, f"{where}.{key}")
        if isinstance(node.value, Mapping) and "path" in node.value and key != "pixel_size":
            path = self._located(node.value["path"], f"{where}.{key}.path")
            return replace(node, value={**node.value, "path": path})
        return node

    def _located(self, node: Node, where: str) -> Node:
        if isinstance(node.value, str) and is_pattern(node.value):
            wanted, fix = "one file", "side files are named one by one"
            self.findings.say(node.place, where, node.found, wanted, fix)
            return replace(node, broken=True)
        path = self.files.locate(node, where)
        return (
            replace(node, broken=True) if path is None else replace(node, value=str(path), raw=str(path), plain=False)
        )

    def _kind(
        self, node: Node, entries: Mapping[str, Node], where: str, reader: str | None, paths: list[Path]
    ) -> Kind | None:
        stated = entries.get("kind")
        if stated is not None:
            if stated.broken:
                return None
            kind = KINDS.get(str(stated.value))
            if kind is None:
                fix = did_you_mean(str(stated.value), KINDS)
                self.findings.say(stated.place, f"{where}.kind", f"the unknown kind {stated.found}", "a kind", fix)
            return kind
        if "frames" in entries or "scan_directions" in entries:
            return RAW_SERIES
        if "angles" in entries:
            return TILT_SERIES
        if "reader" in entries and reader is None:
            return None
        gives = self._gives(reader, paths)
        if len(gives) == 1:
            return gives[0]
        if paths or reader:
            known = [kind.name for kind in gives] or sorted(KINDS)
            fix = "write kind: " + " or ".join(known) if gives else f"write kind: with one of {', '.join(known)}"
            self.findings.say(node.key, where, "no 'kind'", "the kind of dataset, as its files do not tell", fix)
        return None

    def _gives(self, reader: str | None, paths: list[Path]) -> list[Kind]:
        """Return the kinds that the reader, or every reader chosen by the files' names, can give."""
        found: dict[str, Kind] = {}
        names = [reader] if reader else self.registry.reader_names()
        for name in names:
            try:
                one = self.registry.reader(name)
            except RecipeError:
                continue
            if reader or any(fnmatch.fnmatch(path.name.lower(), glob) for path in paths for glob in one.patterns):
                found |= {kind.name: kind for kind in one.gives}
        return list(found.values())
