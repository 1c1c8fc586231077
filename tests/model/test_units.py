"""Unit strings: read as people write them, kept in one spelling."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetx.model import units


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("angstrom", "angstrom"),
        ("Angstrom", "angstrom"),
        ("Å", "angstrom"),
        ("\u212b", "angstrom"),
        ("A\u030a", "angstrom"),
        ("[nm]", "nm"),
        ("nm", "nm"),
        ("µm", "um"),
        ("um", "um"),
        ("1/nm", "1/nm"),
        ("nm-1", "1/nm"),
        ("nm^-1", "1/nm"),
        ("1/A", "1/angstrom"),
        ("e-/A^2", "e/angstrom**2"),
        ("e/Å²", "e/angstrom**2"),
        ("deg", "degree"),
        ("degrees", "degree"),
        ("°", "degree"),
        ("rad", "rad"),
        ("mrad", "mrad"),
        ("counts", "count"),
        ("ADU", "count"),
        ("arb. units", "1"),
        ("dimensionless", "1"),
        ("px", "pixel"),
        ("count/angstrom", "count/angstrom"),
        ("kV", "kV"),
        ("1", "1"),
    ],
)
def test_every_spelling_becomes_the_canonical_one(text: str, wanted: str) -> None:
    assert units.canonical(text) == wanted
    assert units.canonical(wanted) == wanted


@pytest.mark.parametrize("text", ["", "  ", "[]", "furlongish", "A", "3 nm nonsense", "__import__('os')", "nm/", "\n"])
def test_what_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(units.UnitError):
        units.canonical(text)


@pytest.mark.parametrize(
    "text", ["9**9**9*m", "m**9**9**9", "(9)**9**9 m", "2**99999999*angstrom", "m" * 5000, "(" * 300 + "m" + ")" * 300]
)
def test_a_unit_that_would_keep_pint_busy_is_refused_at_once(text: str) -> None:
    start = time.process_time()
    with pytest.raises(units.UnitError):
        units.canonical(text)
    assert time.process_time() - start < 0.5


def test_a_bare_a_is_not_taken_for_an_angstrom() -> None:
    with pytest.raises(units.UnitError, match="'A' means ampere; write 'angstrom'"):
        units.parse("A")


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("nm", "angstrom", 10),
        ("pm", "angstrom", 0.01),
        ("rad", "degree", 57.29577951308232),
        ("1/nm", "1/angstrom", 0.1),
    ],
)
def test_factors_are_those_of_physics(source: str, target: str, factor: float) -> None:
    assert units.factor(source, target) == pytest.approx(factor, rel=1e-12)
    assert units.factor(target, source) == pytest.approx(1 / factor, rel=1e-12)


def test_another_dimension_is_refused() -> None:
    with pytest.raises(units.UnitError, match="'mrad' cannot be converted to 'angstrom'"):
        units.factor("mrad", "angstrom")


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        ("0.34 nm", "angstrom", 3.4),
        ("340pm", "angstrom", 3.4),
        ("-1e1 mrad", "degree", -0.5729577951308232),
        ("3 e/Å^2", "e/angstrom**2", 3.0),
        ("100 e-/nm**2", "e/angstrom**2", 1.0),
        ("+.5 1/nm", "1/angstrom", 0.05),
        ("2.Å", "angstrom", 2.0),
    ],
)
def test_a_quantity_is_read_in_any_unit_of_its_dimension(text: str, target: str, value: float) -> None:
    assert units.quantity(text, target) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["3", "nm", "three nm", "", "3 nm 4", "3..4 nm", "1e nm", "0x3 nm", "3 s"])
def test_a_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(units.UnitError):
        units.quantity(text, "angstrom")


@given(st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-6))
def test_a_number_comes_back_through_another_unit(value: float) -> None:
    assert units.quantity(f"{value!r} angstrom", "nm") * units.factor("nm", "angstrom") == pytest.approx(
        value, rel=1e-12
    )


def test_the_last_digit_of_a_bare_number_is_not_its_unit() -> None:
    for text in ("0.34", "34", "1e5", "0.3 4"):
        with pytest.raises(units.UnitError):
            units.quantity(text, "angstrom")
    assert units.quantity("0.05 1/angstrom", "1/angstrom") == 0.05
