"""Parameters: frozen, closed, finite, with their unit in the type."""

import pytest
from pydantic import Field, ValidationError

from aetx.core import Angle, Dose, Frequency, Length, Params
from aetx.core.describe import bounds, parameters, spell, type_words
from aetx.core.params import unit_of


class Example(Params):
    """An example."""

    width: Length = Field(2.0, gt=0, le=50, description="width")
    cut: Length | None = Field(None, description="cut")
    tilts: tuple[Angle, ...] = Field((1.0,), description="tilts")
    dose: Dose = Field(100.0, description="dose")
    step: Frequency = Field(0.1, description="step")
    times: int = Field(3, ge=1, lt=9, multiple_of=3, description="times")
    positive: bool = Field(True, description="positive")
    window: tuple[float, int] = Field((1.0, 2), description="window")
    names: dict[str, str] = Field({"a": "b"}, description="names")
    inner: "Inner | None" = Field(None, description="inner")


class Inner(Params):
    """Inside."""

    x: Length = Field(1.0, description="x")


Example.model_rebuild()


def test_parameters_are_frozen_closed_and_finite() -> None:
    made = Example()
    with pytest.raises(ValidationError, match="frozen"):
        made.width = 3.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Example(widht=3.0)  # type: ignore[call-arg]
    for value in (float("nan"), float("inf"), 0.0, 51.0):
        with pytest.raises(ValidationError, match="width"):
            Example(width=value)


def test_python_passes_plain_numbers_in_the_canonical_unit() -> None:
    assert Example(width=3.5).width == 3.5


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("width", "angstrom"),
        ("cut", "angstrom"),
        ("tilts", "degree"),
        ("dose", "e/angstrom**2"),
        ("step", "1/angstrom"),
        ("times", None),
        ("window", None),
    ],
)
def test_the_unit_is_found_inside_lists_and_alternatives(name: str, unit: str | None) -> None:
    assert unit_of(Example.model_fields[name]) == unit


def test_the_json_schema_names_the_unit() -> None:
    properties = Example.model_json_schema()["properties"]
    assert properties["width"]["x-unit"] == "angstrom"
    assert properties["width"]["exclusiveMinimum"] == 0
    assert properties["tilts"]["items"]["x-unit"] == "degree"
    assert "x-unit" not in properties["times"]


def test_help_says_type_default_and_bounds_as_a_recipe_writes_them() -> None:
    told = {one.name: one for one in parameters(Example)}
    assert (told["width"].type, told["width"].default) == ("number with unit", "2 angstrom")
    assert told["width"].bounds == "> 0, <= 50"
    assert told["width"].description == "width"
    assert (told["cut"].type, told["cut"].default) == ("number with unit | none", "none")
    assert (told["tilts"].type, told["tilts"].default) == ("list of number with unit", "[1 degree]")
    assert told["times"].bounds == ">= 1, < 9, multiple of 3"
    assert (told["positive"].type, told["positive"].default) == ("true or false", "true")
    assert (told["window"].type, told["window"].default) == ("[number, whole number]", "[1, 2]")
    assert (told["names"].type, told["names"].default) == ("mapping", "{a: b}")
    assert told["inner"].type == "mapping | none"
    assert spell(Inner()) == "{x: 1}"
    assert bounds(Example.model_fields["dose"]) == ""
    assert type_words(list[str]) == "list of text"
