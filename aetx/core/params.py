"""Parameters: frozen, bounded, described, with the unit in their type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Unit:
    """Mark of a parameter that has a unit: a recipe writes ``0.34 nm``, Python passes a float in `name`."""

    name: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Name the unit in the JSON Schema as ``x-unit``."""
        return {**handler(core), "x-unit": self.name}


Length = Annotated[float, Unit("angstrom")]
Angle = Annotated[float, Unit("degree")]
Dose = Annotated[float, Unit("e/angstrom**2")]
Frequency = Annotated[float, Unit("1/angstrom")]
Energy = Annotated[float, Unit("keV")]
SmallAngle = Annotated[float, Unit("mrad")]
"""An angle of the optics: aperture, detector, beam tilt."""


class Params(BaseModel):
    """Base of all parameter classes. Every field has a default, bounds and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoParams(Params):
    """Parameters of a stage that has none."""


def unit_of(field: FieldInfo) -> str | None:
    """Return the unit of a parameter, None where it has none. Looks inside ``Length | None`` too."""
    found = _unit_in(field.metadata)
    return found if found is not None else _unit_in_type(field.annotation)


def _unit_in(marks: list[Any]) -> str | None:
    return next((mark.name for mark in marks if isinstance(mark, Unit)), None)


def _unit_in_type(annotation: Any) -> str | None:
    found = _unit_in(list(getattr(annotation, "__metadata__", ())))
    if found is not None:
        return found
    for part in getattr(annotation, "__args__", ()):
        inner = _unit_in_type(part)
        if inner is not None:
            return inner
    return None
