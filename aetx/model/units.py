"""Unit strings: one short ASCII spelling on disk; pint only where people write or read them.

The canonical strings (``angstrom``, ``degree``, ``e/angstrom**2``, ``1/angstrom``, ``1``) are read alike by pint,
cf-xarray and UDUNITS-2.
"""

from __future__ import annotations

import functools
import re

import pint

ALIASES = {
    "px": "pixel",
    "pix": "pixel",
    "pixels": "pixel",
    "a.u.": "1",
    "arb. unit": "1",
    "arb. units": "1",
    "unitless": "1",
    "dimensionless": "1",
    "ADU": "count",
    "counts": "count",
    "electrons": "count",
    "°": "degree",
    "degrees": "degree",
    "n_m": "nm",
    "%": "percent",
    "um": "micrometer",
}
"""Spellings that microscopes and people write, and what they mean."""


ASCII = str.maketrans({"\u212b": "angstrom", "\u00c5": "angstrom", "\u00b5": "u", "\u03bc": "u"})
"""ASCII for the angstrom and the micro sign, of which there are two code points each."""
LONGEST = 80
"""Characters that a unit may have."""

_POWER = re.compile(r"\*\*\s*\(?\s*[+-]?\d{1,2}(\.\d+)?\s*\)?")
_POWER_OF_POWER = re.compile(r"\*\*\s*\(?\s*[+-]?[\d.]+\s*\)?\s*\*\*")
_NUMBER = re.compile(r"(?<![\w.])(?!1(?![\w.]))[\d.]+|\*\*")


class UnitError(ValueError):
    """A unit string that cannot be read, or that means something else here."""


@functools.cache
def registry() -> pint.UnitRegistry[float]:
    """Return the one registry of the program."""
    found: pint.UnitRegistry[float] = pint.UnitRegistry(cache_folder=None)
    found.define("@alias angstrom = Angstrom")
    found.define("@alias elementary_charge = electron")
    pint.set_application_registry(found)
    return found


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> pint.Unit:
    """Read a unit as people and files write it.

    Raises
    ------
    UnitError
        For an empty or unknown unit, and for a bare ``A``, which pint reads as ampere.
    """
    plain = text.strip().strip("[]").strip()
    if not plain:
        raise UnitError("the unit is empty")
    if len(plain) > LONGEST:
        raise UnitError(f"{plain[:LONGEST]!r} and so on is too long for a unit")
    plain = ALIASES.get(plain, plain)
    if plain == "A":
        raise UnitError("'A' means ampere; write 'angstrom'")
    plain = plain.replace("A\u030a", "angstrom").translate(ASCII)
    plain = plain.replace("e-/", "e/").replace("electron/", "e/")
    plain = re.sub(r"/\s*A(?=\b|\^|\*)", "/angstrom", plain).replace("^", "**")
    plain = re.sub(r"([A-Za-z]+)(-?\d+)\b(?!\.)", r"\1**\2", plain)  # the CF style `nm-1`
    plain = re.sub(r"(?<=[A-Za-z0-9)])\s+(?=[A-Za-z(])", "*", plain)
    if _POWER_OF_POWER.search(plain) or _NUMBER.search(_POWER.sub("", plain)):
        raise UnitError(f"{text!r} is not a unit that aetx knows")  # pint would compute 9**9**9
    try:
        return registry().parse_units(plain)
    except Exception as error:
        raise UnitError(f"{text!r} is not a unit that aetx knows") from error


def canonical(text: str) -> str:
    """Return the spelling that goes to disk: ``'Å'`` becomes ``'angstrom'``, ``'e-/A^2'`` ``'e/angstrom**2'``."""
    unit = parse(text)
    if unit == registry().dimensionless:
        return "1"
    return f"{unit:~C}".translate(ASCII).replace("deg", "degree")


def factor(source: str, target: str) -> float:
    """Return the number that turns values in `source` into values in `target`.

    Raises
    ------
    UnitError
        If one cannot be converted to the other.
    """
    try:
        return float(registry().Quantity(1.0, parse(source)).m_as(parse(target)))
    except pint.DimensionalityError as error:
        raise UnitError(f"{source!r} cannot be converted to {target!r}") from error


def is_length(text: str) -> bool:
    """Tell whether a unit measures a length."""
    return bool(parse(text).dimensionality == parse("angstrom").dimensionality)


def quantity(text: str, target: str) -> float:
    """Read ``'0.34 nm'`` as a number in `target`.

    Raises
    ------
    UnitError
        If there is no number, no unit, or one of another dimension.
    """
    match = re.fullmatch(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\d.])\s*(\S.*?)\s*", text)
    if match is None:
        raise UnitError(f"{text!r} is not a number with a unit; write for example '1 {target}'")
    return float(match[1]) * factor(match[2], target)
