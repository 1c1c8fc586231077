"""From the text of a recipe to a checked plan."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aetx.core.registry import Registry
from aetx.errors import AetxWarning, RecipeError, did_you_mean
from aetx.recipe.files import Files, Member, overlap, safe
from aetx.recipe.findings import Findings
from aetx.recipe.inputs import Inputs, Source
from aetx.recipe.plan import Input, Job, Plan
from aetx.recipe.settings import settle
from aetx.recipe.steps import Steps, check_name
from aetx.recipe.substitute import Scope, from_command_line, resolve_vars
from aetx.recipe.text import COMMAND_LINE, Node, Scalar, plain_data, read
from aetx.recipe.values import Builder

KEYS = ("aetx", "title", "vars", "inputs", "for_each", "sweep", "steps", "export", "report", "run")
MOST_JOBS = 2_000

Entries = Mapping[str, Node]


def load(
    path: Path | str,
    *,
    sets: Mapping[str, str] | None = None,
    plugins: frozenset[str] = frozenset(),
    output: str | None = None,
    memory: str | None = None,
    scheduler: str | None = None,
    device: str | None = None,
) -> Plan:
    """Read a recipe, check everything that can be known without opening data, and return its plan.

    Parameters
    ----------
    path
        The YAML file.
    sets
        Values that replace those of the recipe: ``vars.x`` or ``x``, ``steps.NAME.params.P``, ``inputs.NAME.FIELD``.
    plugins
        Names of installed packages whose stages and readers may be used.
    output, memory, scheduler, device
        What stands above the ``run:`` block.

    Raises
    ------
    RecipeError
        With every mistake at once, each with its line and column.
    """
    path = Path(path)
    findings = Findings(str(path))
    text, root = read(path, findings)
    registry = Registry(plugins)
    for name in registry.missing_plugins():
        findings.say(COMMAND_LINE, "--plugin", repr(name), "an installed package", f"pip install {name}")
    recipe = _Recipe(root, registry, findings, Files(path.parent.resolve(), findings))
    recipe.override(sets or {})
    title = recipe.title()
    scope = resolve_vars(recipe.section("vars"), findings)
    given = {"output": output, "memory": memory, "scheduler": scheduler, "device": device}
    block = recipe.entries.get("run")
    settings = settle(scope.fill(block, "run") if block else None, given, path.stem, findings)
    jobs = tuple(recipe.jobs(scope))
    assert settings.output is not None
    recipe.keep_apart(settings.output, jobs, "run.output" if output is None else "--output")
    findings.stop()
    recipe.warn_unused(scope)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Plan(path, text, digest, title, jobs, settings, registry)


@dataclass
class _Recipe:
    """A recipe's tree on its way to jobs."""

    root: Node
    registry: Registry
    findings: Findings
    files: Files

    def __post_init__(self) -> None:
        assert isinstance(self.root.value, Mapping)
        self.entries: dict[str, Node] = dict(self.root.value)
        self.used: set[str] = set()
        for key, node in self.entries.items():
            if key not in KEYS:
                self.findings.say(node.key, key, f"the unknown key {key!r}", "a known key", did_you_mean(key, KEYS))
        self._check_version()
        steps = self.entries.get("steps")
        if steps is None or not isinstance(steps.value, tuple) or not steps.value:
            found = steps.found if steps else "nothing"
            fix = "write steps: [{name: ..., stage: ..., from: ...}]"
            self.findings.say((steps or self.root).place, "steps", found, "a list of at least one step", fix)

    def _check_version(self) -> None:
        node = self.entries.get("aetx")
        if node is None:
            self.findings.say(
                self.root.place, "aetx", "nothing", "'aetx: 1'", "say which version of the language it is"
            )
        elif node.value != 1 or isinstance(node.value, bool):
            self.findings.say(node.place, "aetx", node.found, "1", "this aetx reads version 1 of the language")

    def section(self, name: str) -> Entries:
        """Return a section that is a mapping of names, with its names checked."""
        node = self.entries.get(name)
        if node is None or node.value is None:
            return {}
        if not isinstance(node.value, Mapping):
            self.findings.say(node.place, name, node.found, "a mapping of names", f"write {name}: {{name: ...}}")
            return {}
        for key, item in node.value.items():
            check_name(key, replace(item, place=item.key), f"{name}.{key}", self.findings)
        return node.value

    def title(self) -> str:
        """Return the title, '' where there is none."""
        node = self.entries.get("title")
        if node is None or node.value is None:
            return ""
        if isinstance(node.value, (tuple, Mapping)):
            self.findings.say(node.place, "title", node.found, "a text", "write it as one line")
            return ""
        return node.raw if node.plain else str(node.value)

    def override(self, sets: Mapping[str, str]) -> None:
        """Put the values of ``--set`` in the tree."""
        for name, text in sets.items():
            where = f"--set {name}"
            problems = Findings(where)
            try:
                value = from_command_line(text, problems)
            except RecipeError as error:
                reason = error.problems[0]
                self.findings.say(COMMAND_LINE, where, repr(text), reason.wanted, reason.fix)
                continue
            parts = name.split(".")
            if len(parts) == 1:
                self._set_in("vars", [name], value, where)
            elif parts[0] == "vars" and len(parts) == 2:
                self._set_in("vars", parts[1:], value, where)
            elif parts[0] == "inputs" and len(parts) == 3:
                self._set_in("inputs", parts[1:], value, where)
            elif parts[0] == "steps" and len(parts) == 4 and parts[2] == "params":
                self._set_step(parts[1], parts[3], value, where)
            else:
                wanted = "x, vars.x, steps.NAME.params.P or inputs.NAME.FIELD"
                self.findings.say(COMMAND_LINE, where, repr(name), wanted, "name one value of the recipe")

    def _set_in(self, section: str, way: list[str], value: Node, where: str) -> None:
        node = self.entries.get(section)
        known = node.value if node is not None and isinstance(node.value, Mapping) else {}
        if way[0] not in known:
            fix = did_you_mean(way[0], known)
            self.findings.say(COMMAND_LINE, where, repr(way[0]), f"a name under {section}:", fix)
            return
        assert node is not None
        block = known[way[0]]
        if len(way) == 1:
            changed = replace(value, key=block.key)
        else:
            inside = block.value if isinstance(block.value, Mapping) else {"path": block}
            changed = replace(block, value={**inside, way[1]: value})
        self.entries[section] = replace(node, value={**known, way[0]: changed})

    def _set_step(self, step: str, param: str, value: Node, where: str) -> None:
        node = self.entries.get("steps")
        items = list(node.value) if node is not None and isinstance(node.value, tuple) else []
        names = [_word(item.value.get("name")) if isinstance(item.value, Mapping) else "" for item in items]
        if step not in names:
            self.findings.say(
                COMMAND_LINE, where, repr(step), "the name of a step", did_you_mean(step, filter(None, names))
            )
            return
        assert node is not None
        at = names.index(step)
        block = items[at].value
        assert isinstance(block, Mapping)
        params = block.get("params") or Node({}, COMMAND_LINE, COMMAND_LINE)
        inside = params.value if isinstance(params.value, Mapping) else {}
        items[at] = replace(items[at], value={**block, "params": replace(params, value={**inside, param: value})})
        self.entries["steps"] = replace(node, value=tuple(items))

    def jobs(self, scope: Scope) -> Iterator[Job]:
        """Yield one job for each point of the sweep and each member of ``for_each``."""
        inputs = self.section("inputs")
        each = self._for_each(inputs)
        seen: set[str] = set()
        for point in self._points(scope):
            values = {**scope.values, **{f"sweep.{name}": node for name, node in point.items()}}
            local = Scope(values, self.findings, scope.used)
            members = [None] if each is None else self._members(each, inputs, local)
            for member in members:
                if len(seen) >= MOST_JOBS:
                    self.findings.say(
                        self.root.place, "sweep", f"more than {MOST_JOBS} jobs", "fewer", "split the recipe"
                    )
                    return
                name = _unique(_job_name(member, point), seen)
                yield self._job(name, each, member, local)

    def _for_each(self, inputs: Entries) -> str | None:
        node = self.entries.get("for_each")
        if node is None or node.value is None:
            return None
        if not isinstance(node.value, str) or node.value not in inputs:
            fix = did_you_mean(str(node.value), inputs)
            self.findings.say(node.place, "for_each", node.found, "the name of an input", fix)
            return None
        return node.value

    def _points(self, scope: Scope) -> Iterator[dict[str, Node]]:
        choices: dict[str, tuple[Node, ...]] = {}
        fixed = self.section("vars")
        for name, written in self.section("sweep").items():
            if name in fixed:
                found = f"{name!r}, which is also a name under vars:"
                fix = f"take it out of vars: and write ${{sweep.{name}}} for ${{vars.{name}}}, the same in all jobs"
                self.findings.say(written.key, f"sweep.{name}", found, "a name of its own", fix)
                continue
            node = scope.fill(written, f"sweep.{name}")
            if node.broken:
                continue
            if not isinstance(node.value, tuple) or not node.value:
                fix = f"write {name}: [first, second]"
                self.findings.say(node.place, f"sweep.{name}", node.found, "a list of values", fix)
                continue
            choices[name] = node.value
        for values in itertools.islice(itertools.product(*choices.values()), MOST_JOBS + 1):
            yield dict(zip(choices, values, strict=True))

    def _members(self, each: str, inputs: Entries, scope: Scope) -> list[Member | None]:
        reader = Inputs(self.registry, self.files, self.findings)
        node = inputs[each]
        block = node.value if isinstance(node.value, Mapping) else {"path": node}
        if "path" not in block:
            return [None]
        found = reader.members(each, scope.fill(block["path"], f"inputs.{each}.path"))
        return [*found] or [None]

    def _job(self, name: str, each: str | None, member: Member | None, scope: Scope) -> Job:
        values = dict(scope.values)
        if member is not None:
            place = self.entries["for_each"].place
            values["each.name"] = Node(member.label or member.path.stem, place, place)
        local = Scope(values, self.findings, scope.used)
        sources: dict[str, Source] = {}
        inputs: list[Input] = []
        reader = Inputs(self.registry, self.files, self.findings)
        for key, node in self.section("inputs").items():
            filled = local.fill(node, f"inputs.{key}")
            sources[key], found = reader.read(key, filled, member if key == each else None)
            inputs += found
        steps = self._steps(sources, local)
        report = self._report(steps, local)
        self.used |= steps.used | set(report)
        flat = tuple(full for one in report for full in _full(one, steps.sources[one].members))
        variables = {one.removeprefix("vars."): plain_data(node) for one, node in values.items()}
        return Job(name, variables, tuple(inputs), tuple(steps.made), flat)

    def _steps(self, sources: dict[str, Source], scope: Scope) -> Steps:
        node = self.entries.get("steps")
        items = node.value if node is not None and isinstance(node.value, tuple) else ()
        blocks = [scope.fill(item, f"steps[{number}]") for number, item in enumerate(items)]
        places = {name: replace(one, place=one.key) for name, one in self.section("inputs").items()}
        builder = Builder(self.findings, self.files.locate)
        steps = Steps(self.registry, builder, self.findings, sources, places, _waits(blocks))
        for number, block in enumerate(blocks):
            steps.read(block, f"steps[{number}]")
        export = self.entries.get("export")
        if export is not None and export.value is not None:
            if not isinstance(export.value, Mapping):
                fix = "write export: {atoms: [extxyz]}"
                self.findings.say(export.place, "export", export.found, "a mapping of step to formats", fix)
            else:
                for name, one in export.value.items():
                    steps.export(name, scope.fill(one, f"export.{name}"))
        return steps

    def _report(self, steps: Steps, scope: Scope) -> list[str]:
        node = self.entries.get("report")
        if node is None or node.value is None:
            inputs = self.section("inputs")
            kinds = {name: one.kind for name, one in steps.sources.items() if name not in inputs}
            return [name for name, kind in kinds.items() if kind is not None and kind.name != "file"]
        filled = scope.fill(node, "report")
        items = filled.value if isinstance(filled.value, tuple) else (filled,)
        names: list[str] = []
        for number, item in enumerate(items):
            where = f"report[{number}]" if isinstance(filled.value, tuple) else "report"
            if item.broken:
                continue
            name = _word(item)
            if name not in steps.sources:
                fix = did_you_mean(name or item.found, steps.sources)
                self.findings.say(item.place, where, item.found, "the name of a step or input", fix)
            elif name not in names:
                names.append(name)
        return names

    def keep_apart(self, output: Path, jobs: tuple[Job, ...], where: str) -> None:
        """Say so where the output would be an input, lie in one, or hold one (whose files a run could then touch)."""
        block = self.entries.get("run")
        node = block.value.get("output") if block is not None and isinstance(block.value, Mapping) else None
        typed = where.startswith("--") or node is None
        place = COMMAND_LINE if typed or node is None else node.place
        where = "--output" if typed else where
        files = {path: one.name for job in jobs for one in job.inputs for path in (*one.paths, *_side_files(one))}
        for path, name in files.items():
            clash = overlap(output, path)
            if clash:
                found = f"{str(output)!r}, {clash} {str(path)!r} of input {name!r}"
                self.findings.say(place, where, found, "a folder apart from every input", "name another folder")

    def warn_unused(self, scope: Scope) -> None:
        """Warn of inputs, variables and sweeps that nothing uses."""
        unused = [f"inputs.{name}" for name in self.section("inputs") if name not in self.used]
        unused += [f"vars.{name}" for name in self.section("vars") if f"vars.{name}" not in scope.used]
        unused += [f"sweep.{name}" for name in self.section("sweep") if f"sweep.{name}" not in scope.used]
        for name in unused:
            section, _, key = name.partition(".")
            place = self.section(section)[key].key
            text = f"{self.findings.file}:{place.line}:{place.column}: {name} is not used"
            warnings.warn(text, AetxWarning, stacklevel=3)


