"""Good files that must never be refused: every format, in the variants that programs write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import ase.io
import h5py
import mrcfile
import numpy as np
import xarray as xr

from aetx.store import write
from tests.faults.inputs.base import ANGLES, Maker, atoms, mrc, said, stack, volume, written
from tests.faults.inputs.containers import emd, matlab, npy, npz
from tests.faults.inputs.images import tiff
from tests.faults.inputs.stores import published
from tests.faults.inputs.tables import MDOC, WHO, beside, edits

BARE: dict[str, Any] = {"axes": ["tilt", "y", "x"]}
GOOD: dict[str, Maker] = {}

for _order in ("<", ">"):
    for _mode, _kind in {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}.items():
        _values = (stack() - 60).astype(_kind)
        GOOD[f"MRC mode {_mode}, {'big' if _order == '>' else 'little'}-endian"] = written(
            "s.mrc",
            mrc(_values, mode=_mode, order=_order),
        )
GOOD |= {
    "MRC volume": written("v.mrc", mrc(), volume),
    "MRC volume with its own pixel size": written("v.mrc", mrc(), volume, pixel_size=None),
    "MRC .st, IMOD's unsigned bytes": written(
        "s.st", mrc(stack("u1"), mode=0, words={152: ("i", 1146047817), 156: ("i", 0)})
    ),
    "MRC .rec": written("v.rec", mrc(), volume),
    "MRC .map with its axes turned": written("v.map", mrc(words={64: ("i", 3), 68: ("i", 2), 72: ("i", 1)}), volume),
    "MRC with an extended header": written("s.mrc", mrc(extended=bytes(range(256)) * 4)),
    "MRC with bytes behind": written("s.mrc", mrc() + bytes(100)),
    "MRC without a machine stamp": written("s.mrc", mrc(words={212: ("i", 0)})),
    "MRC without a pixel size": written("s.mrc", mrc(step=0.0)),
    "MRC of 2000": written("s.mrc", mrc(words={104: ("i", 0), 208: ("i", 0)})),
    "MRC whose labels are noise": written("s.mrc", mrc(words={220: ("i", 10), 224: ("80s", b"\xff" * 80)})),
    "MRC of one section as volume": written("v.mrc", mrc(stack()[:2]), volume),
    "MRC of odd sizes": written("s.mrc", mrc(stack()[:, :31, :17].copy())),
    "a wrong pixel size, overridden": written("s.mrc", mrc(step=3.4), override=["pixel_size"]),
    "pixels that are not square, stated": written(
        "s.mrc", mrc(step=0.0), pixel_size={"x": "0.34 angstrom", "y": "0.35 angstrom"}
    ),
    "angles not in order": written("s.mrc", mrc(), angles=[0, 35, -35, 70, -70]),
    "equal angles, allowed": written("s.mrc", mrc(), angles=[0, 35, 35, 70, -70], allow_duplicates=True),
    "angles around the whole": written("s.mrc", mrc(), angles=[0, 72, 144, 216, 288]),
    "angles of three axes": written("s.mrc", mrc(), angles=[[1, a, 2] for a in ANGLES]),
    "angles of zyz": written("s.mrc", mrc(), angles=[[1, a, 2] for a in ANGLES], convention="genfire_zyz"),
    "angles about x": written("s.mrc", mrc(), convention="axis_angle", axis_azimuth="0 degree"),
    "a dose": written("s.mrc", mrc(), dose="100 e/angstrom^2", units="count"),
    "counts below zero": written("s.mrc", mrc(stack() - 5), units="count"),
    "TIFF": written("s.tif", tiff()),
    "TIFF big-endian": written("s.tif", tiff(byteorder=">")),
    "TIFF 64 bit offsets": written("s.tif", tiff(bigtiff=True)),
    "TIFF packed": written("s.tif", tiff(compression="zlib")),
    "TIFF packed with a predictor": written("s.tif", tiff(stack("u2"), compression="zlib", predictor=True)),
    "TIFF in strips": written("s.tif", tiff(rowsperstrip=8)),
    "TIFF in tiles": written("s.tif", tiff(tile=(16, 16))),
    "TIFF 8 bit": written("s.tif", tiff(stack("u1"))),
    "TIFF 16 bit": written("s.tiff", tiff(stack("u2"))),
    "TIFF signed": written("s.tif", tiff(stack("i2"))),
    "TIFF 32 bit whole numbers": written("s.tif", tiff(stack("u4"))),
    "TIFF 64 bit": written("s.tif", tiff(stack("f8"))),
    "TIFF half": written("s.tif", tiff(stack("f2"))),
    "TIFF of ImageJ": written(
        "s.tif",
        tiff(imagej=True, resolution=(1 / 0.034, 1 / 0.034), metadata={"unit": "nm", "axes": "ZYX"}),
        pixel_size=None,
    ),
    "TIFF of OME": written(
        "s.ome.tif",
        tiff(
            ome=True,
            metadata={
                "axes": "ZYX",
                "PhysicalSizeX": 0.034,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.034,
                "PhysicalSizeYUnit": "nm",
            },
        ),
        pixel_size=None,
    ),
    "TIFF with a description": written("s.tif", tiff(description="made by me, 300 keV", metadata=None)),
    "TIFF volume": written("v.tif", tiff(), volume),
}


def hdf5(name: str = "images", libver: str = "earliest", kind: str = "f4", **options: Any) -> Callable[[Path], None]:
    """Return a writer of one plain dataset."""

    def make(path: Path) -> None:
        with h5py.File(path, "w", libver=libver) as file:
            file.create_dataset(name, data=stack().astype(kind), **options)

    return make


def _linked(path: Path) -> None:
    hdf5("a/b")(path)
    with h5py.File(path, "a") as file:
        file["images"] = h5py.SoftLink("/a/b")


def _matlab_73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        one = file.create_dataset("images", data=stack().transpose(2, 1, 0).copy())
        one.attrs["MATLAB_class"] = np.bytes_("single")
        file.create_dataset("note", data=np.frombuffer(b"a\0b\0", "u2")).attrs["MATLAB_class"] = np.bytes_("char")
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    path.write_bytes(content)


PLAIN: dict[str, dict[str, Any]] = {
    "HDF5 plain": {},
    "HDF5 newest layout": {"libver": "latest"},
    "HDF5 in chunks": {"chunks": (1, 16, 32)},
    "HDF5 gzip": {"chunks": (1, 32, 32), "compression": "gzip"},
    "HDF5 gzip, shuffle, checksum": {
        "chunks": (1, 32, 32),
        "compression": "gzip",
        "shuffle": True,
        "fletcher32": True,
    },
    "HDF5 lzf": {"chunks": (2, 32, 32), "compression": "lzf"},
    "HDF5 of 16 bit": {"kind": "u2"},
    "HDF5 big-endian": {"kind": ">f8"},
    "HDF5 growing": {"maxshape": (None, 32, 32)},
    "HDF5 in groups": {"name": "entry/instrument/detector/images"},
}
GOOD |= {name: said(hdf5(**options), "s.h5", **BARE) for name, options in PLAIN.items()}
GOOD |= {
    "HDF5 behind a soft link": said(_linked, "s.hdf5", variable="images", **BARE),
    "EMD of tomviz": said(emd(), "s.emd", angles=None, pixel_size=None),
    "EMD of tomviz, packed": said(emd(chunks=(1, 32, 32), compression="gzip"), "s.tvh5", angles=None, pixel_size=None),
    "EMD with the recipe's own angles": said(emd(), "s.emd", angles=[-60, -30, 0, 30, 60], override=["angles"]),
    "MAT 5": written("s.mat", matlab(), **BARE),
    "MAT 5 packed": written("s.mat", matlab(packed=True), **BARE),
    "MAT 5 with words beside": written("s.mat", matlab(images=stack(), note="hello", n=3.0), **BARE),
    "MAT 5 of whole numbers": written("s.mat", matlab(images=stack("i2"), packed=False), **BARE),
    "MAT 5 of doubles that are whole": written("s.mat", matlab(images=stack("f8")), **BARE),
    "MAT 5 with two arrays": written("s.mat", matlab(a=stack(), b=stack()), variable="b", **BARE),
    "MAT 7.3": said(_matlab_73, "s.mat", **BARE),
    "NPY": written("s.npy", npy(), **BARE),
    "NPY in Fortran's order": written("s.npy", npy(np.asfortranarray(stack())), **BARE),
    "NPY big-endian": written("s.npy", npy(stack().astype(">f8")), **BARE),
    "NPY of bytes": written("s.npy", npy(stack("u1")), **BARE),
    "NPY with another order of axes": written("s.npy", npy(stack().transpose(2, 1, 0).copy()), axes=["x", "y", "tilt"]),
    "NPZ": written("s.npz", npz({"a.npy": npy()}), **BARE),
    "NPZ packed": written("s.npz", npz({"a.npy": npy()}, packed=True), **BARE),
    "NPZ of two": written("s.npz", npz({"a.npy": npy(), "b.npy": npy()}), variable="b", **BARE),
}


def zarr(**options: Any) -> Callable[[Path], None]:
    """Return a writer of another program's store."""

    def make(path: Path) -> None:
        kind = options.pop("kind", "f4") if "kind" in options else "f4"
        whole = {key: value for key, value in options.items() if key == "consolidated"}
        how = {key: value for key, value in options.items() if key != "consolidated"}
        made = xr.Dataset({"image": (("tilt", "y", "x"), stack(kind))})
        made.to_zarr(path, zarr_format=3, encoding={"image": how}, **({"consolidated": False} | whole))

    return make


