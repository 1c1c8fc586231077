"""Atoms of one file against those of another: `measure.compare` without a recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from aetx.core import Registry
from aetx.core.params import unit_of
from aetx.draw.style import symbol
from aetx.errors import Problem, RecipeError
from aetx.io import open_input
from aetx.model import ATOMS, units

PM = 100.0
"""Picometres in an angstrom."""


@dataclass(frozen=True)
class Scored:
    """What the comparison of two files says."""

    atoms: Path
    truth: Path
    align: str
    score: xr.Dataset

    def as_dict(self) -> dict[str, Any]:
        """Return every number for ``--json``: scalars, and those by axis, region, element and alignment."""
        told: dict[str, Any] = {"atoms": str(self.atoms), "truth": str(self.truth), "align": self.align}
        for name, one in self.score.data_vars.items():
            if not {"pair", "missing", "extra"} & set(one.dims):
                told[str(name)] = {"value": _json(one.values.tolist()), "units": one.attrs["units"]}
                if one.dims:
                    labels = {str(dim): self.score[dim].values.tolist() for dim in one.dims}
                    told[str(name)] |= {"dims": list(map(str, one.dims)), "labels": labels}
        return {"score": told}

    def lines(self) -> list[str]:
        """Return what a person reads: a table of all atoms, those at the surface and those in the core."""
        table = _table([self._counts(), self._errors(), self._rmsd()])
        return [
            f"{self.atoms} against {self.truth}",
            f"pairs within {float(self.score['radius']):.4g} angstrom, {self._aligned()}",
            "",
            *table,
            "",
            *self._elements(),
            *self._by_axis(),
            f"as published scores count (several may share an atom): {self._number('many_to_one_common')} in common, "
            f"RMSD {PM * float(self.score['many_to_one_rmsd']):.1f} pm",
        ]

    def _aligned(self) -> str:
        words = {"none": "as they are", "translation": "after a shift", "rigid": "after a shift and a rotation"}
        words |= {"scale": "after a shift, a rotation and one scale", "affine": "after a linear map and a shift"}
        return words[self.align]

    def _number(self, name: str) -> int:
        return int(self.score[name])

    def _counts(self) -> list[Sequence[str]]:
        true, missed, false = (self.score[f"{name}_region"].values for name in ("true", "missed", "false"))
        rows = [("true", true), ("found", true - missed), ("missed", missed), ("false", false)]
        return [("", "all", "surface", "core")] + [
            (name, str(int(counts.sum())), *(str(int(one)) for one in counts)) for name, counts in rows
        ]

    def _errors(self) -> list[Sequence[str]]:
        every = [float(self.score["tracing_error"]), *self.score["tracing_error_region"].values]
        return [("missed or false, %", *(f"{100 * one:.2f}" for one in every))]

    def _rmsd(self) -> list[Sequence[str]]:
        every = [float(self.score["rmsd"]), *self.score["rmsd_region"].values]
        bounds = [self.score["rmsd_interval"].values, *self.score["rmsd_region_interval"].values.T]
        between = [f"{PM * low:.1f}-{PM * high:.1f}" for low, high in bounds]
        return [("RMSD, pm", *(f"{PM * one:.1f}" for one in every)), ("  95 % between", *between)]

    def _by_axis(self) -> list[str]:
        x, y, z = (PM * one for one in self.score["rmsd_axis"].values)
        return [f"RMSD along x, y, z: {x:.1f}, {y:.1f}, {z:.1f} pm"]

    def _elements(self) -> list[str]:
        right = float(self.score["right_element"])
        if not np.isfinite(right):
            return []
        pairs = zip(self.score["true_species"].values, self.score["accuracy_species"].values, strict=True)
        each = ", ".join(f"{symbol(int(number))} {100 * share:.2f}" for number, share in pairs if np.isfinite(share))
        return [f"right element: {100 * right:.2f} % ({each})"]


def score_files(atoms: Path, truth: Path, options: Mapping[str, str], stated: Mapping[str, str]) -> Scored:
    """Compare the atoms of two files, each read by the reader that its name asks for.

    Parameters
    ----------
    atoms, truth
        Files or stores that hold atoms.
    options
        Parameters of `measure.compare` as written; a length without a unit is in angstrom.
    stated
        What a file does not say: ``species`` of all its atoms, ``units`` of their positions.

    Raises
    ------
    RecipeError
        If an option is not what it can be.
    InputError
        If a file holds no atoms.
    """
    stage = Registry().stage("measure.compare")
    given: dict[str, Any] = {}
    try:
        for name, text in options.items():
            unit = unit_of(stage.params.model_fields[name])
            given[name] = _length(text, unit) if unit else text
        params = stage.params.model_validate(given)
    except ValidationError as error:
        wrong = [
            (str(one["loc"][0]), repr(one["input"]), str(one["msg"]).removeprefix("Input should be "))
            for one in error.errors()
        ]
    except ValueError as error:
        wrong = [(name, repr(text), str(error))]
    else:
        pair = [open_input([one], kind=ATOMS, stated=stated).compute() for one in (atoms, truth)]
        return Scored(
            atoms, truth, str(params.model_dump()["align"]), stage(atoms=pair[0], truth=pair[1], params=params)
        )
    fix = "aetx score --help says what it is"
    raise RecipeError(
        [Problem("command line", f"--{name}", found, wanted, fix) for name, found, wanted in wrong],
        "the atoms cannot be compared",
    )


def _length(text: str, unit: str) -> float:
    with contextlib.suppress(ValueError):
        return float(text)
    return units.quantity(text, unit)


def _json(value: Any) -> Any:
    """Return numbers as JSON has them: undefined ones are null."""
    if isinstance(value, list):
        return [_json(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _table(parts: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    rows = [row for part in parts for row in part]
    wide = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True)))
        for row in rows
    ]
