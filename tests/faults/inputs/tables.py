"""Bad angles, tables, atoms, edits, and pixels that no stage can use."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.inputs.base import ANGLES, Maker, Table, atoms, mrc, stack, volume, written
from tests.faults.inputs.base import series as of_series

TABLE = Table({})


def beside(name: str, content: bytes, *, stated: object = "name", pixels: np.ndarray | None = None) -> Maker:
    """Return a maker of images with a file of angles, stated by its name, by a block, or not at all (None)."""

    def make(folder: Path) -> None:
        (folder / "s.mrc").write_bytes(mrc(pixels))
        (folder / name).write_bytes(content)
        of_series(folder, "s.mrc", angles=name if stated == "name" else stated)

    return make


def lines(*values: object, end: str = "\n") -> bytes:
    """Return a column of text."""
    return end.join(map(str, values)).encode() + end.encode()


GOOD = lines(*ANGLES)
MDOC = "PixelSpacing = 0.34\n\n" + "".join(f"[ZValue = {i}]\nTiltAngle = {a}\n\n" for i, a in enumerate(ANGLES))
ANGLE_FILES: dict[str, tuple[str, bytes, Any]] = {
    "G02 two images at -30": ("s.rawtlt", lines(-70, -30, -30, 35, 70), "name"),
    "G03 radians": ("s.rawtlt", lines(*np.deg2rad(ANGLES)), "name"),
    "G04 4 angles for 5 images": ("s.rawtlt", lines(-70, -35, 0, 35), "name"),
    "G04 6 angles for 5 images": ("s.rawtlt", lines(-70, -35, 0, 35, 70, 71), "name"),
    "G05 one nan": ("s.rawtlt", lines(-70, "nan", 0, 35, 70), "name"),
    "G05 one infinite": ("s.rawtlt", lines(-70, "inf", 0, 35, 70), "name"),
    "G05 one 1e999": ("s.rawtlt", lines(-70, "1e999", 0, 35, 70), "name"),
    "G06 one of 170": ("s.rawtlt", lines(-70, -35, 0, 35, 170), "name"),
    "G06 one of 7000": ("s.rawtlt", lines(-70, -35, 0, 35, 7000), "name"),
    "G06 one of 1e30": ("s.rawtlt", lines(-70, -35, 0, 35, 1e30), "name"),
    "G08 all equal": ("s.rawtlt", lines(0, 0, 0, 0, 0), "name"),
    "empty file": ("s.rawtlt", b"", "name"),
    "only blank lines": ("s.rawtlt", b"\n\n\n", "name"),
    "only comments": ("s.rawtlt", b"# none\n", "name"),
    "words": ("s.rawtlt", b"minus seventy\nzero\n", "name"),
    "a head line": ("s.csv", b"angle\n-70\n-35\n0\n35\n70\n", "name"),
    "decimal commas": ("s.rawtlt", b"-70,5\n-35,5\n0,0\n35,5\n70,5\n", "name"),
    "decimal commas, semicolons": ("s.csv", b"0;-70,5\n1;-35,5\n2;0,0\n3;35,5\n4;70,5\n", "name"),
    "two columns": ("s.csv", b"0,-70\n1,-35\n2,0\n3,35\n4,70\n", "name"),
    "rows of unequal length": ("s.csv", b"0,-70,0\n0,-35\n0,0,0\n0,35,0\n0,70,0\n", "name"),
    "an empty cell": ("s.csv", b"0,-70,0\n0,,0\n0,0,0\n0,35,0\n0,70,0\n", "name"),
    "degrees with their sign": ("s.rawtlt", "-70°\n-35°\n0°\n35°\n70°\n".encode(), "name"),
    "a minus of typesetting": ("s.rawtlt", "−70\n−35\n0\n35\n70\n".encode(), "name"),
    "underscores": ("s.rawtlt", b"-7_0\n-3_5\n0\n3_5\n7_0\n", "name"),
    "hexadecimal": ("s.rawtlt", b"0x10\n0x20\n0x30\n0x40\n0x50\n", "name"),
    "UTF-16": ("s.rawtlt", "-70\n-35\n0\n35\n70\n".encode("utf-16"), "name"),
    "Latin-1": ("s.rawtlt", b"-70\n-35\n0\n35\n70 \xb0\n", "name"),
    "zero bytes": ("s.rawtlt", b"-70\n-35\0\n0\n35\n70\n", "name"),
    "a zero byte late": ("s.rawtlt", b"#" * 5000 + b"\n-70\n-35\0\n0\n35\n70\n", "name"),
    "a picture": ("s.rawtlt", b"\x89PNG\r\n\x1a\n" + bytes(200), "name"),
    "a line of 10 MB": ("s.rawtlt", b"1 " * 5_000_000 + b"\n", "name"),
    "HTML": ("s.rawtlt", b"<!DOCTYPE html><html></html>\n", "name"),
    "another suffix": ("s.docx", GOOD, "name"),
    "columns without theta": ("s.txt", GOOD, {"path": "s.txt", "columns": ["phi"]}),
    "too many columns": ("s.txt", GOOD, {"path": "s.txt", "columns": ["phi", "theta", "psi"]}),
    "a variable of a text file": ("s.txt", GOOD, {"path": "s.txt", "variable": "a"}),
    "the images themselves": ("q.txt", GOOD, "s.mrc"),
    "mdoc without angles": ("s.mdoc", b"PixelSpacing = 0.34\n", "name"),
    "mdoc with a gap": ("s.mdoc", MDOC.replace("ZValue = 3", "ZValue = 7").encode(), "name"),
    "mdoc with one section twice": ("s.mdoc", MDOC.replace("ZValue = 3", "ZValue = 2").encode(), "name"),
    "mdoc of words": ("s.mdoc", MDOC.replace("35.0", "much").encode(), "name"),
    "mdoc of four sections": ("s.mdoc", MDOC.partition("[ZValue = 4")[0].encode(), "name"),
    "mdoc found beside, of four sections": ("s.mdoc", MDOC.partition("[ZValue = 4")[0].encode(), None),
    "rawtlt found beside, of four angles": ("s.rawtlt", lines(-70, -35, 0, 35), None),
    "mdoc of another pixel size": ("s.mrc.mdoc", MDOC.replace("0.34", "3.4").encode(), None),
    "mdoc of another number of pixels": ("s.mrc.mdoc", ("ImageSize = 64 64\n" + MDOC).encode(), None),
}
for _name, (_file, _content, _how) in ANGLE_FILES.items():
    _title = _name if _name[0] == "G" else f"angles: {_name}"
    TABLE.add(_title, 3, (), beside(_file, _content, stated=_how))
TABLE.add("G01 no angles anywhere", 3, "angles", written("s.mrc", mrc(), angles=None))
TABLE.add("G09 one image", 3, (), written("s.mrc", mrc(stack()[:1]), angles=[0]))
TABLE.add("G07 not sorted", 0, (), written("s.mrc", mrc(), angles=[0, 35, -35, 70, -70]))
TABLE.add("angles: a mark of UTF-8", 0, (), beside("s.rawtlt", b"\xef\xbb\xbf" + GOOD))
TABLE.add("angles: carriage returns", 0, (), beside("s.rawtlt", GOOD.replace(b"\n", b"\r\n")))


def _contradicting(folder: Path) -> None:
    (folder / "s.mrc").write_bytes(mrc())
    (folder / "s.rawtlt").write_bytes(lines(-60, -30, 0, 30, 60))
    (folder / "s.mdoc").write_text(MDOC)
    of_series(folder, "s.mrc", angles=None)


TABLE.add("angles: two files beside that differ", 3, "differ", _contradicting)


def _angle_folder(folder: Path) -> None:
    (folder / "s.mrc").write_bytes(mrc())
    (folder / "a.rawtlt").mkdir()
    of_series(folder, "s.mrc", angles="a.rawtlt")


TABLE.add("angles: a folder", 3, (), _angle_folder)


def pixels(change: Callable[[np.ndarray], object], **more: Any) -> Maker:
    """Return a maker of images that are changed in place."""

    def make(folder: Path) -> None:
        values = stack()
        change(values)
        (folder / "s.mrc").write_bytes(mrc(values))
        of_series(folder, "s.mrc", **more)

    return make


def put(place: Any, value: float) -> Callable[[np.ndarray], object]:
    """Return a change that puts a value in a place."""
    return lambda values: values.__setitem__(place, value)


TABLE.add("P01 one nan pixel", 3, "image[2]", pixels(put((2, 5, 5), np.nan)))
TABLE.add("P02 one image all nan", 3, "NaN in every pixel", pixels(put(3, np.nan)))
TABLE.add("P02 every image all nan", 3, "NaN in every pixel", pixels(put(slice(None), np.nan)))
TABLE.add("P03 +inf", 3, "image[1]", pixels(put((1, 5, 5), np.inf)))
TABLE.add("P03 -inf", 3, "image[1]", pixels(put((1, 5, 5), -np.inf)))
TABLE.add("P04 saturated", 0, "saturated", pixels(put((slice(None), slice(0, 10)), 65535)))
TABLE.add("P05 negative counts", 0, "negative counts", pixels(put((1, 3, 3), -5), units="count"))
TABLE.add("P06 a constant image", 3, "constant", pixels(put(1, 7)))
TABLE.add("P07 a blank image", 3, "blank", pixels(put(1, 0)))
TABLE.add("P07 nothing but blank images", 3, "blank", pixels(put(slice(None), 0)))
TABLE.add(
    "P08 complex images",
    3,
    "real numbers",
    written("s.npy", lambda: _npy(stack().astype("c8")), axes=["tilt", "y", "x"]),
)
TABLE.add("P01 a nan voxel", 3, (), lambda folder: _volume(folder, np.nan))
TABLE.add("P06 a volume of one value", 3, (), lambda folder: _volume(folder, None))
TABLE.add("a pixel of 1e38", 0, (), pixels(put((1, 3, 3), 1e38)))
TABLE.add("images of one pixel", 3, (), written("s.mrc", lambda: mrc(stack()[:, :1, :1])))


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _volume(folder: Path, value: float | None) -> None:
    values = stack()
    values[:] = 3.0 if value is None else values
    if value is not None:
        values[2, 4, 4] = value
    (folder / "v.mrc").write_bytes(mrc(values))
    volume(folder, "v.mrc")


XYZ = "3\nProperties=species:S:1:pos:R:3\nPt 0 0 0\nPt 2 0 0\nNi 0 2 0\n"
ATOMS: dict[str, tuple[str, bytes, dict[str, Any]]] = {
    "0 bytes": ("a.xyz", b"", {}),
    "a wrong count": ("a.xyz", b"5\n\nPt 0 0 0\n", {}),
    "a count too small": ("a.xyz", b"1\n\nPt 0 0 0\nPt 1 1 1\n", {}),
    "a count of 0": ("a.xyz", b"0\n\n", {}),
    "a negative count": ("a.xyz", b"-3\n\nPt 0 0 0\n", {}),
    "a count of 10^12": ("a.xyz", b"1000000000000\n\nPt 0 0 0\n", {}),
    "a count of 5000 digits": ("a.xyz", b"9" * 5000 + b"\n\nPt 0 0 0\n", {}),
    "a count in superscript": ("a.xyz", "²\n\nPt 0 0 0\nPt 1 1 1\n".encode(), {}),
    "no count": ("a.xyz", b"Pt 0 0 0\n", {}),
    "two frames": ("a.xyz", b"1\n\nPt 0 0 0\n1\n\nPt 0 0 1\n", {}),
    "nan": ("a.xyz", b"2\n\nPt 0 0 nan\nPt 1 1 1\n", {}),
    "infinite": ("a.xyz", b"2\n\nPt 0 0 inf\nPt 1 1 1\n", {}),
    "a word for a number": ("a.xyz", b"1\n\nPt 0 zero 0\n", {}),
    "decimal commas": ("a.xyz", b"1\n\nPt 0,5 1,5 2,5\n", {}),
    "two columns": ("a.xyz", b"1\n\nPt 0 0\n", {}),
    "an unknown element": ("a.xyz", b"1\n\nQq 0 0 0\n", {}),
    "element 200": ("a.xyz", b"1\n\n200 0 0 0\n", {}),
    "element -1": ("a.xyz", b"1\n\n-1 0 0 0\n", {}),
    "an element in superscript": ("a.xyz", "1\n\n² 0 0 0\n".encode(), {}),
    "a binary file": ("a.xyz", bytes(100), {}),
    "Latin-1": ("a.xyz", b"1\n\xb5\nPt 0 0 0\n", {}),
    "only a count": ("a.xyz", b"1\n", {}),
    "no Properties": ("a.extxyz", b"1\n\nPt 0 0 0\n", {}),
    "Properties of words": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R:three").encode(), {}),
    "Properties without pos": ("a.extxyz", XYZ.replace("pos:R:3", "vel:R:3").encode(), {}),
    "Properties with pos:R:2": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R:2").encode(), {}),
    "Properties with pos twice": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R:3:pos:R:3").encode(), {}),
    "Properties of 10^9 columns": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R:3:q:R:1000000000").encode(), {}),
    "Properties cut": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R").encode(), {}),
    "Properties of an unknown type": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R:3:q:Q:1").encode(), {}),
    "a column too few": ("a.extxyz", XYZ.replace("pos:R:3", "pos:R:3:q:R:1").encode(), {}),
    "a column too many": ("a.extxyz", XYZ.replace("Pt 2 0 0", "Pt 2 0 0 0").encode(), {}),
    "ids that repeat": (
        "a.extxyz",
        b"2\nProperties=species:S:1:pos:R:3:id:I:1\nPt 0 0 0 1\nPt 1 1 1 1\n",
        {},
    ),
    "ids with fractions": (
        "a.extxyz",
        b"2\nProperties=species:S:1:pos:R:3:id:I:1\nPt 0 0 0 1.5\nPt 1 1 1 2\n",
        {},
    ),
    "ids beyond 2^63": (
        "a.extxyz",
        b"2\nProperties=species:S:1:pos:R:3:id:I:1\nPt 0 0 0 99999999999999999999999\nPt 1 1 1 2\n",
        {},
    ),
    "a flag that is no truth": (
        "a.extxyz",
        b"1\nProperties=species:S:1:pos:R:3:ok:L:1\nPt 0 0 0 maybe\n",
        {},
    ),
    "positions beyond all": ("a.xyz", b"2\n\nPt 0 0 1e300\nPt 1 1 1\n", {}),
    "a table without columns": ("a.txt", b"1 2 3\n4 5 6\n", {}),
    "a table of unequal rows": ("a.txt", b"1 2 3\n4 5\n", {"columns": ["x", "y", "z"], "units": "nm"}),
    "a table with a head": ("a.csv", b"x,y,z\n1,2,3\n", {"columns": ["x", "y", "z"], "units": "nm"}),
    "a table without units": ("a.txt", b"1 2 3\n4 5 6\n", {"columns": ["x", "y", "z"]}),
    "a table in keV": ("a.txt", b"1 2 3\n4 5 6\n", {"columns": ["x", "y", "z"], "units": "keV"}),
    "a table with x twice": ("a.txt", b"1 2 3\n4 5 6\n", {"columns": ["x", "x", "z"], "units": "nm"}),
    "a table with an empty cell": ("a.csv", b"1,2,3\n4,,6\n", {"columns": ["x", "y", "z"], "units": "nm"}),
    "pixels without a pixel size": ("a.txt", b"1 2 3\n4 5 6\n", {"columns": ["x", "y", "z"], "units": "pixel"}),
    "elements for other atoms": (
        "a.txt",
        b"1 2 3\n4 5 6\n",
        {"columns": ["x", "y", "z"], "units": "nm", "species": ["Pt"]},
    ),
    "an array of text": ("a.npy", b"", {"units": "nm"}),
    "an array of four columns": ("b.npy", _npy(np.ones((6, 4))), {"units": "nm"}),
    "an array 3 x 3": ("b.npy", _npy(np.ones((3, 3))), {"units": "nm"}),
    "an array of nan": ("b.npy", _npy(np.full((6, 3), np.nan)), {"units": "nm"}),
    "a CIF": ("a.cif", b"data_x\n_cell_length_a 4\n", {}),
    "a POSCAR": ("POSCAR", b"Pt\n1.0\n4 0 0\n0 4 0\n0 0 4\n1\ndirect\n0 0 0\n", {}),
    "a PDB": ("a.pdb", b"ATOM      1  PT  PT  A   1       0.000   0.000   0.000\n", {}),
    "weights": ("w.safetensors", struct.pack("<Q", 2) + b"{}", {}),
    "weights that are a pickle": ("w.pt", b"\x80\x04cos\nsystem\n(S'touch CANARY'\ntR.", {}),
}
for _name, (_file, _content, _stated) in ATOMS.items():
    TABLE.add(f"atoms: {_name}", 3, (), written(_file, _content, atoms, **_stated))
TABLE.add(
    "atoms: an unknown element stated",
    3,
    (),
    written("a.txt", b"1 2 3\n", atoms, columns=["x", "y", "z"], units="nm", species="Qq"),
)


def edits(content: bytes) -> Maker:
    """Return a maker of atoms and a file of edits."""

    def make(folder: Path) -> Sequence[str] | None:
        (folder / "a.xyz").write_text("2\n\nPt 0 0 0\nPt 3 3 3\n")
        (folder / "e.yaml").write_bytes(content)
        whole = {
            "aetx": 1,
            "inputs": {"a": {"path": "a.xyz", "kind": "atoms"}, "e": {"path": "e.yaml", "kind": "edits"}},
            "steps": [{"name": "b", "stage": "refine.edits", "from": {"atoms": "a", "edits": "e"}}],
            "report": [],
        }
        (folder / "recipe.yaml").write_text(json.dumps(whole))
        return None

    return make


WHO = "reason: because, author: me"
EDITS: dict[str, bytes] = {
    "empty": b"",
    "a list": b"- {}\n",
    "a word": b"hello\n",
    "an unknown key": b"edit: []\n",
    "an unknown action": f"edits: [{{action: destroy, atom: 0, {WHO}}}]\n".encode(),
    "no reason": b"edits: [{action: remove, atom: 0, author: me}]\n",
    "no author": b"edits: [{action: remove, atom: 0, reason: x}]\n",
    "an atom that is text": f"edits: [{{action: remove, atom: first, {WHO}}}]\n".encode(),
    "an atom that is negative": f"edits: [{{action: remove, atom: -1, {WHO}}}]\n".encode(),
    "an atom of 400 digits": f"edits: [{{action: remove, atom: {'9' * 400}, {WHO}}}]\n".encode(),
    "a place without units": f"edits: [{{action: add, position: [1, 2, 3], {WHO}}}]\n".encode(),
    "a place of two": f"edits: [{{action: add, position: [1 nm, 2 nm], {WHO}}}]\n".encode(),
    "a place of nan": f"edits: [{{action: add, position: [nan nm, 2 nm, 1 nm], {WHO}}}]\n".encode(),
    "an unknown element": f"edits: [{{action: relabel, atom: 0, element: Qq, {WHO}}}]\n".encode(),
    "a tag": f"edits: [!!python/name:os.system {{action: remove, atom: 0, {WHO}}}]\n".encode(),
    "an alias": b"edits: &a [*a]\n",
    "deep": b"edits: " + b"[" * 5000,
    "a key twice": f"edits: [{{action: remove, atom: 0, atom: 1, {WHO}}}]\n".encode(),
    "two documents": b"edits: []\n---\nedits: []\n",
    "UTF-16": "edits: []\n".encode("utf-16"),
    "binary": bytes(range(256)),
}
for _name, _content in EDITS.items():
    TABLE.add(f"edits: {_name}", 3, (), edits(_content))
