"""The `steps:` and `export:` of a recipe: stages by name, kinds along the graph, lists made flat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aetx.core import Params, Stage
from aetx.core.registry import Registry
from aetx.core.stage import Take
from aetx.errors import RecipeError, did_you_mean
from aetx.recipe.findings import Findings
from aetx.recipe.inputs import Source
from aetx.recipe.plan import Step
from aetx.recipe.text import Node
from aetx.recipe.values import Builder

KEYS = ("name", "stage", "from", "params", "keep")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


def check_name(name: str, node: Node, where: str, findings: Findings) -> bool:
    """Tell whether a name can stand in a recipe and as the name of a file; say so if not."""
    if NAME.fullmatch(name):
        return True
    wanted = "a name of letters, digits, '_' and '-', starting with a letter, of at most 60"
    findings.say(node.place, where, repr(name), wanted, "choose a name that can be the name of a file")
    return False


@dataclass
class Steps:
    """Reads step blocks in their order, and knows what every earlier name is."""

    registry: Registry
    builder: Builder
    findings: Findings
    sources: dict[str, Source]
    places: dict[str, Node]
    later: Mapping[str, tuple[str, ...]]
    made: list[Step] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def read(self, node: Node, where: str) -> None:
        """Read one step."""
        entries = self._entries(node, where)
        if entries is None:
            return
        name = self._name(entries, node, where)
        stage = self._stage(entries, node, where)
        keep = self._keep(entries, where)
        if stage is None:
            if name is not None:
                self.sources[name] = Source(None)
            return
        params = self._params(stage, entries, node, where)
        given = self._from(stage, entries, node, where)
        if name is None:
            return
        if given is None:
            self.sources[name] = Source(stage.gives)
            return
        members = self._members(stage, given, entries.get("from", node), where)
        self.sources[name] = Source(stage.gives, members)
        if params is None:
            return
        for label in members or (None,):
            flat = {take: self._flat(stage.takes[take], names, label) for take, names in given.items()}
            full = name if label is None else f"{name}/{label}"
            self.made.append(Step(full, stage, flat, params, keep, node.place))

    def export(self, name: str, node: Node) -> None:
        """Read the formats that one result is written in."""
        where = f"export.{name}"
        if name not in self.sources:
            known = did_you_mean(name, self.sources)
            self.findings.say(node.key, where, repr(name), "the name of a step or input", known)
            return
        self.used.add(name)
        formats = node.value if isinstance(node.value, tuple) else (node,)
        seen: set[str] = set()
        for number, item in enumerate(formats):
            place = f"{where}[{number}]" if isinstance(node.value, tuple) else where
            if item.broken:
                continue
            options = Node(None, item.place, item.key)
            text = item.value
            if isinstance(text, Mapping) and len(text) == 1:
                (text, options), *_ = text.items()
            if not isinstance(text, str):
                fix = "write {atoms: [extxyz, cif]}, or {mrc: {...}} for one with parameters"
                self.findings.say(item.place, place, item.found, "the name of a format", fix)
            elif text in seen:
                self.findings.say(item.place, place, f"{text!r} twice", "each format once", "remove one")
            else:
                seen.add(text)
                self._export_one(name, text, item, options, place)

    def _export_one(self, name: str, text: str, item: Node, options: Node, place: str) -> None:
        formats = [one.partition(".")[2] for one in self.registry.stage_names() if one.startswith("export.")]
        if text not in formats:
            fix = did_you_mean(text, formats)
            self.findings.say(item.place, place, f"the unknown format {text!r}", "a known format", fix)
            return
        stage = self._load(f"export.{text}", item, place)
        if stage is None:
            return
        first, take = next(iter(stage.takes.items()))
        source = self.sources[name]
        if source.kind is not None and not source.kind.is_a(take.kind):
            found = f"{name!r}, {_a(source.kind.name)}"
            fix = f"choose a format for {_a(source.kind.name)}"
            self.findings.say(item.place, place, found, f"{_a(take.kind.name)} for {text}", fix)
            return
        params = self.builder.build(stage.params, options, place)
        if params is None:
            return
        for label in source.members or (None,):
            full = name if label is None else f"{name}/{label}"
            self.made.append(Step(f"{full}.{text}", stage, {first: (full,)}, params, False, item.place))

    def _entries(self, node: Node, where: str) -> Mapping[str, Node] | None:
        if node.broken or not isinstance(node.value, Mapping):
            if not node.broken:
                fix = "write {name: ..., stage: ..., from: ...}"
                self.findings.say(node.place, where, node.found, "a step: a mapping", fix)
            return None
        for key, item in node.value.items():
            if key not in KEYS:
                fix = did_you_mean(key, KEYS)
                self.findings.say(item.key, f"{where}.{key}", f"the unknown key {key!r}", "a known key", fix)
        return node.value

    def _name(self, entries: Mapping[str, Node], node: Node, where: str) -> str | None:
        item = entries.get("name")
        if item is None:
            self.findings.say(node.place, where, "a step without a name", "a key 'name'", "name the result of the step")
            return None
        name = item.raw if item.plain else str(item.value)
        if item.broken or not check_name(name, item, f"{where}.name", self.findings):
            return None
        first = next((one for one in self.places if one.lower() == name.lower()), None)
        if first is not None:
            found = f"the name {name!r} again" if first == name else f"{name!r} beside {first!r}"
            fix = f"rename one; the first is on line {self.places[first].place.line}"
            self.findings.say(item.place, f"{where}.name", found, "a name of its own, in upper or lower case", fix)
            return None
        self.places[name] = item
        return name

    def _stage(self, entries: Mapping[str, Node], node: Node, where: str) -> Stage | None:
        item = entries.get("stage")
        if item is None:
            fix = "'aetx stages' lists them"
            self.findings.say(node.place, where, "a step without a stage", "a key 'stage'", fix)
            return None
        if item.broken:
            return None
        known = self.registry.stage_names()
        if not isinstance(item.value, str) or item.value not in known:
            fix = did_you_mean(str(item.value), known)
            self.findings.say(item.place, f"{where}.stage", f"the unknown stage {item.found}", "a known stage", fix)
            return None
        return self._load(item.value, item, f"{where}.stage")

    def _load(self, name: str, item: Node, where: str) -> Stage | None:
        try:
            return self.registry.stage(name)
        except RecipeError as error:
            for one in error.problems:
                self.findings.say(item.place, where, one.found, one.wanted, one.fix)
        except ImportError as error:
            found = f"{name!r}, which needs the package {error.name!r}"
            self.findings.say(item.place, where, found, "an installed package", f"pip install {error.name}")
        return None

    def _keep(self, entries: Mapping[str, Node], where: str) -> bool:
        item = entries.get("keep")
        if item is None or item.broken:
            return False
        if not isinstance(item.value, bool):
            self.findings.say(
                item.place, f"{where}.keep", item.found, "true or false", "leave it out, or write keep: true"
            )
        return item.value is True

    def _params(self, stage: Stage, entries: Mapping[str, Node], node: Node, where: str) -> Params | None:
        block = entries.get("params") or Node(None, node.place, node.place)
        return self.builder.build(stage.params, block, f"{where}.params")

    def _from(
        self, stage: Stage, entries: Mapping[str, Node], node: Node, where: str
    ) -> dict[str, tuple[str, ...]] | None:
        """Return the names that each input of the stage comes from, None where something is wrong."""
        item = entries.get("from")
        where = f"{where}.from"
        if item is not None and item.broken:
            return None
        before = len(self.findings.problems)
        if item is None or item.value is None:
            given: Mapping[str, Node] = {}
        elif isinstance(item.value, Mapping):
            given = item.value
        elif stage.takes:
            given = {next(iter(stage.takes)): item}
        else:
            fix = "remove 'from'"
            self.findings.say(item.place, where, item.found, f"nothing: {stage.name} takes no dataset", fix)
            return None
        named = item is not None and isinstance(item.value, Mapping)
        found: dict[str, tuple[str, ...]] = {}
        for key, one in given.items():
            place = f"{where}.{key}" if named else where
            if key not in stage.takes:
                fix = did_you_mean(key, stage.takes)
                self.findings.say(one.key, place, f"the unknown input {key!r}", f"an input of {stage.name}", fix)
            else:
                names = self._names(stage, key, one, place)
                if names:
                    found[key] = names
        for key, take in stage.takes.items():
            if take.form != "optional" and key not in given and set(given) <= set(stage.takes):
                at = item or node
                fix = f"write from: {{{', '.join(f'{one}: ...' for one in stage.takes)}}}"
                wanted = f"{key!r}, {_a(take.kind.name)}, for {stage.name}"
                self.findings.say(at.place, where, "nothing", wanted, fix)
        return None if len(self.findings.problems) > before or len(found) < len(given) else found

    def _names(self, stage: Stage, key: str, node: Node, where: str) -> tuple[str, ...]:
        take = stage.takes[key]
        items = node.value if isinstance(node.value, tuple) else (node,)
        if len(items) != 1 and take.form != "many":
            wanted = f"one name: {stage.name} takes one {_words(take.kind.name)}"
            self.findings.say(node.place, where, node.found, wanted, "name one result")
            return ()
        return tuple(name for name in (self._one(stage, take, item, where) for item in items) if name)

    def _one(self, stage: Stage, take: Take, node: Node, where: str) -> str | None:
        name = node.raw if node.plain else node.value
        if node.broken:
            return None
        if not isinstance(name, str) or name not in self.sources:
            if isinstance(name, str) and name in self.later:
                self._say_later(name, node, where)
            else:
                fix = did_you_mean(str(name), [*self.sources])
                self.findings.say(node.place, where, node.found, "the name of an input or an earlier step", fix)
            return None
        self.used.add(name)
        source = self.sources[name]
        if source.kind is not None and not source.kind.is_a(take.kind):
            found = f"{name!r}, {_a(source.kind.name)}"
            fix = f"name a step or input that is {_a(take.kind.name)}"
            fitting = [one for one, other in self.sources.items() if other.kind and other.kind.is_a(take.kind)]
            if fitting:
                fix += ": " + " or ".join(repr(one) for one in fitting)
            self.findings.say(node.place, where, found, f"{_a(take.kind.name)} for {stage.name}", fix)
            return None
        return name

    def _say_later(self, name: str, node: Node, where: str) -> None:
        circle = _circle(name, self.later)
        if circle:
            found, wanted = " -> ".join(circle), "steps that do not wait for each other"
            self.findings.say(node.place, where, found, wanted, "break the circle")
            return
        fix = f"move step {name!r} above this one"
        self.findings.say(node.place, where, f"{name!r}, a later step", "an input or an earlier step", fix)

    def _members(
        self, stage: Stage, given: Mapping[str, Sequence[str]], node: Node, where: str
    ) -> tuple[str, ...] | None:
        """Return the members over which a step runs: those of its lists, unless the stage gathers them."""
        lists = {
            name: members
            for take, names in given.items()
            for name in names
            if stage.takes[take].form != "many" and (members := self.sources[name].members) is not None
        }
        if len(set(lists.values())) > 1:
            found = "; ".join(f"{name!r} has {', '.join(members)}" for name, members in lists.items())
            wanted, fix = "lists of the same members", "choose files whose differing parts are equal"
            self.findings.say(node.place, f"{where}.from", found, wanted, fix)
        return next(iter(lists.values()), None)

    def _flat(self, take: Take, names: Sequence[str], label: str | None) -> tuple[str, ...]:
        found: list[str] = []
        for name in names:
            members = self.sources[name].members
            if members is None:
                found.append(name)
            elif take.form == "many":
                found += [f"{name}/{one}" for one in members]
            else:
                found.append(f"{name}/{label}")
        return tuple(found)


def _circle(start: str, sources: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """Return the way from a step back to itself, None where there is none."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for name in sources.get(way[-1], ()):
            if name == start:
                return [*way, name]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return None


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _a(kind: str) -> str:
    text = _words(kind)
    if text in ("atoms", "columns", "frames"):
        return text
    return ("an " if text[0] in "aeiou" else "a ") + text
