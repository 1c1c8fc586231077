"""The ``run:`` block and the options of the command line that stand above it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from aetx.errors import did_you_mean
from aetx.recipe.files import real
from aetx.recipe.findings import Findings
from aetx.recipe.plan import Settings, Slurm
from aetx.recipe.text import COMMAND_LINE, Node
from aetx.recipe.values import Builder

KEYS = ("output", "memory", "scheduler", "device", "worker-timeout", "slurm")
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
Number = TypeVar("Number", int, float)
LEAST = 10**7
"""Bytes below which a memory limit is a slip."""


def parse_memory(text: str) -> int:
    """Return the bytes that ``4GB`` or ``500 MiB`` means.

    Raises
    ------
    ValueError
        If it is no size with a unit, or less than a program could ever hold.
    """
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*([KMGT]?I?B)\s*", text.upper())
    if match is None or match[2] not in _SIZES:
        raise ValueError("a size with a unit, such as '4GB' or '500 MiB'")
    size = int(float(match[1]) * _SIZES[match[2]])
    if size < LEAST:
        raise ValueError("at least 10 MB")
    return size


def settle(block: Node | None, given: Mapping[str, str | None], stem: str, findings: Findings) -> Settings:
    """Return the settings of a run: the command line's, else the recipe's, else the defaults.

    Parameters
    ----------
    block
        The ``run:`` block.
    given
        What the command line says, by key.
    stem
        Name of the recipe's file; the output is ``out/<stem>`` where none is named.
    findings
        Where mistakes go.
    """
    nodes: dict[str, Node] = {}
    if block is not None and block.value is not None and not isinstance(block.value, Mapping):
        findings.say(block.place, "run", block.found, "a mapping", f"known keys are {', '.join(KEYS)}")
    elif block is not None and isinstance(block.value, Mapping):
        for name, node in block.value.items():
            if name not in KEYS:
                findings.say(
                    node.key, f"run.{name}", f"the unknown key {name!r}", "a known key", did_you_mean(name, KEYS)
                )
            elif not node.broken:
                nodes[name] = node
    for name, text in given.items():
        if text is not None:
            nodes[name] = Node(text, COMMAND_LINE, COMMAND_LINE, raw=text, typed=True)
    asked = Builder(findings, _no_path).build(Slurm, nodes.pop("slurm"), "run.slurm") if "slurm" in nodes else None
    texts = {name: _text(name, node, findings) for name, node in nodes.items()}
    output = _output(texts.get("output"), nodes.get("output"), findings) or Path.cwd() / "out" / stem
    wait = _amount(
        "worker-timeout", texts.get("worker-timeout"), nodes.get("worker-timeout"), parse_time, "5 min", findings
    )
    return Settings(
        output=output,
        memory=_amount("memory", texts.get("memory"), nodes.get("memory"), parse_memory, "4GB", findings) or 0,
        scheduler=_scheduler(texts.get("scheduler"), nodes.get("scheduler"), findings),
        device=_device(texts.get("device"), nodes.get("device"), findings),
        worker_timeout=wait or 0.0,
        slurm=asked or Slurm(),
    )


def _no_path(_: Node, __: str) -> None:
    """Find no path: nothing that is asked of Slurm is one."""


def parse_time(text: str) -> float:
    """Return the seconds that ``90 s``, ``5 min`` or ``2 h`` means.

    Raises
    ------
    ValueError
        If it is no time with a unit, or none that a run could wait.
    """
    match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*(s|min|h)\s*", text)
    if match is None:
        raise ValueError("a time with a unit, such as '90 s', '5 min' or '2 h'")
    found = float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2]]
    if not 1 <= found <= 7 * 86400:
        raise ValueError("a time from 1 s to 168 h")
    return found


def _where(node: Node, name: str) -> str:
    return f"run.{name}" if node.place.line else f"--{name}"


def _text(name: str, node: Node, findings: Findings) -> str | None:
    text = node.raw if node.plain and node.value is not None else node.value
    if isinstance(text, str) and text.strip():
        return text
    findings.say(node.place, _where(node, name), node.found, "a text", "write it out, or leave the key out")
    return None


def _output(text: str | None, node: Node | None, findings: Findings) -> Path | None:
    if text is None or node is None:
        return None
    where = _where(node, "output")

    def refuse(wanted: str, fix: str) -> None:
        assert node is not None
        findings.say(node.place, where, node.found, wanted, fix)

    path = Path(text)
    if re.search(r"[\x00-\x1f]", text):
        refuse("a path without control characters", "mend the path")
    elif "://" in text or "::" in text:
        refuse("a local folder", "write to this machine, then copy")
    elif text.startswith("~"):
        refuse("a path written out", "'~' is not expanded in a recipe; write the folder out")
    elif any(len(part.encode()) > 255 for part in path.parts) or len(str(Path.cwd() / path).encode()) > 3500:
        refuse("a name of at most 255 bytes", "shorten the name of the folder")
    elif not node.typed and (path.is_absolute() or ".." in path.parts):
        fix = "name a folder below the current one, or give any folder with --output"
        refuse("a folder below the current one: this leaves the run folder", fix)
    elif real(Path.cwd() / path) in (real(Path.cwd()), Path("/")):
        refuse("a folder of its own", "name a new folder for the results")
    else:
        return Path.cwd() / path
    return None


def _amount(
    name: str, text: str | None, node: Node | None, parse: Callable[[str], Number], example: str, findings: Findings
) -> Number | None:
    """Return what is asked for with a unit; None where nothing is, or nothing that can be read."""
    if text is None or node is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        findings.say(node.place, _where(node, name), node.found, str(error), f"write e.g. {example!r}")
        return None


def _scheduler(text: str | None, node: Node | None, findings: Findings) -> str:
    if text is None or node is None:
        return "threads"
    if text in ("threads", "local", "slurm") or re.fullmatch(r"(tcp|tls)://[A-Za-z0-9.\-\[\]:]+:\d{1,5}", text):
        return text
    wanted = "'threads', 'local', 'slurm' or 'tcp://host:port'"
    fix = did_you_mean(text, ("threads", "local", "slurm"))
    findings.say(node.place, _where(node, "scheduler"), node.found, wanted, fix)
    return "threads"


def _device(text: str | None, node: Node | None, findings: Findings) -> str:
    if text is None or node is None:
        return "cpu"
    if re.fullmatch(r"cpu|cuda(:\d{1,2})?", text):
        return text
    findings.say(node.place, _where(node, "device"), node.found, "'cpu', 'cuda' or 'cuda:1'", "name one of them")
    return "cpu"
