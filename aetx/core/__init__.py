"""What a stage and a reader are, and how they are found by name."""

from aetx.core import accessor as accessor
from aetx.core.halo import halo_map, halo_tables
from aetx.core.params import Angle, Dose, Energy, Frequency, Length, Params, SmallAngle
from aetx.core.reader import Reader, reader
from aetx.core.registry import Registry
from aetx.core.stage import Forecast, InputSizes, Stage, Take, many, optional, stage

__all__ = [
    "Angle",
    "Dose",
    "Energy",
    "Forecast",
    "Frequency",
    "InputSizes",
    "Length",
    "Params",
    "Reader",
    "Registry",
    "SmallAngle",
    "Stage",
    "Take",
    "halo_map",
    "halo_tables",
    "many",
    "optional",
    "reader",
    "stage",
]
