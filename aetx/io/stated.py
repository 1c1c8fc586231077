"""What a recipe may state about an input: everything that a file does not say, or says wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from aetx.core.params import Params, Unit
from aetx.errors import InputError, Problem, did_you_mean
from aetx.model import units

MOST_DOSE = 1e12
FARTHEST = 1e8
"""Angstrom: a centimetre."""

Convention = Literal["aet_zyx", "genfire_zyz", "axis_angle"]
Overridden = Literal["pixel_size", "angles", "units"]


def _reading(target: str) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            return units.quantity(value, target)
        if info.context == "recipe" and value is not None:
            raise ValueError(f"{value!r} has no unit; write for example '{value} {target}'")
        return value

    return BeforeValidator(read)


Length = Annotated[float, Unit("angstrom"), _reading("angstrom")]
Angle = Annotated[float, Unit("degree"), _reading("degree")]
Dose = Annotated[float, Unit("e/angstrom**2"), _reading("e/angstrom**2")]
Frequency = Annotated[float, Unit("1/angstrom"), _reading("1/angstrom")]


class AngleFile(Params):
    """A file beside the images that holds their angles."""

    path: str = Field("", min_length=1, description="the file: .rawtlt, .tlt, .mdoc, text, .mat, .npy, .npz, .h5")
    variable: str | None = Field(None, description="name of the variable inside a MAT, NPZ or HDF5 file")
    columns: tuple[Literal["phi", "theta", "psi", "_"], ...] | None = Field(
        None, description="names of the columns of the file in their order, '_' to skip one; one column is theta"
    )
    units: Literal["degree", "radian"] | None = Field(
        None, description="unit of the numbers; degree if not stated, but then a range like that of radians is refused"
    )


class OriginTable(Params):
    """A table with the place of each sub-area; the row is chosen by the member of the list, or by number."""

    path: str = Field("", min_length=1, description="the file: text, .mat, .npy, .npz, .h5")
    variable: str | None = Field(None, description="name of the variable inside a MAT, NPZ or HDF5 file")
    row: Literal["member"] | int = Field(
        "member", description="row of the table, counted from 1; 'member': the number of this member of the list"
    )
    zero: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), description="x, y, z of the specimen's origin, in the numbers of the table"
    )
    units: str = Field("pixel", description="unit of the numbers; 'pixel' is multiplied by the pixel size")

    @field_validator("units")
    @classmethod
    def _length(cls, text: str) -> str:
        if units.canonical(text) != "pixel":
            units.factor(text, "angstrom")
        return units.canonical(text)


class SpeciesTable(Params):
    """A table with the type of each atom."""

    path: str = Field("", min_length=1, description="the file: text, .mat, .npy, .npz, .h5")
    variable: str | None = Field(None, description="name of the variable inside a MAT, NPZ or HDF5 file")
    types: dict[str, str | int] = Field(
        default_factory=dict, description="element of each number in the table; empty if they are atomic numbers"
    )

    @field_validator("types", mode="before")
    @classmethod
    def _text_keys(cls, value: object) -> object:
        return {str(key): one for key, one in value.items()} if isinstance(value, Mapping) else value


class Stated(Params):
    """Everything that a recipe may state of an input.

    What both a file and the recipe say must agree; what neither says is an error. All that is stated is kept
    in ``attrs["stated"]`` of the dataset.
    """

    pixel_size: Length | dict[str, Length] | None = Field(
        None, description="size of a pixel or voxel, angstrom; or one for each axis: {x: ..., y: ...}"
    )
    frequency_step: Frequency | None = Field(
        None, gt=0, description="size of a pixel of a diffraction pattern, 1/angstrom"
    )
    angles: str | AngleFile | tuple[float, ...] | tuple[tuple[float, float, float], ...] | None = Field(
        None, description="a file, or degrees: one theta for each image, or rows of phi, theta, psi"
    )
    convention: Convention = Field(
        "aet_zyx",
        description="meaning of the angles: aet_zyx R = Rz(phi) Ry(theta) Rx(psi); genfire_zyz R = Rz Ry Rz; "
        "axis_angle: turn by theta about an axis in the image plane",
    )
    axis_azimuth: Angle = Field(
        90.0, ge=-360, le=360, description="for axis_angle: the tilt axis, degree from +x towards +y; 90 is y"
    )
    axes: tuple[str, ...] | None = Field(
        None, description="names of the axes of the array in their order in the file, as in [x, y, tilt]"
    )
    variable: str | None = Field(None, description="name of the variable inside a MAT, HDF5 or NPZ file")
    units: str | None = Field(
        None,
        description="unit of the values: of images 'count' or '1'; of a volume 'count/pixel' (image = plain sum of "
        "voxels), 'count/angstrom'; of positions 'angstrom', 'nm', 'pixel'",
    )
    dose: Dose | tuple[Dose, ...] | None = Field(
        None, description="electrons per area, e/angstrom**2: of each image, one number for all or a list"
    )
    frames: int | None = Field(
        None, ge=1, le=10_000, description="frames of each tilt of a raw series whose files hold them one after another"
    )
    scan_directions: tuple[Angle, ...] | None = Field(
        None, description="direction of the fast scan of each frame of a raw series, degree from +x towards +y"
    )
    defocus: tuple[Length, ...] | None = Field(None, description="defocus of each image of a focal series, angstrom")
    origin: tuple[Length, Length, Length] | OriginTable | None = Field(
        None, description="x, y, z in the specimen of the rotation centre of this sub-area, angstrom; or a table"
    )
    zero: Literal["mean"] | tuple[float, float, float] | None = Field(
        None, description="of atoms: x, y, z that become 0, in the numbers of the file; or 'mean' of all atoms"
    )
    columns: tuple[str, ...] | None = Field(
        None, description="names of the columns of a text file in their order, as in [species, y, x, z]; '_' skips one"
    )
    species: str | int | tuple[str | int, ...] | SpeciesTable | None = Field(
        None, description="element of the atoms, where the file does not say: one, a list, or a table"
    )
    allow_duplicates: bool = Field(False, description="two images at the same angles are meant")
    full_range: bool = Field(False, description="angles beyond 90 degrees are meant, wherever they stand")
    override: tuple[Overridden, ...] = Field(
        (), description="what the recipe says better than the file: the file's value is ignored and the fact recorded"
    )

    @field_validator("pixel_size")
    @classmethod
    def _positive(cls, value: float | dict[str, float] | None) -> float | dict[str, float] | None:
        for one in value.values() if isinstance(value, dict) else (value,):
            if one is not None and one <= 0:
                raise ValueError(f"a pixel has a size greater than 0, got {one:g} angstrom")
        return value

    @field_validator("dose")
    @classmethod
    def _some_dose(cls, value: float | tuple[float, ...] | None) -> float | tuple[float, ...] | None:
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not 0 < one <= MOST_DOSE:
                raise ValueError(f"a dose is greater than 0 and at most {MOST_DOSE:g} e/angstrom**2, got {one:g}")
        return value

    @field_validator("defocus", "origin", "zero")
    @classmethod
    def _within_reach(cls, value: object) -> object:
        for one in value if isinstance(value, tuple) else ():
            if not abs(one) <= FARTHEST:
                raise ValueError(f"a place or a defocus is at most {FARTHEST:g} angstrom, got {one:g}")
        return value

    @field_validator("units")
    @classmethod
    def _canonical(cls, text: str | None) -> str | None:
        return None if text is None else units.canonical(text)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for name in values:
                if name not in cls.model_fields:
                    raise ValueError(f"{name!r} is nothing that can be stated; {did_you_mean(name, cls.model_fields)}")
        return values

    @classmethod
    def of(cls, values: Mapping[str, object], *, source: str = "recipe", recipe: bool = False) -> Self:
        """Return what a mapping states. In a recipe, every length must carry its unit.

        Raises
        ------
        InputError
            With every mistake, named by its field.
        """
        try:
            return cls.model_validate(dict(values), context="recipe" if recipe else None)
        except ValidationError as error:
            # of the alternatives of a type, the one that fits best speaks
            deepest = sorted(error.errors(), key=lambda one: (not one["type"].endswith("_type"), len(one["loc"])))
            by_field = {one["loc"][:1]: _problem(source, dict(one)) for one in deepest}
            raise InputError(by_field.values()) from error

    def side_files(self) -> list[Path]:
        """Return the files beside the data that are named here."""
        found = [self.angles] if isinstance(self.angles, str) else []
        tables = (self.angles, self.origin, self.species)
        found += [one.path for one in tables if isinstance(one, AngleFile | OriginTable | SpeciesTable)]
        return [Path(one) for one in found]

    def below(self, folder: Path) -> Self:
        """Return the same with the paths of side files taken from a folder."""
        changed: dict[str, object] = {}
        if isinstance(self.angles, str):
            changed["angles"] = str(folder / self.angles)
        for name in ("angles", "origin", "species"):
            one = getattr(self, name)
            if isinstance(one, AngleFile | OriginTable | SpeciesTable):
                changed[name] = one.model_copy(update={"path": str(folder / one.path)})
        return self.model_copy(update=changed)

    def record(self) -> dict[str, str]:
        """Return what was stated, as text by field, for the record and the report."""
        short = self._without_folders()
        found = {}
        for name in sorted(self.model_fields_set):
            value = getattr(short, name)
            if value is None:
                continue
            unit = {"pixel_size": " angstrom", "frequency_step": " 1/angstrom", "dose": " e/angstrom**2"}.get(name, "")
            text = str(value.model_dump(exclude_unset=True)) if isinstance(value, Params) else str(value)
            found[name] = text + unit
        return found

    def _without_folders(self) -> Self:
        changed: dict[str, object] = {}
        if isinstance(self.angles, str):
            changed["angles"] = Path(self.angles).name
        for name in ("angles", "origin", "species"):
            one = getattr(self, name)
            if isinstance(one, AngleFile | OriginTable | SpeciesTable):
                changed[name] = one.model_copy(update={"path": Path(one.path).name})
        return self.model_copy(update=changed)


def _problem(source: str, error: dict[str, Any]) -> Problem:
    parts = [part for at, part in enumerate(error["loc"]) if at == 0 or isinstance(part, int)]
    place = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in parts) or "input"
    wanted = str(error["msg"]).removeprefix("Value error, ")
    field = Stated.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    fix = f"state {field.description}" if field is not None else "mend the input block"
    return Problem(source, place, repr(error["input"])[:120], wanted, fix)
