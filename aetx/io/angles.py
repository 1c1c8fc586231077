"""Tilt angles: read from side files, converted to phi, theta, psi, and checked."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from aetx.core import Registry
from aetx.errors import InputError, Problem
from aetx.io.lazy import LIBRARY_ERRORS, reading, wrong
from aetx.io.points import is_count, number_of, table_of, text_lines
from aetx.io.stated import AngleFile, Convention, Stated
from aetx.model import units

TEXT = (".rawtlt", ".tlt", ".txt", ".dat", ".csv", ".tsv", "")
BESIDE = (".rawtlt", ".tlt", ".mdoc")
NAMES = ("phi", "theta", "psi")
HOW = "state angles: a file, or a list of degrees"
OTHER = "it may belong to other images; state angles, or if it is only wrong, override: [pixel_size]"
SAME = 5e-3
"""Two pixel sizes that differ by less, relatively, say the same."""


def beside(path: Path) -> list[Path]:
    """Return the files beside an MRC stack that hold its angles by the custom of SerialEM and IMOD."""
    candidates = [path.with_suffix(suffix) for suffix in BESIDE] + [path.with_name(path.name + ".mdoc")]
    return [one for one in dict.fromkeys(candidates) if one.is_file()]


def read_table(path: Path, variable: str | None, registry: Registry) -> np.ndarray:
    """Return the numbers of a side file: text, MAT, NPY, NPZ or HDF5. Rows first; a vector stays one.

    Raises
    ------
    InputError
        If there is no such file or it holds no table.
    """
    if path.suffix.lower() in TEXT:
        if variable is not None:
            raise wrong(path, "variable", repr(variable), "no name", "a text file has no variables: leave it out")
        return table_of(path)
    readers = [one for one in registry.readers_for(path) if "variable" in one.params.model_fields]
    if not readers:
        raise wrong(
            path, "suffix", repr(path.suffix), "text, .mat, .npy, .npz or .h5", "save the table as one of these"
        )
    found = readers[0](path, readers[0].params.model_validate({"variable": variable}))
    if len(found.data_vars) != 1:
        names = ", ".join(map(str, found.data_vars))
        raise wrong(path, "variable", f"variables {names}", "one table", "state variable")
    with reading(path, "table", "numbers"):
        values = np.asarray(next(iter(found.data_vars.values())).values, float)
    if values.ndim > 2:
        raise wrong(path, "variable", f"shape {values.shape}", "a table of rows and columns", "name another variable")
    return values


def _mdoc(path: Path) -> np.ndarray:
    """Return the tilt of each section of a SerialEM .mdoc, in the order of the stack."""
    angles: dict[int, float] = {}
    section: int | None = None
    for line, text in enumerate(text_lines(path), 1):
        head = re.match(r"\s*\[\s*(\w+)\s*=\s*(.*?)\s*\]", text)
        if head:
            section = int(head[2]) if head[1] == "ZValue" and is_count(head[2]) else None
        entry = re.match(r"\s*TiltAngle\s*=\s*(\S+)", text)
        if entry and section is not None:
            if section in angles:
                raise wrong(path, f"line {line}, TiltAngle", f"section {section} twice", "once", "mend the file")
            angles[section] = number_of(path, line, "TiltAngle", entry[1])
    if not angles or sorted(angles) != list(range(len(angles))):
        found = f"sections {sorted(angles)[:5]}" if angles else "no TiltAngle"
        raise wrong(path, "ZValue", found, "a TiltAngle for every section from 0", HOW)
    return np.array([angles[place] for place in range(len(angles))])


def check_mdoc(path: Path, pixel_size: float | None, pixels: tuple[int, int]) -> None:
    """Refuse a SerialEM .mdoc whose pixel size (angstrom) or image size (x, y) is not that of the images.

    Raises
    ------
    InputError
        With the two that differ.
    """
    for line, text in enumerate(text_lines(path), 1):
        entry = re.match(r"\s*(PixelSpacing|ImageSize)\s*=\s*(.*?)\s*$", text)
        if entry is None:
            continue
        name, words = entry[1], entry[2].split()
        numbers = [number_of(path, line, name, word) for word in words]
        if name == "ImageSize" and tuple(numbers) != pixels:
            found = f"images of {' x '.join(words)} pixels"
            raise wrong(path, f"line {line}, {name}", found, f"{pixels[0]} x {pixels[1]}, as the images have", OTHER)
        if name == "PixelSpacing" and pixel_size is not None and len(numbers) == 1 and numbers[0] > 0:
            ratio = max(numbers[0] / pixel_size, pixel_size / numbers[0])
            if ratio - 1 > SAME:
                found = f"a pixel of {numbers[0]:g} angstrom"
                wanted = f"{pixel_size:g} angstrom, as the images have: a factor of {ratio:.4g}"
                raise wrong(path, f"line {line}, {name}", found, wanted, OTHER)


def stated_rows(stated: Stated, registry: Registry) -> tuple[np.ndarray, str, bool]:
    """Return the stated angles in degree, shape (images, 1 or 3), their source, and whether their unit was stated."""
    if isinstance(stated.angles, tuple):
        rows = np.array(stated.angles, float)
        return (rows[:, None] if rows.ndim == 1 else rows), "recipe", False
    one = stated.angles if isinstance(stated.angles, AngleFile) else AngleFile(path=str(stated.angles))
    path = Path(one.path)
    return rows_in(path, one, registry), str(path), one.units is not None


def rows_in(path: Path, one: AngleFile, registry: Registry) -> np.ndarray:
    """Return the angles of a side file in degree, shape (images, 1 or 3)."""
    table = _mdoc(path) if path.suffix.lower() == ".mdoc" else read_table(path, one.variable, registry)
    if table.ndim == 2 and 1 in table.shape:
        table = table.ravel()
    rows = table[:, None] if table.ndim == 1 else table
    if one.columns is not None:
        if len(one.columns) != rows.shape[1] or "theta" not in one.columns:
            found = f"{rows.shape[1]} columns"
            wanted = f"{len(one.columns)} with theta, as columns says"
            raise wrong(path, "columns", found, wanted, "name every column of the file")
        made = np.zeros((rows.shape[0], 3))
        for place, name in enumerate(one.columns):
            if name != "_":
                made[:, NAMES.index(name)] = rows[:, place]
        rows = made
    if rows.ndim != 2 or rows.shape[1] not in (1, 3):
        fix = "state columns, as in [_, theta]"
        raise wrong(path, "angles", f"shape {table.shape}", "one column (theta) or three (phi, theta, psi)", fix)
    return np.rad2deg(rows) if one.units == "radian" else rows


def convert(rows: np.ndarray, convention: Convention, azimuth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return phi, theta, psi in degree of R = Rz(phi) Ry(theta) Rx(psi).

    Parameters
    ----------
    rows
        Degrees, shape (images, 1 or 3); one column is a single tilt.
    convention
        What the numbers mean.
    azimuth
        For ``axis_angle``: direction of the axis in the image plane, degree from +x towards +y.
    """
    theta = rows[:, 1] if rows.shape[1] == 3 else rows[:, 0]
    zero = np.zeros_like(theta)
    if convention == "aet_zyx":
        return (rows[:, 0], theta, rows[:, 2]) if rows.shape[1] == 3 else (zero, theta, zero)
    if convention == "axis_angle":
        if rows.shape[1] == 3:
            problem = Problem("recipe", "convention", "three angles an image", "one, for axis_angle", "mend convention")
            raise InputError(problem)
        if azimuth % 360 == 90:
            return zero, theta, zero
        turn = _about("z", np.full_like(theta, azimuth - 90))
        matrices = turn @ _about("y", theta) @ turn.transpose(0, 2, 1)
    else:
        first, last = (rows[:, 0], rows[:, 2]) if rows.shape[1] == 3 else (zero, zero)
        matrices = _about("z", first) @ _about("y", theta) @ _about("z", last)
    return _euler(matrices)


