"""A stage: a pure function from datasets to a dataset, with its kinds, parameters, layout and forecast."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import xarray as xr

from aetx.core.params import NoParams, Params
from aetx.model import Kind

Sizes = Mapping[str, int]
"""Length of each dimension."""
InputSizes = Mapping[str, tuple[Sizes, ...]]
"""Sizes of the datasets of each input of a stage; none where an optional one is left out."""
Flow = Literal["chunkwise", "halo", "whole"]
Form = Literal["one", "optional", "many"]


@dataclass(frozen=True)
class Take:
    """One input of a stage: its kind, and whether it may be left out or is a list."""

    kind: Kind
    form: Form = "one"


def optional(kind: Kind) -> Take:
    """Mark an input that a recipe may leave out; the stage is handed None."""
    return Take(kind, "optional")


def many(kind: Kind) -> Take:
    """Mark an input that is a list of datasets of one kind; the stage is handed a tuple."""
    return Take(kind, "many")


@dataclass(frozen=True)
class Forecast:
    """What a stage will give and need, told from sizes and parameters alone.

    `sizes` are the dimensions of its result, `memory` the bytes that it holds at its peak beside the blocks of
    its inputs that stream through, `seconds` the processor time of one ordinary core. `least` are the bytes that a
    stage which is handed a limit can make do with, None where that is next to nothing.
    """

    sizes: Sizes
    memory: int
    seconds: float
    least: int | None = None


@dataclass(frozen=True)
class Stage:
    """A stage as the registry knows it. Call it with datasets, then ``params=`` or the parameters by name."""

    name: str
    function: Callable[..., xr.Dataset]
    takes: Mapping[str, Take]
    gives: Kind
    params: type[Params]
    version: int
    flow: Flow
    chunks: Sizes
    forecast: Callable[[InputSizes, Any], Forecast]
    resources: frozenset[str] = field(default_factory=frozenset)

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _find, (self.function.__module__, self.function.__qualname__)

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # a property: that of the function
        return inspect.getdoc(self.function) or ""

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.__doc__.partition("\n")[0]

    def __call__(
        self,
        *inputs: xr.Dataset | tuple[xr.Dataset, ...] | None,
        params: Params | None = None,
        device: str = "cpu",
        memory: int | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Check the inputs, lay them out, run, check the result.

        Parameters
        ----------
        *inputs
            Datasets in the order of `takes`; they may also be given by name.
        params
            Parameters; without it they are made from the remaining names.
        device
            Where torch computes: ``cpu``, ``cuda``, ``cuda:1``.
        memory
            Bytes that the stage may hold; None for no limit. Never changes the result.
        **options
            Inputs by name, and parameters by name.
        """
        given = dict(zip(self.takes, inputs, strict=False))
        if len(inputs) > len(self.takes):
            raise TypeError(f"{self.name} takes {len(self.takes)} datasets, {len(inputs)} were given")
        given |= {name: options.pop(name) for name in list(options) if name in self.takes}
        if params is None:
            params = self.params(**options)
        elif options:
            raise TypeError(f"{self.name}: give params= or parameters by name, not both")
        arguments = [self._prepare(name, take, given.get(name)) for name, take in self.takes.items()]
        limits = {"device": device, "memory": memory}
        with xr.set_options(keep_attrs=False, arithmetic_join="exact"):
            result = self.function(*arguments, params, **{name: limits[name] for name in sorted(self.resources)})
        result = self.gives.stamp(result)
        self.gives.check(result, f"the result of {self.name}")
        return result

    def _prepare(self, name: str, take: Take, given: Any) -> Any:
        if given is None:
            if take.form == "optional":
                return None
            raise TypeError(f"{self.name} needs {name!r}, a {take.kind.name}")
        if take.form == "many":
            return tuple(self._lay_out(take.kind, one, f"{name}[{i}]") for i, one in enumerate(given))
        return self._lay_out(take.kind, given, name)

    def _lay_out(self, kind: Kind, dataset: xr.Dataset, source: str) -> xr.Dataset:
        kind.check(dataset, f"{self.name}: {source}")
        if self.flow != "chunkwise" or not dataset.chunks:
            return dataset
        return dataset.chunk({axis: size for axis, size in self.chunks.items() if axis in dataset.dims})


def stage(
    name: str,
    *,
    takes: Mapping[str, Kind | Take],
    gives: Kind,
    params: type[Params] = NoParams,
    version: int = 1,
    flow: Flow = "whole",
    chunks: Sizes | None = None,
    forecast: Callable[[InputSizes, Any], Forecast] | None = None,
) -> Callable[[Callable[..., xr.Dataset]], Stage]:
    """Make a stage of a function ``(datasets..., params)``.

    Parameters
    ----------
    name
        ``room.name``; the file is ``aetx/stages/room/name.py`` and the function ``name``.
    takes
        Kinds of the inputs, in order; `optional` and `many` mark the exceptions.
    gives
        Kind of the result.
    params
        Class of the parameters.
    version
        Raised when the numbers change on purpose; part of every result's key.
    flow
        ``chunkwise``: lazy and block by block in the layout `chunks`, so that neighbouring steps fuse and nothing is
        stored between. ``halo``: lazy through `halo_map`, handed its input as it is stored, so that each block
        reads its own neighbourhood. ``whole``: anything else; its result becomes a store.
    chunks
        Layout for ``chunkwise``: sizes by dimension, -1 for the whole axis.
    forecast
        From the sizes of the inputs and the parameters to a `Forecast`; the default suits ``chunkwise``.

    A function that names `device` or `memory` among its arguments is handed them.
    """

    def make(function: Callable[..., xr.Dataset]) -> Stage:
        wanted = frozenset(inspect.signature(function).parameters) & {"device", "memory"}
        return Stage(
            name=name,
            function=function,
            takes={key: take if isinstance(take, Take) else Take(take) for key, take in takes.items()},
            gives=gives,
            params=params,
            version=version,
            flow=flow,
            chunks=dict(chunks or {}),
            forecast=forecast or _streaming,
            resources=wanted,
        )

    return make


def _streaming(inputs: InputSizes, _: Params) -> Forecast:
    sizes = next((group[0] for group in inputs.values() if group), {})
    voxels = 1
    for name, size in sizes.items():
        if name != "axis":
            voxels *= size
    return Forecast(sizes, memory=min(voxels, 2**24) * 16, seconds=voxels * 2e-8)


def _find(module: str, name: str) -> Stage:
    import importlib

    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Stage)
    return found
