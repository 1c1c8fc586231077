"""A package with plain stages that counts as installed, and a recipe written and loaded in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.errors import Problem, RecipeError
from aetx.recipe import Plan, load

TOY = Path(__file__).parents[1] / "toy"


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Return a function from the text of a recipe, without its ``aetx: 1``, to its plan; the toy package is there."""
    monkeypatch.syspath_prepend(str(TOY))
    monkeypatch.chdir(tmp_path)

    def make(text: str, **options: object) -> Plan:
        (tmp_path / "r.yaml").write_text("aetx: 1\n" + text, encoding="utf-8")
        options = {"plugins": frozenset({"aetx-toy"})} | options
        return load(Path("r.yaml"), **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def mistakes(read: Callable[..., Plan]) -> Callable[..., list[Problem]]:
    """Return a function from the text of a recipe to the problems found in it."""

    def make(text: str, **options: object) -> list[Problem]:
        with pytest.raises(RecipeError, match="cannot be run") as caught:
            read(text, **options)
        return list(caught.value.problems)

    return make


@pytest.fixture
def mistake(mistakes: Callable[..., list[Problem]]) -> Callable[..., Problem]:
    """Return a function from the text of a recipe to the one problem in it."""

    def make(text: str, **options: object) -> Problem:
        found = mistakes(text, **options)
        assert len(found) == 1, "\n".join(map(str, found))
        return found[0]

    return make
