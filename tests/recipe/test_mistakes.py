"""Nine mistakes in one recipe: nine messages, each at its place, word for word."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.errors import RecipeError
from aetx.recipe import Plan

Read = Callable[..., Plan]

NINE = """\
title: nine mistakes
vars: {width: 0.8 angstrom}
inputs:
  series: {path: pt.mrc, angles: pt.rawtlt, pixel_size: 0.358}
steps:
  - {name: volume, stage: toy.sovle, from: series}
  - name: filtered
    stage: toy.solve
    from: series
    params:
      width: 2 mrad
      iteratons: 200
      step: -1
      cut: ${vars.widht}
  - {name: atoms, stage: toy.peaks, from: series}
  - {name: better, stage: toy.refine, from: {atoms: atoms, serie: series}}
  - {name: final, stage: toy.peaks, from: filtred}
report: [filtered, atoms]
"""

WORDS = """\
r.yaml cannot be run
r.yaml:5:57: inputs.series.pixel_size: found 0.358, wanted a number with its unit; write e.g. '0.358 angstrom'
r.yaml:7:27: steps[0].stage: found the unknown stage 'toy.sovle', wanted a known stage; did you mean 'toy.solve'?
r.yaml:12:14: steps[1].params.width: found '2 mrad', wanted a number with a unit of angstrom; 'mrad' cannot be \
converted to 'angstrom'; write e.g. '3 angstrom'
r.yaml:13:7: steps[1].params.iteratons: found the unknown parameter 'iteratons', wanted a known parameter; did you \
mean 'iterations'?
r.yaml:14:13: steps[1].params.step: found -1, wanted greater than 0; length of a step; the default is 0.5
r.yaml:15:12: steps[1].params.cut: found '${vars.widht}', wanted one of vars.width; did you mean 'vars.width'?
r.yaml:16:43: steps[2].from: found 'series', a tilt series, wanted a volume for toy.peaks; name a step or input that \
is a volume: 'filtered'
r.yaml:17:60: steps[3].from.serie: found the unknown input 'serie', wanted an input of toy.refine; did you \
mean 'series'?
r.yaml:18:43: steps[4].from: found 'filtred', wanted the name of an input or an earlier step; did you mean 'filtered'?\
"""


def test_nine_mistakes_give_nine_messages_at_their_places(read: Read, tmp_path: Path) -> None:
    (tmp_path / "pt.mrc").touch()
    (tmp_path / "pt.rawtlt").touch()
    with pytest.raises(RecipeError) as caught:
        read(NINE)
    assert str(caught.value) == WORDS
    assert caught.value.code == 2
    assert len(caught.value.problems) == 9
