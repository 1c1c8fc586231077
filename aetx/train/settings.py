"""Training files: what they say, checked as recipes are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from aetx.core.params import Angle, Length, Params
from aetx.errors import Problem
from aetx.recipe.files import Files, is_safe
from aetx.recipe.findings import Findings
from aetx.recipe.text import read
from aetx.recipe.values import Builder

_QUANTITY = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*?)\s*")


class Variation(Params):
    """What is drawn anew for each pair: a number with its unit between two, or one of several texts."""

    between: tuple[str, ...] = Field(
        (), description="least and greatest, each a number with its unit; whole numbers where both are"
    )
    logarithmic: bool = Field(False, description="draw the logarithm evenly, not the number")
    among: tuple[str, ...] = Field((), description="texts of which one is drawn, each as often as it stands here")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.between) == bool(self.among):
            raise ValueError("either between or among")
        if self.logarithmic and not self.between:
            raise ValueError("logarithmic only with between")
        if self.between:
            low, high, _ = self.bounds()
            if low > high or (self.logarithmic and low <= 0):
                raise ValueError("the least before the greatest, both above 0 where logarithmic")
        return self

    def bounds(self) -> tuple[float, float, str]:
        """Return the least and the greatest number, and the text behind both."""
        found = [_QUANTITY.fullmatch(text) for text in self.between]
        if len(found) != 2 or found[0] is None or found[1] is None or found[0][2] != found[1][2]:
            raise ValueError("two numbers with the same unit")
        try:
            return float(found[0][1]), float(found[1][1]), found[0][2]
        except ValueError as error:
            raise ValueError("two numbers with the same unit") from error

    @property
    def whole(self) -> bool:
        """Whether whole numbers are drawn."""
        return not self.logarithmic and all(re.fullmatch(r"[-+]?\d+", text.strip()) for text in self.between)


class Source(Params):
    """Pairs that one recipe makes."""

    recipe: Path = Field(description="recipe that makes a volume and its true atoms, no inputs")
    sets: Mapping[str, str] = Field({}, description="values of its variables, as --set takes them")
    vary: Mapping[str, Variation] = Field({}, description="variables that are drawn anew for each pair of this source")
    count: int = Field(ge=1, le=1_000_000, description="number of pairs, those for validation included")
    seeds: tuple[str, ...] = Field(("seed",), min_length=1, description="variables that take a number of their own")
    volume: str = Field("volume", description="name of the step whose volume the network is given")
    truth: str = Field("truth", description="name of the step whose atoms it is to show")

    @model_validator(mode="after")
    def _each_said_once(self) -> Self:
        names = [*self.sets, *self.vary, *self.seeds]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} in one of sets, vary and seeds only")
        return self


class Choice(Params):
    """Which network is trained from nothing."""

    form: Literal["residual", "published", "deep"] = Field("residual", description="form of the network")
    options: Mapping[str, int] = Field({}, description="what the form leaves open")


class Validation(Params):
    """How a network is judged on pairs that it is not trained on."""

    share: float = Field(0.05, gt=0, lt=1, description="share of the pairs of each source; at least one pair")
    evaluations: int = Field(10, ge=1, le=1000, description="number of times during the training, evenly spread")
    traced: int = Field(4, ge=1, le=1000, description="pairs whose atoms are traced each time; in the end all are")
    separation: Length = Field(1.6, gt=0, le=10, description="least distance of traced atoms")
    threshold: float = Field(
        0.4, gt=0, lt=1, description="least height of a traced atom over a typical one; fainter ones are doubts"
    )
    radius: Length = Field(1.38, gt=0, le=10, description="farthest distance of a traced atom from its true place")


class Scope(Params):
    """What the weights are valid for, as their card says it. Pixel size and tilts are those of the sources."""

    specimens: tuple[str, ...] = Field((), description="kinds of specimen, in words")
    pixel_size: tuple[Length, Length] = Field((0.34, 0.38), description="least and greatest edge of a voxel")
    largest_tilt: tuple[Angle, Angle] = Field((60.0, 75.0), description="least and greatest end of the tilt range")


class Training(Params):
    """A training file."""

    aetx: Literal[1] = Field(description="version of the language, 1")
    title: str = Field("", description="what is trained, in words")
    name: str = Field(min_length=1, max_length=80, description="name of the weights")
    network: Choice | None = Field(None, description="network that is trained; that of the start if not given")
    start: str | None = Field(
        None,
        description="weights from which the training starts, by name or path; blocks that the network has beyond "
        "theirs add nothing at first",
    )
    vary: Mapping[str, Variation] = Field({}, description="variables that are drawn anew for each pair of any source")
    sources: tuple[Source, ...] = Field(min_length=1, description="where pairs come from; what they say comes first")
    scope: Scope = Field(Scope(), description="what the weights are valid for")
    validation: Validation = Field(Validation(), description="how the network is judged")
    width: Length = Field(0.45, gt=0.1, le=2, description="standard deviation of the atoms in the target")
    scale_jitter: float = Field(0.15, ge=0, lt=1, description="greatest change of the scale of an input, as a fraction")
    noise: float = Field(0.03, ge=0, lt=1, description="share of inputs that are noise, without any atom in the target")
    crop: int = Field(64, ge=8, le=512, description="edge of the cubes that are cut from volumes, voxels")
    margin: int = Field(4, ge=0, le=64, description="voxels at the faces of a cube that do not count")
    batch: int = Field(1, ge=1, le=1024, description="cubes to a step")
    steps: int = Field(10_000, ge=1, le=100_000_000, description="steps of the optimisation")
    rate: float = Field(1e-3, gt=0, le=1, description="greatest rate of learning, after the first steps")
    warm_up: float = Field(0.02, ge=0, lt=1, description="share of the steps in which the rate rises")
    decay: float = Field(1e-4, ge=0, le=1, description="decay of the weights (AdamW)")
    emphasis: float = Field(0.0, ge=0, le=1000, description="weight of the centre of an atom beyond that of nothing")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="type in which most is computed")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of all that is random")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.network is None and self.start is None:
            raise ValueError("a network, or a start")
        if 2 * self.margin >= self.crop:
            raise ValueError("a crop of more than twice the margin")
        if not is_safe(self.name):
            raise ValueError("a name of letters, digits, '.', '_', '-'")
        return self


@dataclass(frozen=True)
class Loaded:
    """A training file as it was read."""

    path: Path
    text: str
    training: Training


def load(path: Path | str) -> Loaded:
    """Read a training file and check all of it that can be known without running a recipe.

    Raises
    ------
    RecipeError
        With every mistake at once, each with its line and column.
    """
    path = Path(path)
    findings = Findings(str(path))
    text, root = read(path, findings)
    builder = Builder(findings, Files(path.parent.resolve(), findings).locate)
    made = builder.build(Training, root, "training")
    for one in [one for one in findings.problems if _said_inside(one, findings)]:
        del findings.problems[one]
    findings.stop()
    assert made is not None
    return Loaded(path, text, made)


def _said_inside(one: Problem, findings: Findings) -> bool:
    """Tell whether a value counts as missing only because something inside it is wrong."""
    inside = (f"{one.field}.", f"{one.field}[")
    return one.wanted == "a value" and any(other.field.startswith(inside) for other in findings.problems)