def _about(axis: str, degrees: np.ndarray) -> np.ndarray:
    angle = np.deg2rad(degrees)
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = {"y": [[c, o, s], [o, i, o], [-s, o, c]], "z": [[c, -s, o], [s, c, o], [o, o, i]]}[axis]
    return np.moveaxis(np.array(rows), -1, 0)


def _euler(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    level = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    theta = np.arctan2(-matrices[:, 2, 0], level)
    locked = level < 1e-9  # phi and psi turn about one axis: give all of it to phi
    phi = np.where(
        locked,
        np.arctan2(-matrices[:, 0, 1], matrices[:, 1, 1]),
        np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]),
    )
    psi = np.where(locked, 0.0, np.arctan2(matrices[:, 2, 1], matrices[:, 2, 2]))
    degrees = [np.rad2deg(one) for one in (phi, theta, psi)]
    phi, theta, psi = [np.where(np.abs(one) < 1e-10, 0.0, one) for one in degrees]
    return phi, theta, psi


def check(
    source: str,
    series: str,
    images: int,
    angles: tuple[np.ndarray, np.ndarray, np.ndarray],
    stated: Stated,
    *,
    unit_stated: bool,
    minimum: int = 2,
) -> None:
    """Refuse angles that cannot be right: too few or too many, not finite, in radians, all equal, twice, too far.

    Raises
    ------
    InputError
        With every fault.
    """
    phi, theta, psi = angles
    found: list[Problem] = []

    def say(what: str, wanted: str, fix: str) -> None:
        found.append(Problem(source, "angles", what, wanted, fix))

    bad = np.flatnonzero(~np.isfinite(theta) | ~np.isfinite(phi) | ~np.isfinite(psi))
    if theta.size != images:
        say(f"{theta.size} angles", f"{images}, one for each image of {series}", "mend the list, or the images")
    if bad.size:
        say(f"no number at index {', '.join(map(str, bad[:5]))}", "finite angles", "mend the list")
    if found:
        raise InputError(found)
    if images < minimum:
        say(f"{images} image", f"at least {minimum} images at different tilts", "give the whole series")
        raise InputError(found)
    low, high = float(theta.min()), float(theta.max())
    turns = np.stack(angles, 1)
    same = np.ptp(turns, axis=0).max() < 1e-6
    if same and images > 1:
        say(f"all {images} angles are {low:g} degree", "different tilts", HOW)
    elif 0 < high - low <= np.pi + 0.05 and max(abs(low), abs(high)) <= np.pi / 2 + 0.05 and not unit_stated:
        what = f"range {high - low:.3g}, from {low:.4g} to {high:.4g}: it looks like radians"
        say(what, "degrees", "state angles: {path: ..., units: radian}, or units: degree if they are meant")
    if not same and not stated.allow_duplicates:
        order = np.lexsort(turns.T)
        step = np.abs(np.diff(turns[order], axis=0)).max(1)
        twice = np.flatnonzero(step < 1e-6)
        if twice.size:
            first, second = sorted((int(order[twice[0]]), int(order[twice[0] + 1])))
            what = f"images {first} and {second} both at {theta[first]:g} degree"
            say(what, "different angles", "mend the list, or state allow_duplicates: true where frames repeat")
    far = _far(theta)
    if far.size and not stated.full_range:
        what = f"{theta[far[0]]:g} degree at index {far[0]}, far from all others"
        say(what, "angles within 90 degrees, or an even series beyond", "mend it, or state full_range: true")
    if found:
        raise InputError(found)


def _far(theta: np.ndarray) -> np.ndarray:
    """Return the images beyond 90 degrees that no even series leads to (or beyond a whole turn)."""
    if np.abs(theta).max() > 360:
        return np.flatnonzero(np.abs(theta) > 360)
    order = np.argsort(theta)
    gaps = np.diff(theta[order])
    usual = max(1.5 * float(np.median(gaps)), 10.0) if gaps.size else 0.0
    group = np.concatenate([[0], np.cumsum(gaps > usual)])
    main = np.bincount(group).argmax()
    return np.sort(order[(np.abs(theta[order]) > 90.0 + 1e-6) & (group != main)])


def degrees_of(values: np.ndarray, unit: str, source: str, name: str) -> np.ndarray:
    """Return angles that a file gives with a unit, in degree."""
    try:
        return np.asarray(values, float) * units.factor(unit, "degree")
    except (units.UnitError, *LIBRARY_ERRORS) as error:
        raise InputError(Problem(source, name, f"units {unit!r}", "degree or rad", "mend the unit")) from error
