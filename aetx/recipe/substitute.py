"""`${vars.x}`, `${sweep.x}` and `${each.name}` in the values of a recipe, places kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aetx.errors import did_you_mean
from aetx.recipe.findings import Findings
from aetx.recipe.text import COMMAND_LINE, Node, parse, resolve

_MAPPING = re.compile(r"\s*\{\s*\w+\s*:\s")
_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}?")


@dataclass
class Scope:
    """The names that a recipe's text may refer to, and those that it did."""

    values: Mapping[str, Node]
    findings: Findings
    used: set[str] = field(default_factory=set)

    def fill(self, node: Node, where: str) -> Node:
        """Return the value with every reference replaced; a whole scalar keeps the type of what it refers to."""
        if isinstance(node.value, Mapping):
            filled = {name: self.fill(item, f"{where}.{name}" if where else name) for name, item in node.value.items()}
            return replace(node, value=filled)
        if isinstance(node.value, tuple):
            return replace(node, value=tuple(self.fill(item, f"{where}[{i}]") for i, item in enumerate(node.value)))
        if not isinstance(node.value, str) or "${" not in node.value:
            return node
        whole = _REFERENCE.fullmatch(node.value)
        if whole and whole[1] is not None:
            found = self._look_up(whole, node, where)
            if found is None:
                return replace(node, broken=True)
            return replace(_moved(found, node), key=node.key, reference=whole[1].strip())
        return self._insert(node, node.value, where)

    def _insert(self, node: Node, text: str, where: str) -> Node:
        parts: list[str] = []
        broken, typed, end = False, node.typed, 0
        for match in _REFERENCE.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match[1] is None:
                parts.append("${")
                continue
            found = self._look_up(match, node, where)
            if found is None or isinstance(found.value, (tuple, Mapping)) or found.value is None:
                if found is not None and not found.broken:
                    self._say_unfit(match[1].strip(), found, node, where)
                broken = True
                continue
            typed = typed or (match.start() == 0 and found.typed)
            parts.append(found.raw if found.plain else str(found.value))
        filled = "".join([*parts, text[end:]])
        return replace(node, value=filled, raw=filled, plain=False, broken=broken, typed=typed)

    def _look_up(self, match: re.Match[str], node: Node, where: str) -> Node | None:
        name = match[1].strip()
        if not match[0].endswith("}"):
            fix = "close the brace, or write '$${' for the two characters themselves"
            self.findings.say(node.place, where, repr(match[0]), "'${name}'", fix)
            return None
        if name not in self.values:
            known = "one of " + ", ".join(sorted(self.values)) if self.values else "a name under vars:"
            self.findings.say(node.place, where, f"'${{{name}}}'", known, did_you_mean(name, self.values))
            return None
        self.used.add(name)
        found = self.values[name]
        return None if found.broken else found

    def _say_unfit(self, name: str, found: Node, node: Node, where: str) -> None:
        if found.value is None:
            fix = give(name)
            self.findings.say(node.place, where, f"'${{{name}}}', which has no value", "a value", fix)
        else:
            fix = "use it as the whole value, or insert text"
            self.findings.say(node.place, where, f"'${{{name}}}' = {found.found} inside text", "a text or number", fix)


def give(name: str) -> str:
    """Return the advice for a variable that has no value."""
    return f"give it: --set {name.removeprefix('vars.')}=..."


def _moved(found: Node, to: Node) -> Node:
    """Return a value as if it were written at the place of the reference, so that mistakes point there."""
    value = found.value
    if isinstance(value, Mapping):
        value = {name: _moved(item, to) for name, item in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_moved(item, to) for item in value)
    return replace(found, value=value, place=to.place, key=to.place)


def resolve_vars(declared: Mapping[str, Node], findings: Findings) -> Scope:
    """Return the scope of a recipe's variables; they may refer to each other, but not in a circle."""
    done: dict[str, Node] = {}
    scope = Scope(done, findings)
    waiting = dict(declared)
    while waiting:
        ready = [name for name, node in waiting.items() if not (_references(node) & {f"vars.{x}" for x in waiting})]
        if not ready:
            circle = _circle(waiting)
            for name in circle[:-1]:
                node = waiting.pop(name)
                done[f"vars.{name}"] = replace(node, broken=True)
            first = declared[circle[0]]
            found = " -> ".join(circle)
            findings.say(first.place, f"vars.{circle[0]}", found, "no circle of references", "write one of them out")
            continue
        for name in ready:
            done[f"vars.{name}"] = scope.fill(waiting.pop(name), f"vars.{name}")
    return scope


def _references(node: Node) -> set[str]:
    if isinstance(node.value, Mapping):
        return set().union(*(_references(item) for item in node.value.values()))
    if isinstance(node.value, tuple):
        return set().union(*(_references(item) for item in node.value))
    if isinstance(node.value, str):
        return {match[1].strip() for match in _REFERENCE.finditer(node.value) if match[1] is not None}
    return set()


def _circle(waiting: Mapping[str, Node]) -> list[str]:
    path = [next(iter(waiting))]
    while True:
        after = sorted(name.removeprefix("vars.") for name in _references(waiting[path[-1]]))
        step = next(name for name in after if name in waiting)
        if step in path:
            return [*path[path.index(step) :], step]
        path.append(step)


def from_command_line(text: str, findings: Findings) -> Node:
    """Return the value of one ``--set``: text as it stands, typed as YAML types it.

    ``[...]`` is a list and ``{name: ...}`` a mapping; ``{a,b}.mrc`` is a pattern.
    """
    if text.lstrip().startswith("[") or _MAPPING.match(text):
        tree = parse(f"x: {text}", findings)
        assert isinstance(tree.value, Mapping)
        return _typed(tree.value["x"])
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return Node(text[1:-1], COMMAND_LINE, COMMAND_LINE, raw=text[1:-1], typed=True)
    return Node(resolve(text), COMMAND_LINE, COMMAND_LINE, raw=text, plain=True, typed=True)


def _typed(node: Node) -> Node:
    value = node.value
    if isinstance(value, tuple):
        value = tuple(_typed(item) for item in value)
    elif isinstance(value, Mapping):
        value = {name: _typed(item) for name, item in value.items()}
    return replace(node, value=value, place=COMMAND_LINE, key=COMMAND_LINE, typed=True)
