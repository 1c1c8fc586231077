"""A plan of an experiment beside its neighbours: what more dose, more images and a wider range would buy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pydantic import ValidationError

from aetx.core import Registry
from aetx.core.params import unit_of
from aetx.draw import draw
from aetx.draw.style import symbol
from aetx.errors import Problem, RecipeError
from aetx.io import open_input
from aetx.model import ATOMS, units

DOSES = (0.5, 1.0, 2.0, 4.0)
"""Doses that are looked at, in that of the plan."""
WIDER = 10.0
"""Degrees by which the range is changed."""
PM = 100.0
"""Picometres in an angstrom."""


@dataclass(frozen=True)
class Outcome:
    """The bounds of the plan and of its neighbours, and the pictures that were written."""

    specimen: Path
    elements: str
    dose: float
    tilts: int
    most: float
    score: xr.Dataset
    pictures: list[dict[str, str]]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for the plan and one for each change of it; lengths in picometre."""
        half, twice, few, many = self.dose / 2, 2 * self.dose, _fewer(self.tilts), 2 * self.tilts
        wanted = [
            ("the plan", self.dose, self.tilts, self.most),
            ("half the dose", half, self.tilts, self.most),
            ("twice the dose", twice, self.tilts, self.most),
            ("four times the dose", 4 * self.dose, self.tilts, self.most),
            (f"{few} images, same dose", self.dose, few, self.most),
            (f"{many} images, same dose", self.dose, many, self.most),
            (f"{many} images, twice the dose", twice, many, self.most),
        ]
        wanted += [
            (
                f"{abs(one - self.most):g} degree {'more' if one > self.most else 'less'} tilt",
                self.dose,
                self.tilts,
                one,
            )
            for one in self.score["range"].values
            if one != self.most
        ]
        made: list[dict[str, Any]] = []
        for name, dose, tilts, most in wanted:
            if made and (dose, tilts, most) == (self.dose, self.tilts, self.most):
                continue
            one = self.score.sel(dose=dose, tilts=tilts, range=most)
            x, y, z = (_number(PM * one["bound_axis"].sel(axis=axis)) for axis in "xyz")
            made.append(
                {
                    "name": name,
                    "dose": float(dose),
                    "tilts": int(tilts),
                    "range": float(most),
                    "electrons": float(one["electrons"]),
                    "elongation": float(one["elongation"]),
                    "x_pm": x,
                    "y_pm": y,
                    "z_pm": z,
                    "bound_pm": _number(PM * one["bound"]),
                }
            )
        return made

    def as_dict(self) -> dict[str, Any]:
        """Return everything for ``--json``."""
        told = {
            "specimen": str(self.specimen),
            "atoms": int(self.score["atoms"]),
            "unknown": self.score.attrs["free"],
            "method": self.score.attrs["solved"],
            "relative_error": float(self.score["error"].max()),
            "plans": self.rows(),
            "pictures": self.pictures,
        }
        return {"plan-experiment": told}

    def lines(self) -> list[str]:
        """Return the table and what it says."""
        rows = self.rows()
        plan = rows[0]
        head = ("", "e/A^2", "images", "range", "x", "y", "z", "bound (pm)", "change")
        cells = [head]
        for row in rows:
            change = "" if row is plan else _change(row["bound_pm"], plan["bound_pm"])
            lengths = (_shown(row[key]) for key in ("x_pm", "y_pm", "z_pm", "bound_pm"))
            reach = f"+-{row['range']:g} deg"
            cells.append((row["name"], f"{row['dose']:.3g}", str(row["tilts"]), reach, *lengths, change))
        wide = [max(len(row[i]) for row in cells) for i in range(len(head))]
        table = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True))
            )
            for row in cells
        ]
        error = float(self.score["error"].max())
        return [
            f"{self.specimen}: {int(self.score['atoms'])} atoms of {self.elements}; "
            f"{plan['electrons']:.3g} electrons of each in an image of the plan",
            f"No unbiased method can be closer to the atoms than this, root mean square over all of them; "
            f"unknown: {self.score.attrs['free']}.",
            "",
            *(line.rstrip() for line in table),
            "",
            f"The wedge beyond {self.most:g} degree stretches a point {plan['elongation']:.2f} times along the beam.",
            *([f"Drawn from random errors, to {100 * error:.1g} %."] if error else []),
            *(f"{one['file']}: {one['title']}" for one in self.pictures),
        ]


def plan_experiment(specimen: Path, plan: Mapping[str, str], *, stated: Mapping[str, str], output: Path) -> Outcome:
    """Compute the bound of a plan and of its neighbours, and draw it.

    Parameters
    ----------
    specimen
        A file or store that holds atoms.
    plan
        As written: ``dose`` of the series, ``tilts`` (a number), ``range``, ``pixel_size``, ``width``, ``energy``,
        ``profile``.
    stated
        What the file does not say: ``species`` of all atoms, ``units`` of their positions.
    output
        Folder for the pictures.
    """
    stage = Registry().stage("measure.experiment")
    numbers = {"dose": "e/angstrom**2", "range": "degree"}
    given: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, text in plan.items():
        try:
            if name == "tilts":
                given[name] = int(text)
                continue
            unit = numbers.get(name) or unit_of(stage.params.model_fields[name])
            given[name] = units.quantity(text, unit) if unit else text
        except ValueError as error:
            problems.append(_wrong(name, text, str(error)))
    if problems:
        raise RecipeError(problems, "the experiment cannot be planned")
    dose, tilts, most = given.pop("dose"), given.pop("tilts"), given.pop("range")
    ranges = sorted({max(most - WIDER, most / 2), most, min(most + WIDER, 90.0)})
    counts = sorted({_fewer(tilts), tilts, 2 * tilts})
    try:
        params = stage.params.model_validate(
            {
                **given,
                "doses": tuple(factor * dose for factor in DOSES),
                "tilts": tuple(counts),
                "ranges": tuple(ranges),
            }
        )
    except ValidationError as error:
        names = {"doses": "dose", "ranges": "range"}
        raise RecipeError(
            [
                _wrong(names.get(str(one["loc"][0]), str(one["loc"][0])), repr(one["input"]), str(one["msg"]))
                for one in error.errors()
            ],
            "the experiment cannot be planned",
        ) from error
    atoms = open_input([specimen], kind=ATOMS, stated=stated).compute()
    score = stage(atoms, params=params)
    return Outcome(specimen, _named(atoms), dose, tilts, most, score, _drawn(score, output))


def _wrong(name: str, found: str, wanted: str) -> Problem:
    option = f"--{name.replace('_', '-')}"
    return Problem("command line", option, found, wanted, f"aetx plan-experiment --help says what {option} is")


def _fewer(tilts: int) -> int:
    return max(2, (tilts + 1) // 2)


def _named(atoms: xr.Dataset) -> str:
    return ", ".join(symbol(int(number)) for number in np.unique(atoms["species"].values))


def _drawn(score: xr.Dataset, folder: Path) -> list[dict[str, str]]:
    made = []
    folder.mkdir(parents=True, exist_ok=True)
    for picture in draw(score):
        file = folder / f"{picture.name}.png"
        file.write_bytes(picture.png())
        made.append({"file": str(file), "title": picture.title, "caption": picture.caption})
    return made


def _number(value: xr.DataArray) -> float | None:
    """Return a number, None where it is not defined."""
    return float(value) if np.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:#.3g}"


def _change(value: float | None, plan: float | None) -> str:
    return "-" if value is None or plan is None else f"{100 * (value / plan - 1):+.0f} %"
