"""Is this machine fit for a run? Each question: what was found, what is wanted, how grave it is, and what to do."""

from __future__ import annotations

import locale
import os
import resource
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from aetx.core.words import size
from aetx.run.code_cache import FIX, code_cache, open_to_others
from aetx.run.disk_speed import examine_disk
from aetx.run.finding import Finding
from aetx.run.threads import VARIABLES, cores

GIGABYTE = 10**9
LEAST_MEMORY = 2 * GIGABYTE
"""Bytes below which torch, numba and a small volume do not fit."""
FILES = 1024
"""Open files that a run with a local cluster can need."""
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Diagnosis:
    """All findings; `code` is 4 if one is bad, else 0."""

    findings: tuple[Finding, ...]

    @property
    def code(self) -> int:
        """The exit code that says whether a run can work here."""
        return 4 if any(one.state == "bad" for one in self.findings) else 0

    def as_dict(self) -> dict[str, object]:
        """Return everything for ``--json``."""
        return {"doctor": {"fit": not self.code, "findings": [asdict(one) for one in self.findings]}}

    def lines(self) -> list[str]:
        """Return what a person reads: one line each, and what to do where something is not as wanted."""
        fine = [one for one in self.findings if one.what.startswith("library ") and one.state == "ok"]
        shown = [one for one in self.findings if one not in fine]
        if fine:
            place = next(i for i, one in enumerate(self.findings) if one in fine)
            shown.insert(place, Finding("libraries", f"{len(fine)} as wanted", "", "ok", ""))
        width = max(len(one.what) for one in shown)
        lines = []
        for one in shown:
            lines.append(f"{one.state:4}  {one.what:{width}}  {one.found}")
            if one.state != "ok":
                lines.append(f"{'':{width + 8}}wanted {one.wanted}; {one.fix}")
        count = {state: sum(one.state == state for one in self.findings) for state in ("warn", "bad")}
        words = "a run can work here" if not self.code else "a run cannot work here until what is bad is mended"
        return [*lines, f"{words} ({count['warn']} to look at, {count['bad']} bad)"]


def diagnose(folder: Path) -> Diagnosis:
    """Examine the machine, and the disk of a folder that will hold results; leaves nothing there."""
    found: list[Finding] = []
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        python_and_libraries,
        processors,
        lambda: memory(CGROUP),
        graphics,
        lambda: examine_disk(folder),
        numba_cache,
        loopback,
        text_and_time,
        limits,
        slurm,
    )
    for part in parts:
        found += part()
    return Diagnosis(tuple(found))


def python_and_libraries() -> Iterator[Finding]:
    """Compare Python and every library with the floors that the package declares."""
    told = metadata.metadata("aetx")
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = str(told["Requires-Python"])
    yield _graded("python", version, wanted, SpecifierSet(wanted).contains(version), "bad", "install a newer Python")
    for text in metadata.requires("aetx") or ():
        one = Requirement(text)
        extra = one.marker is not None and "extra" in str(one.marker)
        if extra or (one.marker is not None and not one.marker.evaluate()):
            continue
        yield library(one)
    yield Finding("formats", _formats(), "", "ok", "")


def _formats() -> str:
    version = _version("rosettasciio")
    return f"with rosettasciio {version}" if version else "without DM, SER, Velox, MIB: pip install 'aetx[formats]'"


def library(one: Requirement) -> Finding:
    """Compare one library with what is wanted."""
    found = _version(one.name)
    fits = bool(found) and one.specifier.contains(found, prereleases=True)
    fix = f"pip install '{one.name}{one.specifier}'"
    return _graded(f"library {one.name}", found or "not installed", str(one.specifier), fits, "bad", fix)


def processors() -> Iterator[Finding]:
    """Tell the cores, and variables that give libraries threads of their own."""
    quota = cpu_quota(CGROUP)
    many = cores()
    found = f"{many} of {os.cpu_count()}" + (f", {quota:.1f} granted" if quota else "")
    fix = "start it with taskset, or ask for as many cores as are used"
    enough = not quota or quota >= many - 0.5
    yield _graded("cores", found, "as many granted as can be seen", enough, "warn", fix)
    others = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name, "1") != "1"]
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        others.append("OMP_WAIT_POLICY=ACTIVE")
    found = ", ".join(others) or "one for each library, as aetx shares out the work"
    yield _graded("threads", found, "1 or unset", not others, "warn", "unset these variables")


def cpu_quota(root: Path) -> float:
    """Return the cores that the control group grants; 0 for no limit."""
    words = _words(root / "cpu.max") or [
        *_words(root / "cpu/cpu.cfs_quota_us"),
        *_words(root / "cpu/cpu.cfs_period_us"),
    ]
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit():
        return int(words[0]) / max(1, int(words[1]))
    return 0.0


