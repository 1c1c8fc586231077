"""Published numbers come out again from the arrays that their authors ship."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.benchmarks import published_scores
from tests.benchmarks.published_scores import Row

NEEDED = {
    "pair_totals": ["metallic_glass"],
    "refinements": ["metallic_glass", "ta_film_saet"],
    "silicon": ["paet_asi208"],
    "volumes": ["metallic_glass", "mset_cuau"],
    "images": ["ta_film_saet"],
}


@pytest.mark.parametrize("part", published_scores.PARTS, ids=lambda part: part.__name__)
def test_published_scores_come_out_again(
    part: Callable[[Path], Iterator[Row]], real_data: Callable[[str], Path]
) -> None:
    folders = [real_data(name) for name in NEEDED[part.__name__]]
    rows = list(part(folders[0].parent))
    assert rows
    assert not [row for row in rows if not row.agrees]
