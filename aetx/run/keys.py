"""What made a result, in full, and its digest: equal key, equal result."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ConfigDict

from aetx.core import Stage
from aetx.core.params import Params, unit_of
from aetx.store.layout import EDGE

LIBRARIES = ("aetx", "numpy", "scipy", "torch", "numba", "dask", "xarray", "zarr", "scikit-image")


class Made(BaseModel):
    """Everything that a result depends on. `names` and `fused` explain the keys and are no part of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: str
    version: int
    params: dict[str, Any]
    sources: dict[str, list[str]]
    libraries: dict[str, str]
    layout: dict[str, int]
    device: str
    threads: int
    names: dict[str, list[str]] = {}
    fused: dict[str, Made] = {}

    @property
    def key(self) -> str:
        """The digest of what the result depends on."""
        return digest(self.model_dump(mode="json", exclude={"names", "fused"}))


def digest(value: object) -> str:
    """Return the sha256 of a JSON value, whatever the order of its mappings."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def versions() -> Mapping[str, str]:
    """Return the versions of the libraries that results depend on."""
    return {name: metadata.version(name) for name in LIBRARIES}


@functools.cache
def _plugin(package: str) -> Mapping[str, str]:
    if package == "aetx":
        return {}
    names = metadata.packages_distributions().get(package, [])
    return {name: metadata.version(name) for name in names}


def machine() -> dict[str, str]:
    """Return what a record says of the machine."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }


def made_by(
    stage: Stage,
    params: Params,
    sources: Mapping[str, tuple[str, ...]],
    keys: Mapping[str, str],
    device: str,
    threads: int,
) -> Made:
    """Return what makes the result of a step, from the keys of everything before it."""
    package = stage.function.__module__.partition(".")[0]
    return Made(
        stage=stage.name,
        version=stage.version,
        params=params.model_dump(mode="json"),
        sources={take: [keys[name] for name in names] for take, names in sources.items()},
        libraries={**versions(), **_plugin(package)},
        layout={**stage.chunks, "stored": EDGE},
        device=device if "device" in stage.resources else "cpu",
        threads=threads,
        names={take: list(names) for take, names in sources.items()},
    )


def why(old: Made, new: Made, inputs: Iterable[str], params: type[Params] | None = None) -> str:
    """Return in a few words why a result is made again: what differs from what made the one that stands."""
    parts = []
    if old.stage != new.stage:
        return f"{old.stage} -> {new.stage}"
    if old.version != new.version:
        parts.append(f"version {old.version} -> {new.version} of {new.stage}")
    for name in sorted({*old.params, *new.params}):
        if old.params.get(name) != new.params.get(name):
            unit = unit_of(params.model_fields[name]) if params and name in params.model_fields else None
            before, after = (json.dumps(made.params.get(name), ensure_ascii=False) for made in (old, new))
            parts.append(f"{name} {before} -> {after}" + (f" {unit}" if unit else ""))
    parts += _sources(old, new, set(inputs))
    for name in sorted({*old.libraries, *new.libraries}):
        if old.libraries.get(name) != new.libraries.get(name):
            parts.append(f"{name} {old.libraries.get(name, 'none')} -> {new.libraries.get(name, 'none')}")
    if old.layout != new.layout:
        parts.append("another layout")
    if old.device != new.device:
        parts.append(f"device {old.device} -> {new.device}")
    if old.threads != new.threads:
        parts.append(f"threads {old.threads} -> {new.threads}")
    return ", ".join(dict.fromkeys(parts))


def _sources(old: Made, new: Made, inputs: set[str]) -> list[str]:
    parts = []
    for take, keys in new.sources.items():
        names, before = new.names.get(take, []), old.sources.get(take, [])
        if len(before) != len(keys):
            parts.append(f"{take}: {len(before)} -> {len(keys)} datasets")
            continue
        for name, key, earlier in zip(names, keys, before, strict=True):
            if key == earlier:
                continue
            if name in new.fused and name in old.fused:
                parts.append(f"{name}: {why(old.fused[name], new.fused[name], inputs)}")
            else:
                parts.append(f"input {name!r} changed" if name in inputs else f"{name!r} changed")
    return parts
