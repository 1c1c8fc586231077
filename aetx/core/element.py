"""A parameter that names a chemical element."""

from __future__ import annotations

from typing import Annotated

from ase.data import atomic_numbers, chemical_symbols
from pydantic import AfterValidator


def atomic_number(text: str) -> int:
    """Return the atomic number of ``'Pt'`` or ``'78'``.

    Raises
    ------
    ValueError
        If it is neither a symbol nor a number.
    """
    number = int(text) if text.isdecimal() else atomic_numbers.get(text, 0)
    if not 0 < number < len(chemical_symbols):
        raise ValueError("a chemical symbol or an atomic number")
    return number


def _known(text: str) -> str:
    atomic_number(text)
    return text


Element = Annotated[str, AfterValidator(_known)]
"""A chemical symbol, or an atomic number in quotes."""
