"""From what a file says and what the recipe states to a dataset of a kind; contradictions and gaps are errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core import Registry
from aetx.errors import InputError, Problem
from aetx.io import angles
from aetx.io.lazy import Key, LazyArray, View
from aetx.io.stated import AngleFile, OriginTable, Stated
from aetx.model import FOCAL_SERIES, FRAMES, RAW_SERIES, SCAN_SERIES, TILT_SERIES, VOLUME, Kind, units

MAIN = {
    "tilt_series": "image",
    "volume": "density",
    "scan_series": "pattern",
    "focal_series": "image",
    "raw_series": "image",
    "frames": "image",
}
LEAD = {
    "tilt_series": "tilt",
    "frames": "frame",
    "raw_series": "frame",
    "focal_series": "focus",
    "scan_series": "tilt",
}
RECIPROCAL = ("ky", "kx")
SMALLEST, LARGEST = 0.01, 10.0
"""Believable sizes of a pixel, angstrom: 0.001 to 1 nm."""
WIDEST_STEP = 1000.0
"""Believable step of a scanned probe, angstrom."""
AGREE = 5e-3
"""Two numbers for one length that differ by less, relatively, say the same."""


@dataclass(frozen=True)
class Dresser:
    """Turns what readers give into a dataset of a kind."""

    kind: Kind
    stated: Stated
    source: str
    registry: Registry
    member: str | int | None = None

    def fail(self, field: str, found: str, wanted: str, fix: str) -> InputError:
        """Return the error for one fault of this input."""
        return InputError(Problem(self.source, field, found, wanted, fix))

    def dress(self, raws: list[xr.Dataset], found_beside: tuple[np.ndarray, str] | None = None) -> xr.Dataset:
        """Return the dataset. Reads no pixel."""
        parts = [self._array(raw) for raw in raws]
        main = parts[0] if len(parts) == 1 and parts[0].ndim == len(self._dims) else self._joined(parts)
        steps = self._steps(raws)
        unit, factor = self._units(raws, steps)
        if factor != 1.0:
            main = View(main, tuple(range(main.ndim)), factor).variable(self._dims)
        main = main.copy(deep=False)
        main.attrs = {"units": unit}
        found = xr.Dataset({MAIN[self.kind.name]: main})
        for axis in self._dims:
            if axis in steps:
                name = "1/angstrom" if axis in RECIPROCAL else "angstrom"
                size = found.sizes[axis]
                found[axis] = (axis, self._grid(raws[0], axis, size, steps[axis]), {"units": name})
        if "tilt" in self._dims:
            found = self._with_tilts(found, raws, found_beside)
            self._check_mdoc(found, steps, found_beside is not None)
        if self.kind is FOCAL_SERIES:
            found = self._with_defocus(found)
        if self.kind is RAW_SERIES and self.stated.scan_directions is not None:
            directions = self._per_image("scan_directions", self.stated.scan_directions, found.sizes["frame"])
            found = found.assign_coords(scan_direction=("frame", directions, {"units": "degree"}))
        found = self._with_origin(found, steps)
        if self.stated.dose is not None and "tilt" in self._dims:
            found["dose"] = (
                "tilt",
                self._per_image("dose", self.stated.dose, found.sizes["tilt"]),
                {"units": "e/angstrom**2"},
            )
        header = raws[0].attrs.get("source_header")
        return found.assign_attrs(**({"source_header": header} if header else {}))

    @property
    def _dims(self) -> tuple[str, ...]:
        return self.kind.variables[MAIN[self.kind.name]].dims

    def _array(self, raw: xr.Dataset) -> xr.Variable:
        """Return the main array of one file with its axes named and in the order of the kind, still in its file."""
        name = self._main_name(raw)
        one = raw.variables[name]
        if one.dtype.kind not in "iuf":
            what = "complex numbers" if one.dtype.kind == "c" else f"dtype {one.dtype}"
            raise self.fail(name, what, "real numbers", "name another variable, or write real numbers")
        dims = self._named(name, tuple(map(str, one.dims)), one.shape)
        order = tuple(dims.index(axis) for axis in self._dims if axis in dims)
        return View(one, order, place=(Path(self.source), name)).variable(
            tuple(axis for axis in self._dims if axis in dims)
        )

    def _main_name(self, raw: xr.Dataset) -> str:
        names = [str(name) for name in raw.data_vars]
        for wanted in (self.stated.variable, MAIN[self.kind.name]):
            if wanted in names:
                return str(wanted)
        if len(names) == 1:
            return names[0]
        fix = "state variable: one of " + ", ".join(names) if names else "name another file"
        raise self.fail("variable", f"{len(names)} arrays", "one", fix)

    def _named(self, name: str, dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
        wanted = self._dims
        axes = self.stated.axes
        if axes is not None:
            unknown = [axis for axis in axes if axis not in wanted]
            if unknown or len(set(axes)) != len(axes) or len(axes) != len(dims):
                text = f"{len(dims)} of {', '.join(wanted)}, each once"
                raise self.fail("axes", f"{list(axes)} for shape {shape}", text, "mend axes")
            for own, said in zip(dims, axes, strict=True):
                if not own.startswith("dim_") and own != said:
                    fix = "mend axes; a tilt axis along x is stated by convention: axis_angle, axis_azimuth: 0 degree"
                    raise self.fail("axes", f"the file says {list(dims)}, the recipe {list(axes)}", "one order", fix)
            dims = tuple(axes)
        nameless = [axis for axis in dims if axis.startswith("dim_")]
        missing = [axis for axis in wanted if axis not in dims]
        if len(nameless) == 1 and len(missing) == 1:
            dims = tuple(missing[0] if axis == nameless[0] else axis for axis in dims)
        elif len(nameless) == 1 and missing in (["tilt", "focus"], ["tilt", "frame"]):
            dims = tuple(missing[1] if axis == nameless[0] else axis for axis in dims)
        foreign = [axis for axis in dims if axis not in wanted]
        if foreign:
            text = f"state axes: the {len(dims)} names in the order of the file, as in [{', '.join(wanted[::-1])}]"
            what = f"{name} of shape {shape} with axes {', '.join(dims)}"
            raise self.fail("axes", what, f"the axes {', '.join(wanted)}", text)
        return dims

    def _joined(self, parts: list[xr.Variable]) -> xr.Variable:
        lead = LEAD.get(self.kind.name, "")
        rest = tuple(axis for axis in self._dims if axis != lead)
        if self.kind is FOCAL_SERIES and len(parts) == 1 and parts[0].dims == ("focus", "y", "x"):
            return Stacked(parts).variable(self._dims)
        if self.kind is RAW_SERIES:
            return self._by_tilt(parts)
        for part in parts:
            if tuple(axis for axis in part.dims if axis != lead) != rest:
                what = f"an array with axes {', '.join(map(str, part.dims))}"
                raise self.fail("axes", what, f"the axes {', '.join(self._dims)}", "state axes, or name another file")
        sizes = [{axis: part.sizes[axis] for axis in rest} for part in parts]
        if any(size != sizes[0] for size in sizes):
            other = next(size for size in sizes if size != sizes[0])
            raise self.fail("shape", f"images of {sizes[0]} and of {other}", "one size", "give images of one size")
        if lead not in self._dims or self._dims[0] != lead:
            raise self.fail("path", f"{len(parts)} files", f"one file for a {self.kind.name}", "name one file")
        return Stacked(parts).variable(self._dims)

    def _by_tilt(self, parts: list[xr.Variable]) -> xr.Variable:
        """Return the frames of all files in their order, as many to each tilt as stated, or as each file holds."""
        for part in parts:
            if part.dims not in (("frame", "y", "x"), ("y", "x")) or part.shape[-2:] != parts[0].shape[-2:]:
                what = f"an array with axes {', '.join(map(str, part.dims))} of shape {part.shape}"
                fix = "state axes, as in [frame, y, x] for frames one after another, or name another file"
                raise self.fail("axes", what, f"frames of {parts[0].shape[-2:]} pixels", fix)
        whole = Stacked(parts)
        counts = sorted(set(whole.counts))
        each = self.stated.frames or (counts[0] if len(parts) > 1 and len(counts) == 1 and counts[0] > 1 else None)
        if each is None or whole.shape[0] % each:
            found = f"{whole.shape[0]} images in {len(parts)} files" + (f", {each} frames a tilt" if each else "")
            raise self.fail("frames", found, "as many frames for each tilt", "state frames, as 3")
        return Parted(whole, each).variable(self._dims)

    def _steps(self, raws: list[xr.Dataset]) -> dict[str, float]:
        """Return the step of every even axis: from the files or the recipe, which must agree."""
        grid = self.kind.grid
        said = [self._file_steps(raw) for raw in raws]
        own = said[0]
        for place, other in enumerate(said):
            for axis, step in other.items():
                if axis in own and abs(step / own[axis] - 1) > AGREE:
                    found = f"{own[axis]:g} in the first file, {step:g} angstrom in file {place + 1}"
                    raise self.fail(f"pixel_size.{axis}", found, "one pixel size", "give files of one pixel size")
        stated = self._stated_steps()
        made: dict[str, float] = {}
        for axis in grid:
            if axis in own and axis in stated and "pixel_size" not in self.stated.override:
                self._compare(axis, own[axis], stated[axis])
            if axis in stated:
                made[axis] = stated[axis]
            elif axis in own:
                made[axis] = own[axis]
            else:
                what = "frequency_step" if axis in RECIPROCAL else "pixel_size"
                example = "0.05 1/angstrom" if axis in RECIPROCAL else "0.35 angstrom"
                raise self.fail(
                    what, f"no pixel size for {axis}", "a size for every axis", f"state {what}, as {example}"
                )
        self._check_steps(made)
        return made

    def _file_steps(self, raw: xr.Dataset) -> dict[str, float]:
        names = dict(zip(map(str, raw.variables[self._main_name(raw)].dims), self._file_names(raw), strict=True))
        found: dict[str, float] = {}
        for own, axis in names.items():
            if own not in raw.coords or axis not in self.kind.grid:
                continue
            values = np.asarray(raw.coords[own].values, float)
            unit = str(raw.coords[own].attrs.get("units", ""))
            if unit in ("", "pixel", "1"):
                continue
            target = "1/angstrom" if axis in RECIPROCAL else "angstrom"
            try:
                factor = units.factor(unit, target)
            except units.UnitError as error:
                known = "angstrom, nm, um, pm"
                raise self.fail(f"units of {axis}", repr(unit), f"one of {known}", str(error)) from error
            steps = np.diff(values)
            if not steps.size:
                continue
            if not np.isfinite(steps).all() or steps[0] <= 0 or np.abs(steps - steps[0]).max() > 1e-3 * abs(steps[0]):
                found_text = f"steps from {np.min(steps):g} to {np.max(steps):g}"
                raise self.fail(f"axis {axis}", found_text, "equal steps greater than 0", "mend the axis of the file")
            found[axis] = float((values[-1] - values[0]) / steps.size) * factor
        return found

    def _file_names(self, raw: xr.Dataset) -> tuple[str, ...]:
        name = self._main_name(raw)
        one = raw.variables[name]
        return self._named(name, tuple(map(str, one.dims)), one.shape)

    def _stated_steps(self) -> dict[str, float]:
        size = self.stated.pixel_size
        found: dict[str, float] = {}
        if isinstance(size, Mapping):
            unknown = [axis for axis in size if axis not in self.kind.grid or axis in RECIPROCAL]
            if unknown:
                raise self.fail("pixel_size", f"an axis {unknown[0]!r}", f"of {', '.join(self.kind.grid)}", "mend it")
            found |= size
        elif size is not None:
            found |= {axis: size for axis in self.kind.grid if axis not in RECIPROCAL}
        if self.stated.frequency_step is not None:
            found |= dict.fromkeys(RECIPROCAL, self.stated.frequency_step)
        return found

    def _compare(self, axis: str, own: float, said: float) -> None:
        if abs(own / said - 1) <= AGREE:
            return
        ratio = max(own / said, said / own)
        found = f"the file says {own:g} angstrom along {axis}, the recipe {said:g} angstrom: a factor of {ratio:.4g}"
        fix = "mend pixel_size in the recipe; if the file is wrong, state override: [pixel_size]"
        raise self.fail("pixel_size", found, "the same in both", fix)

    def _check_steps(self, steps: dict[str, float]) -> None:
        for axis, step in steps.items():
            if axis in RECIPROCAL:
                continue
            most = WIDEST_STEP if axis.startswith("scan") else LARGEST
            if not SMALLEST <= step <= most:
                wanted = f"{SMALLEST / 10:g} to {most / 10:g} nm"
                found = f"{step / 10:g} nm along {axis}: outside {wanted}"
                raise self.fail("pixel_size", found, wanted, "mend the unit; state pixel_size, as 0.35 angstrom")
        plane = {axis: step for axis, step in steps.items() if axis in ("x", "y", "z")}
        low, high = (min(plane, key=plane.__getitem__), max(plane, key=plane.__getitem__)) if plane else ("x", "x")
        if plane and plane[high] / plane[low] - 1 > AGREE and not isinstance(self.stated.pixel_size, Mapping):
            found = f"{plane[high]:g} along {high}, {plane[low]:g} angstrom along {low}"
            fix = f"if it is meant, state pixel_size: {{{', '.join(f'{a}: {s:g} angstrom' for a, s in plane.items())}}}"
            raise self.fail("pixel_size", found, "square pixels", fix)

    def _grid(self, raw: xr.Dataset, axis: str, size: int, step: float) -> np.ndarray:
        own = raw.coords.get("dim_0" if axis == "z" and "z" not in raw.coords else axis)
        if own is not None and own.attrs.get("placed") and own.size == size and self.kind is VOLUME:
            return np.asarray(own.values, float)
        return (np.arange(size) - size // 2) * step

    def _units(self, raws: list[xr.Dataset], steps: dict[str, float]) -> tuple[str, float]:
        """Return the unit of the values and the factor that brings them into it."""
        text = raws[0].variables[self._main_name(raws[0])].attrs.get("units")
        try:
            own = None if text is None else units.canonical(str(text))
        except units.UnitError as error:
            raise self.fail("units", repr(text), "a unit", str(error)) from error
        said = self.stated.units
        if own is not None and said is not None and own != said and "units" not in self.stated.override:
            fix = "mend units in the recipe; if the file is wrong, state override: [units]"
            raise self.fail("units", f"the file says {own!r}, the recipe {said!r}", "the same in both", fix)
        unit = said or own or "1"
        if units.is_length(unit):
            raise self.fail("units", repr(unit), "a unit of image values, no length", "mend units: 'count' or '1'")
        if self.kind is not VOLUME:
            return unit, 1.0
        for per in ("pixel", "nm", "pm", "um"):
            if unit.endswith(f"/{per}"):
                length = steps["z"] if per == "pixel" else units.factor(per, "angstrom")
                return f"{unit.removesuffix(per)}angstrom", 1.0 / length
        return unit, 1.0

    def _with_tilts(
        self, found: xr.Dataset, raws: list[xr.Dataset], found_beside: tuple[np.ndarray, str] | None
    ) -> xr.Dataset:
        count = found.sizes["tilt"]
        own = self._file_angles(raws)
        unit_stated = own is not None
        stated = self.stated.angles is not None
        if stated:
            rows, source, unit_stated = angles.stated_rows(self.stated, self.registry)
            made = angles.convert(rows, self.stated.convention, self.stated.axis_azimuth)
            if own is not None and "angles" not in self.stated.override:
                self._compare_angles(own, made)
        elif own is not None:
            rows, source, made = np.stack(own, 1), self.source, own
        elif found_beside is not None:
            rows, source = found_beside
            made = angles.convert(rows, self.stated.convention, self.stated.axis_azimuth)
        elif self.kind is FOCAL_SERIES and count == 1:
            rows, source, made = np.zeros((1, 3)), "one tilt", (np.zeros(1), np.zeros(1), np.zeros(1))
        else:
            raise self.fail("angles", "no tilt angles", f"{count} angles, one for each image", angles.HOW)
        strict = self.kind is TILT_SERIES
        angles.check(source, self.source, count, made, self.stated, unit_stated=unit_stated, minimum=2 if strict else 1)
        found = found.assign_coords(tilt=("tilt", np.arange(count), {"units": "1"}))
        for name, values in zip(angles.NAMES, made, strict=True):
            found = found.assign_coords({name: ("tilt", np.asarray(values, float), {"units": "degree"})})
        attrs = {"angles": Path(source).name}
        if self.stated.convention != "aet_zyx":
            original = {"convention": self.stated.convention, "rows": rows.tolist()}
            if self.stated.convention == "axis_angle":
                original["axis_azimuth"] = self.stated.axis_azimuth
            attrs["source_angles"] = json.dumps(original)
        return found.assign_attrs(attrs)

    def _check_mdoc(self, found: xr.Dataset, steps: Mapping[str, float], beside: bool) -> None:
        """Refuse the images if the .mdoc that tells their angles speaks of others."""
        stated = self.stated.angles.path if isinstance(self.stated.angles, AngleFile) else self.stated.angles
        named = [Path(stated)] if isinstance(stated, str) else angles.beside(Path(self.source)) if beside else []
        free = "pixel_size" in self.stated.override
        for path in (one for one in named if one.suffix.lower() == ".mdoc"):
            angles.check_mdoc(path, None if free else steps["x"], (found.sizes["x"], found.sizes["y"]))

    def _file_angles(self, raws: list[xr.Dataset]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        raw = raws[0]
        if len(raws) > 1 or "theta" not in raw.variables or raw["theta"].ndim != 1:
            return None
        unit = str(raw["theta"].attrs.get("units", ""))
        theta = angles.degrees_of(raw["theta"].values, unit, self.source, "theta")
        others = [
            angles.degrees_of(raw[name].values, str(raw[name].attrs.get("units", "")), self.source, name)
            if name in raw.variables
            else np.zeros_like(theta)
            for name in ("phi", "psi")
        ]
        return others[0], theta, others[1]

    def _compare_angles(self, own: tuple[np.ndarray, ...], said: tuple[np.ndarray, ...]) -> None:
        fix = "mend angles in the recipe; if the file is wrong, state override: [angles]"
        if own[1].size != said[1].size:
            found = f"the file has {own[1].size} angles, the recipe {said[1].size}"
            raise self.fail("angles", found, "the same in both", fix)
        worst = np.abs(np.stack(own) - np.stack(said)).max(0)
        place = int(worst.argmax())
        if worst[place] > 0.01:
            found = f"theta {own[1][place]:g} in the file, {said[1][place]:g} degree in the recipe, at index {place}"
            raise self.fail("angles", found, "the same in both", fix)

    def _with_defocus(self, found: xr.Dataset) -> xr.Dataset:
        defocus = self.stated.defocus
        count = found.sizes["focus"]
        if defocus is None or len(defocus) != count:
            what = "no defocus" if defocus is None else f"{len(defocus)} values"
            raise self.fail("defocus", what, f"{count}, one for each image", "state defocus, as a list of lengths")
        values = np.tile(np.array(defocus, float), (found.sizes["tilt"], 1))
        return found.assign(defocus=(("tilt", "focus"), values, {"units": "angstrom"}))

    def _per_image(self, field: str, value: float | tuple[float, ...], count: int) -> np.ndarray:
        if isinstance(value, tuple) and len(value) != count:
            raise self.fail(field, f"{len(value)} values", f"{count}, one for each image", f"mend {field}")
        return np.broadcast_to(np.asarray(value, float), (count,)).copy()

    def _with_origin(self, found: xr.Dataset, steps: dict[str, float]) -> xr.Dataset:
        if self.stated.origin is None or self.kind in (FRAMES, RAW_SERIES, SCAN_SERIES, FOCAL_SERIES):
            return found
        place = self.origin(steps)
        if self.kind is VOLUME:
            shifted = {
                axis: (axis, found[axis].values + place[at], {"units": "angstrom"}) for at, axis in enumerate("xyz")
            }
            return found.assign_coords(shifted)
        labels = np.array(["x", "y", "z"])
        return found.assign_coords(axis=("axis", labels), origin=("axis", place, {"units": "angstrom"}))

    def origin(self, steps: Mapping[str, float]) -> np.ndarray:
        """Return x, y, z of the rotation centre in the specimen, angstrom."""
        stated = self.stated.origin
        if not isinstance(stated, OriginTable):
            return np.array(stated, float)
        path = Path(stated.path)
        table = np.atleast_2d(angles.read_table(path, stated.variable, self.registry)).astype(float)
        row = stated.row if isinstance(stated.row, int) else self._member_row()
        if table.shape[1] != 3 or not 1 <= row <= table.shape[0]:
            fix = "name the right table, or mend row"
            problem = Problem(str(path), "origin", f"a table of {table.shape}, row {row}", "rows of x, y, z", fix)
            raise InputError(problem)
        place = table[row - 1] - np.array(stated.zero)
        if not np.isfinite(place).all():
            problem = Problem(str(path), "origin", f"row {row}: {table[row - 1]}", "three numbers", "mend the table")
            raise InputError(problem)
        if stated.units != "pixel":
            return place * units.factor(stated.units, "angstrom")
        beam = steps.get("z", steps["x"])
        return place * np.array([steps["x"], steps["y"], beam])

    def _member_row(self) -> int:
        try:
            return int(str(self.member))
        except ValueError as error:
            found = "no list" if self.member in (None, "") else f"member {self.member!r}"
            fix = "state origin: {..., row: 3}; the members of a list are numbers only where its files are"
            raise self.fail("origin.row", found, "the number of a member of a list", fix) from error


class Stacked(LazyArray):
    """Arrays of several files, one after the other along the first axis; arrays without that axis count as one."""

    def __init__(self, parts: list[xr.Variable]) -> None:
        self.parts = parts
        self.counts = [part.shape[0] if self._has_lead(part) else 1 for part in parts]
        inner = parts[0].shape[1:] if self._has_lead(parts[0]) else parts[0].shape
        self.shape = (sum(self.counts), *inner)
        self.dtype = np.result_type(*[part.dtype for part in parts])

    @staticmethod
    def _has_lead(part: xr.Variable) -> bool:
        return str(part.dims[0]) in ("tilt", "frame")

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        first, rest = key[0], key[1:]
        chosen = [first] if isinstance(first, int) else list(range(*first.indices(self.shape[0])))
        found = [self._one(number, rest) for number in chosen]
        if isinstance(first, int):
            return found[0]
        empty = np.broadcast_to(np.empty((), self.dtype), self.shape[1:])[rest]
        return np.stack(found) if found else np.empty((0, *empty.shape), self.dtype)

    def _one(self, number: int, rest: Key) -> np.ndarray:
        for part, count in zip(self.parts, self.counts, strict=True):
            if number < count:
                return np.asarray(part[(number, *rest) if self._has_lead(part) else rest].values)
            number -= count
        raise IndexError(number)


class Parted(LazyArray):
    """An array whose first axis is cut into groups of one size, which become an axis before it."""

    def __init__(self, whole: LazyArray, each: int) -> None:
        self.whole = whole
        self.each = each
        self.shape = (whole.shape[0] // each, each, *whole.shape[1:])
        self.dtype = whole.dtype

    def read(self, key: Key) -> np.ndarray:
        """Return the part of the array that `key` picks."""
        group, member, rest = key[0], key[1], key[2:]
        groups = [group] if isinstance(group, int) else list(range(*group.indices(self.shape[0])))
        members = [member] if isinstance(member, int) else list(range(*member.indices(self.each)))
        found = [[self.whole.read((i * self.each + j, *rest)) for j in members] for i in groups]
        empty = np.broadcast_to(np.empty((), self.dtype), self.shape[2:])[rest]
        made = np.array(found, self.dtype).reshape(len(groups), len(members), *empty.shape)
        made = made[:, 0] if isinstance(member, int) else made
        return made[0] if isinstance(group, int) else made
