"""The picture of what held-out images chose."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.draw.by_kind import draw

NONE = {"units": "1"}


def chosen(volume: xr.Dataset, strengths: tuple[float, ...]) -> xr.Dataset:
    """Add a search in which the first strength fits held-out images best, after seven steps."""
    steps = np.arange(41)
    free = np.stack([0.1 + 0.002 * np.abs(steps - 7) + 0.01 * row for row in range(max(len(strengths), 1))])
    free[-1, 30:] = np.nan
    found = volume.assign(
        r_free=(("trial", "step"), free, NONE),
        r_work=(("trial", "step"), 0.9 * free, NONE),
        r_free_trial=("trial", np.nanmin(free, axis=1), NONE),
        best_iterations=((), 7, NONE),
        mean_r_free=((), 0.1, NONE),
    )
    if strengths:
        found = found.assign(best_strength=((), strengths[0], NONE))
        found = found.assign_coords(strength=("trial", list(strengths), NONE))
    return found.assign_coords(step=("step", steps, NONE))


@pytest.mark.parametrize("strengths", [(), (0.1, 0.2, 0.4)])
def test_a_volume_whose_iterations_were_chosen_shows_how(specimen, strengths: tuple[float, ...]) -> None:  # type: ignore[no-untyped-def]
    picture = next(one for one in draw(chosen(specimen("volume"), strengths)) if one.name == "choice")
    assert picture.png().startswith(b"\x89PNG")
    assert "R free is 0.1 after 7 iterations" in picture.caption
    assert ("Of 3 strengths, 0.1 has the least" in picture.caption) == bool(strengths)


def test_a_volume_of_fixed_iterations_shows_no_choice(specimen) -> None:  # type: ignore[no-untyped-def]
    assert "choice" not in [one.name for one in draw(specimen("volume"))]