def _word(node: Node | None) -> str:
    if node is None or isinstance(node.value, (tuple, Mapping)):
        return ""
    return node.raw if node.plain else str(node.value)


def _waits(blocks: list[Node]) -> dict[str, tuple[str, ...]]:
    """Return the names that every step waits for."""
    waits: dict[str, tuple[str, ...]] = {}
    for block in blocks:
        entries = block.value if isinstance(block.value, Mapping) else {}
        waits[_word(entries.get("name"))] = tuple(_names_in(entries["from"])) if "from" in entries else ()
    return waits


def _names_in(node: Node) -> Iterator[str]:
    if isinstance(node.value, Mapping):
        for item in node.value.values():
            yield from _names_in(item)
    elif isinstance(node.value, tuple):
        for item in node.value:
            yield from _names_in(item)
    else:
        yield _word(node)


def _full(name: str, members: tuple[str, ...] | None) -> list[str]:
    return [name] if members is None else [f"{name}/{one}" for one in members]


def _side_files(one: Input) -> list[Path]:
    values = [one.stated.get("angles")]
    values += [value.get("path") for value in one.stated.values() if isinstance(value, Mapping)]
    return [Path(value) for value in values if isinstance(value, str)]


def _job_name(member: Member | None, point: Entries) -> str:
    """Return a name such as ``pt_1_sigma=0.8``; safe as the name of a folder."""
    parts = [member.label] if member is not None and member.label else []
    parts += [f"{name}={_short(node)}" for name, node in point.items()]
    return safe("_".join(parts)) if parts else ""


def _short(node: Node) -> str:
    value: Scalar | tuple[Node, ...] | Mapping[str, Node] = node.value
    if isinstance(value, Mapping):
        return "-".join(_short(item) for item in value.values())
    if isinstance(value, tuple):
        return "-".join(_short(item) for item in value)
    return (node.raw or str(value)).replace(" ", "")


def _unique(name: str, seen: set[str]) -> str:
    made, number = name, 1
    while made.lower() in seen:
        number += 1
        made = f"{name}_{number}"
    seen.add(made.lower())
    return made