def _tables(folder: Path) -> None:
    (folder / "a.txt").write_text("% id x y z\n1\t0.1\t0.2\t0.3\n2\t0.4\t0.5\t0.6\n")
    atoms(folder, "a.txt", columns=["id", "x", "y", "z"], units="nm", species="Pt")


def _ase(path: Path) -> None:
    made = ase.Atoms("PtNiX", np.arange(9.0).reshape(3, 3) * 2)
    made.set_array("id", np.array([7, 3, 11]))
    made.set_array("sigma", np.array([[0.1, 0.2, 0.3]] * 3))
    made.set_array("good", np.array([True, False, True]))
    ase.io.write(path, made, format="extxyz")


def _mrcfile(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data(stack())
        file.voxel_size = 0.34


GOOD |= {
    "Zarr of another program": said(zarr(), "s.zarr"),
    "Zarr in small chunks": said(zarr(chunks=(2, 7, 32)), "s.zarr"),
    "Zarr without packing": said(zarr(chunks=(1, 32, 32), compressors=None), "s.zarr"),
    "Zarr in shards": said(zarr(chunks=(1, 16, 16), shards=(1, 32, 32)), "s.zarr"),
    "Zarr with its metadata in one place": said(zarr(consolidated=True), "s.zarr"),
    "Zarr of 16 bit": said(zarr(kind="u2"), "s.zarr"),
    "Zarr of aetx": said(
        lambda path: write(published(), path, key="k", record={}, scratch=path.parent / "t"),
        "v.zarr",
        volume,
        pixel_size=None,
    ),
    "MRC of mrcfile": said(_mrcfile, "v.mrc", volume, pixel_size=None),
    "XYZ": written("a.xyz", b"2\na comment\nPt 0 0 0\nNi 1.5e0 -2 +3.25\n", atoms),
    "XYZ with numbers and more columns": written("a.xyz", b"2\n\n78 0 0 0 0.5\n28 1 2 3 0.5\n", atoms),
    "XYZ of an unknown element": written("a.xyz", b"1\n\nX 0 0 0\n", atoms),
    "XYZ with carriage returns": written("a.xyz", b"1\r\n\r\nPt 0 0 0\r\n", atoms),
    "XYZ with blank lines at its end": written("a.xyz", b"1\n\nPt 0 0 0\n\n\n", atoms),
    "extended XYZ of ASE": said(_ase, "a.extxyz", atoms),
    "extended XYZ named .xyz": said(_ase, "a.xyz", atoms),
    "a table with tabs": _tables,
    "a table with commas": written("a.csv", b"1, 2, 3\n4, 5, 6\n", atoms, columns=["x", "y", "z"], units="nm"),
    "a table with semicolons": written("a.csv", b"1;2;3\n4;5;6\n", atoms, columns=["x", "y", "z"], units="nm"),
    "a table of NumPy": written("a.npy", npy(np.arange(12.0).reshape(4, 3)), atoms, units="angstrom"),
    "a table of MATLAB": written("a.mat", matlab(p=np.arange(12.0).reshape(3, 4)), atoms, units="angstrom"),
    "angles .rawtlt": beside("s.rawtlt", "\n".join(map(str, ANGLES)).encode()),
    "angles found beside": beside("s.rawtlt", "\n".join(map(str, ANGLES)).encode(), stated=None),
    "angles with a mark of UTF-8": beside("s.tlt", b"\xef\xbb\xbf-70\n-35\n0\n35\n70\n"),
    "angles with carriage returns": beside("s.tlt", b"-70\r\n-35\r\n0\r\n35\r\n70\r\n"),
    "angles with comments": beside("s.txt", b"# degree\n-70\n-35\n0\n35\n70\n# end\n"),
    "angles in three columns": beside("s.csv", b"1,-70,0\n1,-35,0\n1,0,0\n1,35,0\n1,70,0\n"),
    "angles in the second column": beside(
        "s.csv", b"0,-70\n1,-35\n2,0\n3,35\n4,70\n", stated={"path": "s.csv", "columns": ["_", "theta"]}
    ),
    "angles in radians, stated": beside(
        "s.txt",
        "\n".join(str(np.deg2rad(one)) for one in ANGLES).encode(),
        stated={"path": "s.txt", "units": "radian"},
    ),
    "angles as exponents": beside("s.txt", b"-7.0e1\n-3.5E+01\n0\n+35.\n.7e2\n"),
    "angles of .mdoc": beside("s.mdoc", MDOC.encode()),
    "angles of .mrc.mdoc beside": beside("s.mrc.mdoc", MDOC.encode(), stated=None),
    "angles of NumPy": beside("s.npy", npy(np.array(ANGLES))),
    "angles of MATLAB": beside("s.mat", matlab(a=np.array(ANGLES))),
    "edits of nothing": edits(b"edits: []\n"),
    "edits": edits(
        f"edits:\n- {{action: remove, atom: 1, {WHO}}}\n"
        f"- {{action: add, position: [1 nm, 2 nm, 3 angstrom], element: Pt, {WHO}}}\n".encode()
    ),
}