def memory(root: Path) -> Iterator[Finding]:
    """Tell the memory, what is free of it, and the limit of the control group."""
    import psutil

    state, limit = psutil.virtual_memory(), memory_limit(root)
    free = min(state.available, limit or state.available)
    found = f"{size(state.total)}, {size(state.available)} free"
    if limit and limit < state.total:
        found += f", {size(limit)} granted"
    fix = "close programs, or ask for more"
    yield _graded("memory", found, f"{size(LEAST_MEMORY)} free", free >= LEAST_MEMORY, "bad", fix)


def memory_limit(root: Path) -> int:
    """Return the bytes that the control group grants; 0 for no limit."""
    words = _words(root / "memory.max") or _words(root / "memory/memory.limit_in_bytes")
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) < 2**60 else 0


def graphics() -> Iterator[Finding]:
    """Tell the GPUs that torch can compute on, by computing on each."""
    import torch

    card = Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None
    build = f"torch {torch.__version__}"
    if not torch.cuda.is_available():
        found = f"none that torch can use ({build})" if card else f"none ({build} computes on the cores)"
        fix = "install a CUDA build of torch that the driver can serve, or use --device cpu"
        yield _graded("gpu", found, "torch that can use the card", not card, "warn", fix)
        return
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        found = f"{about.name}, {size(about.total_memory)}, CUDA {torch.version.cuda} ({build})"
        fix = "update the driver or torch, or use --device cpu"
        try:
            right = float(torch.ones(1000, device=f"cuda:{number}").sum()) == 1000.0
        except RuntimeError as error:
            right, found = False, f"{about.name}: {str(error).splitlines()[0]}"
        yield _graded(f"gpu {number}", found, "a sum that is right", right, "bad", fix)


def numba_cache() -> Iterator[Finding]:
    """Tell where compiled kernels are kept, whether they can be, and whether others could put code there."""
    folder = cache = code_cache()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    state = folder.stat()
    if not os.access(folder, os.W_OK):
        yield Finding("numba cache", f"{folder} cannot be written", "a folder of one's own", "warn", FIX)
        return
    shared = bool(state.st_mode & 0o022) and not state.st_mode & 0o1000
    private = state.st_uid in (os.getuid(), 0) and not shared
    found = str(folder) if private else f"{folder}, where other users can put code"
    others = open_to_others(cache)
    yield _graded("numba cache", others or found, "a folder of one's own", private and not others, "bad", FIX)


def loopback() -> Iterator[Finding]:
    """Connect to a socket of our own, as the processes of a local cluster do."""
    fix = "use --scheduler threads, or bring the interface lo up"
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(5)
            with socket.create_connection(server.getsockname(), timeout=5) as one, server.accept()[0] as other:
                one.sendall(b"aetx")
                right = other.recv(4) == b"aetx"
        yield _graded("loopback", "connects" if right else "loses bytes", "a connection", right, "warn", fix)
    except OSError as error:
        yield Finding("loopback", f"{error.strerror or error}", "a connection", "warn", fix)


def text_and_time() -> Iterator[Finding]:
    """Tell the encoding of names and text, and the clock."""
    names, text = sys.getfilesystemencoding().lower(), locale.getpreferredencoding(do_setlocale=False).lower()
    right = names == "utf-8" and text.replace("-", "") == "utf8"
    found = "UTF-8" if right else f"names {names}, text {text}"
    yield _graded("encoding", found, "UTF-8", right, "warn", "export LC_ALL=C.UTF-8")
    now = time.time()
    plausible = 1.7e9 < now < 4.1e9
    found = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    yield _graded(
        "clock", found, "a time in this century", plausible, "warn", "set the clock; results do not depend on it"
    )


def limits() -> Iterator[Finding]:
    """Tell the limits of this shell that can end a run."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    state: Literal["warn", "bad"] = "bad" if files < FILES // 4 else "warn"
    enough = files >= FILES or files == resource.RLIM_INFINITY
    found = "no limit" if files == resource.RLIM_INFINITY else str(files)
    yield _graded("open files", found, f"{FILES}", enough, state, f"ulimit -n {4 * FILES}")
    for what, number, option in (
        ("file size", resource.RLIMIT_FSIZE, "-f"),
        ("address space", resource.RLIMIT_AS, "-v"),
    ):
        limit = resource.getrlimit(number)[0]
        if limit != resource.RLIM_INFINITY:
            yield Finding(what, f"at most {size(limit)}", "no limit", "warn", f"ulimit {option} unlimited")


def slurm() -> Iterator[Finding]:
    """Tell whether `--scheduler slurm` could work; say nothing where there is no Slurm."""
    if shutil.which("sbatch") is None:
        return
    there = _version("dask-jobqueue")
    found = f"sbatch, dask-jobqueue {there or 'not installed'}"
    yield _graded(
        "slurm", found, "dask-jobqueue", bool(there), "warn", "pip install 'aetx[cluster]' for --scheduler slurm"
    )


def _graded(what: str, found: str, wanted: str, right: bool, otherwise: Literal["warn", "bad"], fix: str) -> Finding:
    return Finding(what, found, wanted, "ok" if right else otherwise, "" if right else fix)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
