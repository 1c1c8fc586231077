"""Files of edits: what they may say, and that every mistake is told at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aetx.errors import InputError, Problem
from aetx.io import open_input
from aetx.model import EDITS

GOOD = """\
edits:
  - {action: add, position: [1.2 angstrom, -0.3 nm, 0 angstrom], element: Pt, reason: "bright: seen", author: C. J.}
  - action: merge
    atom: [17, 18]
    reason: one column
    author: Y. Y.
  - {action: split, atom: 3, to: [[0 A, 0 A, 0 A], [0 A, 0 A, 2.5 A]], reason: long, author: Y. Y.}
"""


def problems_of(text: str, folder: Path) -> list[Problem]:
    (folder / "e.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"e\.yaml") as caught:
        open_input([folder / "e.yaml"], kind=EDITS)
    return list(caught.value.problems)


def test_a_file_of_edits_is_read_in_its_order_with_lines_and_lengths_in_angstrom(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(GOOD.replace(" A,", " angstrom,").replace(" A]", " angstrom]"), encoding="utf-8")
    found = open_input([tmp_path / "e.yaml"], kind=EDITS)
    assert list(found["action"].values) == ["add", "merge", "split"]
    assert list(found["entry"].values) == [2, 3, 7]
    assert list(found["reason"].values) == ["bright: seen", "one column", "long"]
    assert list(found["author"].values) == ["C. J.", "Y. Y.", "Y. Y."]
    assert list(found["element"].values) == [78, -1, -1]
    np.testing.assert_array_equal(found["atom"].values, [[-1, -1], [17, 18], [3, -1]])
    np.testing.assert_allclose(found["position"].values[0, 0], [1.2, -3.0, 0.0])
    np.testing.assert_allclose(found["target"].values[2], [[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]])
    assert np.isnan(found["position"].values[1]).all()


def test_a_list_from_which_all_edits_were_dropped_is_a_list(tmp_path: Path) -> None:
    for text in ("edits: []\n", "edits:\n"):
        (tmp_path / "e.yaml").write_text(text, encoding="utf-8")
        assert open_input([tmp_path / "e.yaml"], kind=EDITS).sizes["entry"] == 0


def test_every_wrong_entry_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
edits:
  - {action: remov, atom: 1, reason: r, author: a}
  - {action: add, position: [1, 2 angstrom, 3 angstrom], reason: r, author: a}
  - {action: remove, atom: 1.5, reason: r, author: a}
  - {action: remove, reason: r, author: a}
  - {action: move, atom: 1, reason: r, author: a}
  - {action: relabel, atom: 1, reason: r, author: a}
  - {action: merge, atom: 1, reason: r, author: a}
  - {action: remove, atom: 1, element: Pt, reason: r, author: a}
  - {action: accept, atom: 1, author: a}
  - {action: add, position: [1 angstrom, 2 angstrom], element: Xx, resaon: r, reason: r, author: a}
  - remove 7
"""
    found = problems_of(text, tmp_path)
    assert [one.line for one in found] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 12]
    assert found[0].fix == "did you mean 'remove'?"
    assert (found[1].field, found[1].found) == ("edits[1].position.x", "'1'")
    assert found[2].wanted == "the id of an atom, a whole number"
    assert found[3].field == "edits[3].atom"
    assert found[4].field == "edits[4].to"
    assert (found[6].found, found[6].wanted) == ("1 of them", "2")
    assert "every edit has an action, a reason and an author" in found[8].fix
    assert found[9].fix == "did you mean 'reason'?"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("edits: !!python/object/apply:os.system [id]\n", "a tag, an anchor or an alias"),
        ("edits: &a\n  - *a\n", "a tag, an anchor or an alias"),
        ("edits: []\nedits: []\n", "the key 'edits' twice"),
        ("edits: []\n---\nedits: []\n", "2 documents"),
        ("edits: " + "[" * 50 + "]" * 50 + "\n", "nested deeper than 20"),
        ("- {action: remove}\n", "no list"),
        ("edits: []\nmore: 1\n", "the unknown key 'more'"),
        ("edits: {action: [\n", "expected"),
    ],
)
def test_nothing_but_plain_values_is_read(text: str, told: str, tmp_path: Path) -> None:
    found = problems_of(text, tmp_path)
    assert any(told in one.found for one in found), found
    assert all(one.line > 0 for one in found)
