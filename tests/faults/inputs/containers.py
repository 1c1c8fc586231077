"""Bad HDF5, MAT, NPY and NPZ files, and files of microscope makers."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from tests.faults.inputs.base import ANGLES, Table, mrc, said, stack, written

TABLE = Table({})
BARE: dict[str, Any] = {"axes": ["tilt", "y", "x"]}


def emd(change: Callable[[h5py.File], object] | None = None, **options: Any) -> Callable[[Path], None]:
    """Return a writer of an EMD file as tomviz lays it out, changed afterwards."""

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            group = file.create_group("data/tomography")
            group.attrs["emd_group_type"] = 1
            group.create_dataset("data", data=stack(), **options)
            for number, (name, unit, values) in enumerate(
                (
                    ("angles", "[deg]", np.array(ANGLES)),
                    ("y", "[n_m]", np.arange(32) * 0.034),
                    ("x", "[n_m]", np.arange(32) * 0.034),
                )
            ):
                one = group.create_dataset(f"dim{number + 1}", data=values.astype("f4"))
                one.attrs["name"], one.attrs["units"] = np.bytes_(name), np.bytes_(unit)
            if change is not None:
                change(file)

    return write


def swapped(name: str, make: Callable[[h5py.Group], Any]) -> Callable[[h5py.File], None]:
    """Return a change that puts something else in the place of a dataset."""

    def change(file: h5py.File) -> None:
        group = file["data/tomography"]
        del group[name]
        make(group)

    return change


def _secret(folder: Path) -> Path:
    path = folder / "secret.txt"
    path.write_bytes(b"the secret of another file" * 1000)
    return path


def _external(path: Path) -> None:
    secret = _secret(path.parent)
    change = swapped(
        "data",
        lambda group: group.create_dataset("data", (5, 32, 32), "u1", external=[(str(secret), 0, 5120)]),
    )
    emd(change)(path)


def _linked(path: Path) -> None:
    with h5py.File(path.parent / "other.h5", "w") as other:
        other["data"] = stack()
    emd(swapped("data", lambda group: group.__setitem__("data", h5py.ExternalLink("other.h5", "data"))))(path)


def _virtual(path: Path) -> None:
    with h5py.File(path.parent / "other.h5", "w") as other:
        other["data"] = stack()
    layout = h5py.VirtualLayout((5, 32, 32), "f4")
    layout[:] = h5py.VirtualSource(str(path.parent / "other.h5"), "data", shape=(5, 32, 32))
    emd(swapped("data", lambda group: group.create_virtual_dataset("data", layout)))(path)


def _external_axis(path: Path) -> None:
    secret = _secret(path.parent)
    emd(swapped("dim1", lambda group: group.create_dataset("dim1", (5,), "u1", external=[(str(secret), 0, 5)])))(path)


def _bomb(path: Path) -> None:
    emd()(path)
    with h5py.File(path, "a") as file:
        group = file["data/tomography"]
        del group["data"]
        one = group.create_dataset("data", (5, 16384, 16384), "f4", chunks=(1, 16384, 16384), compression="gzip")
        packed = zlib.compressobj(9)
        zeros = bytes(1 << 24)
        block = b"".join(packed.compress(zeros) for _ in range(64)) + packed.flush()
        for number in range(5):
            one.id.write_direct_chunk((number, 0, 0), block)


def _loop(path: Path) -> None:
    emd()(path)
    with h5py.File(path, "a") as file:
        file["data/again"] = h5py.SoftLink("/data")
        file["data/tomography/hard"] = file["data"]


def _wide(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(20_000):
            file.create_group(f"g{number}")


def _deep(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")
        group["data"] = stack()


def _foreign_filter(path: Path) -> None:
    emd()(path)
    with h5py.File(path, "a") as file:
        group = file["data/tomography"]
        del group["data"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 32, 32))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((5, 32, 32))
        one = h5py.h5d.create(group.id, b"data", h5py.h5t.IEEE_F32LE, space, plist)
        for number in range(5):
            one.write_direct_chunk((number, 0, 0), stack()[number].tobytes())


def _cut(part: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        emd()(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * part) if part < 1 else int(part)])

    return write


def _flipped_chunk(path: Path) -> None:
    emd(chunks=(1, 32, 32), compression="gzip")(path)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        place = file["data/tomography/data"].id.get_chunk_info(2).byte_offset
    content[place + 10 : place + 40] = b"\xff" * 30
    path.write_bytes(content)


def _attribute(path: Path) -> None:
    emd()(path)
    content = path.with_suffix(".new")
    with h5py.File(path) as old, h5py.File(content, "w", libver="latest") as file:
        old.copy("data", file)
        old.copy("data/tomography/dim2", file, "again")
        one = file["data/tomography"].create_dataset("dim4", data=np.arange(32) * 0.034)
        one.attrs.create("units", np.full(30_000, 1.0))
        del file["data/tomography/dim2"]
        file["data/tomography"].move("dim4", "dim2")
    content.replace(path)


HDF5: dict[str, tuple[Callable[[Path], object], str]] = {
    "H01 0 bytes": (lambda path: path.write_bytes(b""), "empty"),
    "H02 half": (_cut(0.5), ""),
    "H02 nearly whole": (_cut(0.95), ""),
    "H03 96 bytes": (_cut(96), ""),
    "H03 8 bytes": (_cut(8), ""),
    "H04 a group without data": (emd(swapped("data", lambda _: None)), "tomography"),
    "H05 a dangling soft link": (
        emd(swapped("data", lambda group: group.__setitem__("data", h5py.SoftLink("/nowhere")))),
        "data",
    ),
    "H05 a soft link to itself": (
        emd(swapped("data", lambda group: group.__setitem__("data", h5py.SoftLink("/data/tomography/data")))),
        "data",
    ),
    "H06 external storage": (_external, "external storage"),
    "H06 external storage of angles": (_external_axis, "external storage"),
    "H07 an external link": (_linked, "external link"),
    "H07 a virtual dataset": (_virtual, "virtual"),
    "H08 10.7 TB never written": (
        emd(swapped("data", lambda group: group.create_dataset("data", (10**4, 16384, 16384), "f4", chunks=True))),
        "never written",
    ),
    "H09 never written": (
        emd(swapped("data", lambda group: group.create_dataset("data", (5, 32, 32), "f4"))),
        "never written",
    ),
    "H09 one chunk of five written": (
        emd(swapped("data", lambda group: _one_chunk(group))),
        "1 of 5 chunks",
    ),
    "H10 7 angles for 5 images": (
        emd(swapped("dim1", lambda group: _axis(group, "dim1", np.arange(7.0), "angles", "[deg]"))),
        "dim1",
    ),
    "H10 30 places for 32 pixels": (
        emd(swapped("dim3", lambda group: _axis(group, "dim3", np.arange(30) * 0.034, "x", "[n_m]"))),
        "dim3",
    ),
    "H11 places that are nan": (
        emd(swapped("dim3", lambda group: _axis(group, "dim3", np.full(32, np.nan), "x", "[n_m]"))),
        "",
    ),
    "H11 angles that are nan": (
        emd(swapped("dim1", lambda group: _axis(group, "dim1", np.full(5, np.nan), "angles", "[deg]"))),
        "",
    ),
    "H11 places that go down": (
        emd(swapped("dim3", lambda group: _axis(group, "dim3", -np.arange(32) * 0.034, "x", "[n_m]"))),
        "",
    ),
    "H11 uneven places": (
        emd(swapped("dim3", lambda group: _axis(group, "dim3", np.arange(32) ** 2 * 0.034, "x", "[n_m]"))),
        "",
    ),
    "H11 places in keV": (
        emd(swapped("dim3", lambda group: _axis(group, "dim3", np.arange(32) * 0.034, "x", "[keV]"))),
        "",
    ),
    "H11 angles in metres": (
        emd(swapped("dim1", lambda group: _axis(group, "dim1", np.array(ANGLES), "angles", "[m]"))),
        "",
    ),
    "H11 angles without a unit": (
        emd(swapped("dim1", lambda group: _axis(group, "dim1", np.deg2rad(ANGLES), "angles", ""))),
        "",
    ),
    "H11 an axis of text": (
        emd(swapped("dim1", lambda group: group.__setitem__("dim1", [b"a", b"b", b"c", b"d", b"e"]))),
        "",
    ),
    "H12 an axis of length 0": (
        emd(swapped("data", lambda group: group.create_dataset("data", (0, 32, 32), "f4"))),
        "shape",
    ),
    "H12 a null dataset": (
        emd(swapped("data", lambda group: group.__setitem__("data", h5py.Empty("f4")))),
        "",
    ),
    "H12 a single number": (emd(swapped("data", lambda group: group.__setitem__("data", 3.0))), ""),
    "H12 seven dimensions": (
        emd(swapped("data", lambda group: group.__setitem__("data", np.ones((2,) * 7, "f4")))),
        "",
    ),
    "H13 strings": (
        emd(swapped("data", lambda group: group.__setitem__("data", np.full((5, 2, 2), b"a")))),
        "dtype",
    ),
    "H13 compound": (
        emd(swapped("data", lambda group: group.__setitem__("data", np.zeros((5, 2), "f4,i4")))),
        "",
    ),
    "H13 complex": (
        emd(swapped("data", lambda group: group.__setitem__("data", stack().astype("c8")))),
        "complex",
    ),
    "H13 references": (
        emd(swapped("data", lambda group: group.create_dataset("data", (5, 2), h5py.ref_dtype))),
        "",
    ),
    "H13 variable lengths": (
        emd(swapped("data", lambda group: group.create_dataset("data", (5,), h5py.vlen_dtype("f4")))),
        "",
    ),
    "H14 5 GiB in 5 MB": (_bomb, ""),
    "two groups with data": (emd(lambda file: _second(file)), "variable"),
    "groups 2000 deep": (_deep, ""),
    "20,000 groups": (_wide, ""),
    "a filter that is a plugin": (_foreign_filter, "filter"),
    "a chunk that is damaged": (_flipped_chunk, ""),
    "a MRC file with its name": (lambda path: path.write_bytes(mrc()), "HDF5"),
    "a text file with its name": (lambda path: path.write_bytes(b"hello" * 100), "HDF5"),
    "nothing in it": (lambda path: h5py.File(path, "w").close(), ""),
    "only a committed type": (lambda path: _typed(path), ""),
}


def _one_chunk(group: h5py.Group) -> None:
    one = group.create_dataset("data", (5, 32, 32), "f4", chunks=(1, 32, 32))
    one[0] = 1.0


def _axis(group: h5py.Group, label: str, values: np.ndarray, name: str, unit: str) -> None:
    one = group.create_dataset(label, data=values.astype("f4"))
    one.attrs["name"], one.attrs["units"] = np.bytes_(name), np.bytes_(unit)


def _second(file: h5py.File) -> None:
    file.move("data/tomography", "first")
    file["second/data"] = stack()
    file["second"].attrs["emd_group_type"] = 1


def _typed(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["t"] = np.dtype("f8")


for _name, (_write, _words) in HDF5.items():
    _title = _name if _name[0] == "H" else f"HDF5: {_name}"
    TABLE.add(_title, 3, _words or (), said(_write, "s.emd", angles=None, pixel_size=None))
TABLE.add("HDF5: an attribute of 240 kB", 3, (), said(_attribute, "s.emd", angles=None, pixel_size=None))
TABLE.add("H15 groups in a loop", 0, (), said(_loop, "s.emd", angles=None, pixel_size=None))
TABLE.add("HDF5: a variable that is not there", 3, "variable", said(emd(), "s.emd", variable="q/data"))
TABLE.add("HDF5: a variable that leaves its group", 3, (), said(emd(), "s.emd", variable="../../etc"))
TABLE.add("HDF5: other angles than the recipe's", 3, "angles", said(emd(), "s.emd", angles=[-60, -30, 0, 30, 60]))
TABLE.add("HDF5: another pixel size than the recipe's", 3, "factor", said(emd(), "s.emd", pixel_size="0.35 angstrom"))


def matlab(packed: bool = False, **variables: Any) -> bytes:
    """Return a MATLAB 5 file."""
    file: Any = io.BytesIO()
    scipy.io.savemat(file, variables or {"images": stack()}, do_compression=packed)
    return bytes(file.getvalue())


def _mat_bomb() -> bytes:
    """Return a MATLAB 5 file of one packed variable: 2 GiB of zeros in 2 MB."""
    size = 2**31 - 256
    head = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, 1, size // 8)
    head += struct.pack("<II", 1, 1) + b"a" + bytes(7) + struct.pack("<II", 9, size // 8 * 8)
    packed = zlib.compressobj(9)
    body = packed.compress(struct.pack("<II", 14, len(head) + size // 8 * 8) + head)
    zeros = bytes(1 << 24)
    body += b"".join(packed.compress(zeros) for _ in range(size >> 24)) + packed.flush()
    return matlab()[:128] + struct.pack("<II", 15, len(body)) + body


def _cells() -> bytes:
    made = np.empty((1, 2), object)
    made[0, 0], made[0, 1] = np.ones(3), "x"
    return matlab(images=made, good=stack())


def _renamed_hdf5() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as made:
        made["images"] = stack()
    return file.getvalue()


MAT = matlab()
MATLAB: dict[str, tuple[bytes | Callable[[], bytes], dict[str, Any], str]] = {
    "A01 cell": (_cells, {"variable": "images"}, "cell"),
    "A01 struct": (lambda: matlab(images={"a": 1.0}), {}, ""),
    "A01 text": (lambda: matlab(images="hello"), {}, ""),
    "A01 complex": (lambda: matlab(images=stack().astype("c8")), {"variable": "images"}, "complex"),
    "A01 two arrays": (lambda: matlab(a=stack(), b=stack()), {}, "variable"),
    "A01 no such variable": (MAT, {"variable": "q"}, "images"),
    "A01 empty": (lambda: matlab(images=np.zeros((0, 3))), {"variable": "images"}, ""),
    "A01 no variable": (MAT[:128], {}, ""),
    "A02 half": (MAT[: len(MAT) // 2], {}, "cut short"),
    "A02 half, packed": (lambda: matlab(packed=True)[:3000], {}, ""),
    "A02 minus 1 byte": (MAT[:-1], {}, ""),
    "A02 0 bytes": (b"", {}, "empty"),
    "A02 64 bytes": (MAT[:64], {}, ""),
    "A02 text": (b"1 2 3\n" * 100, {}, ""),
    "A02 noise behind its head": (MAT[:128] + np.random.default_rng(3).bytes(4000), {}, ""),
    "A02 noise packed": (lambda: _broken_pack(), {}, ""),
    "A03 HDF5 with its name": (_renamed_hdf5, {}, "7.3"),
    "A03 version 4": (lambda: _version_4(), {}, ""),
    "2 GiB of zeros in 2 MB": (_mat_bomb, {"variable": "a"}, ""),
}


def _broken_pack() -> bytes:
    made = bytearray(matlab(packed=True))
    made[300:340] = bytes(40)
    return bytes(made)


def _version_4() -> bytes:
    file: Any = io.BytesIO()
    scipy.io.savemat(file, {"images": stack()[0]}, format="4")
    return bytes(file.getvalue())


for _name, (_content, _stated, _words) in MATLAB.items():
    _title = _name if _name[0] == "A" else f"MAT: {_name}"
    TABLE.add(_title, 3, _words or (), written("s.mat", _content, **(BARE | _stated)))


def npy(values: np.ndarray | None = None, header: str | None = None, version: bytes = b"\1\0") -> bytes:
    """Return an .npy file; its header may be any text."""
    if header is None:
        file = io.BytesIO()
        np.save(file, stack() if values is None else values)
        return file.getvalue()
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(text)) + text + bytes(4096)


def npz(members: dict[str, bytes], packed: bool = False) -> bytes:
    """Return an .npz file of any members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}, None], object), allow_pickle=True)
    return file.getvalue()


def _npz_bomb() -> bytes:
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 16384, 16384), }"
    head = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(5 * 64):
            member.write(bytes(1 << 24))
    return file.getvalue()


PRETENDS = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}"
NPY: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "N01 pickled": ("s.npy", _pickled, "pickled"),
    "N01 pickled in a zip": ("s.npz", lambda: npz({"a.npy": _pickled()}), ""),
    "N02 8 TB": ("s.npy", npy(header=PRETENDS.format("'<f8'", False, "(100, 100000, 100000)")), ""),
    "N02 negative": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, "(-5, 32, 32)")), ""),
    "N02 zero": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, "(5, 0, 32)")), ""),
    "N02 of words": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, "('a',)")), ""),
    "N02 of fractions": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, "(5.0, 2)")), ""),
    "N02 a shape of 100 axes": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, "(1," * 99 + "1" + ")" * 99)), ""),
    "N02 a number of 5000 digits": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, f"({'9' * 5000},)")), ""),
    "N02 a shape that calls": ("s.npy", npy(header=PRETENDS.format("'<f4'", False, "__import__('os')")), ""),
    "N02 an unknown type": ("s.npy", npy(header=PRETENDS.format("'<q9'", False, "(5,)")), ""),
    "N02 a structured type": ("s.npy", npy(header=PRETENDS.format("[('a', '<f4')]", False, "(5,)")), ""),
    "N02 an object type": ("s.npy", npy(header=PRETENDS.format("'|O'", False, "(5,)")), ""),
    "N02 a header of brackets": ("s.npy", npy(header="(" * 9000), ""),
    "N02 a header of nothing": ("s.npy", npy(header=""), ""),
    "N02 a header of 4 GB": ("s.npy", b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(4000), ""),
    "N02 version 9": ("s.npy", npy(header="{}", version=b"\x09\0"), ""),
    "N02 half": ("s.npy", npy()[:10_000], "cut short"),
    "N02 0 bytes": ("s.npy", b"", "empty"),
    "N02 4 bytes": ("s.npy", npy()[:4], ""),
    "N02 text": ("s.npy", b"1 2 3\n" * 300, ""),
    "N02 complex": ("s.npy", npy(stack().astype("c8")), "complex"),
    "N02 text values": ("s.npy", npy(np.array(["a", "b"])), ""),
    "N02 dates": ("s.npy", npy(np.array(["2020-01-01"], "M8[D]")), ""),
    "N02 four axes": ("s.npy", npy(np.ones((2, 2, 2, 2))), "axes"),
    "N02 no axes": ("s.npy", npy(np.array(3.0)), ""),
    "NPZ of nothing": ("s.npz", npz({}), ""),
    "NPZ of text": ("s.npz", npz({"readme.txt": b"hello"}), ""),
    "NPZ of two arrays": ("s.npz", npz({"a.npy": npy(), "b.npy": npy()}), "variable"),
    "NPZ cut": ("s.npz", npz({"a.npy": npy()})[:9000], ""),
    "NPZ with a flipped byte": ("s.npz", lambda: _flipped(npz({"a.npy": npy()}, packed=True), 500), ""),
    "NPZ with a flipped pixel": ("s.npz", lambda: _flipped(npz({"a.npy": npy()}), 5000), ""),
    "NPZ of 5 GB in 5 MB": ("s.npz", _npz_bomb, ""),
    "NPZ of a lying header": (
        "s.npz",
        npz({"a.npy": npy(header=PRETENDS.format("'<f4'", False, "(5, 320, 320)"))}),
        "",
    ),
    "NPZ that is a file of Word": ("s.npz", npz({"word/document.xml": b"<x/>" * 100}), ""),
    "NPZ under a password": ("s.npz", lambda: _locked(npz({"a.npy": npy()})), ""),
}


def _flipped(content: bytes, place: int) -> bytes:
    made = bytearray(content)
    made[place] ^= 0x55
    return bytes(made)


def _locked(content: bytes) -> bytes:
    made = bytearray(content)
    made[6] |= 1
    made[made.index(b"PK\1\2") + 8] |= 1
    return bytes(made)


for _name, (_file, _content, _words) in NPY.items():
    TABLE.add(_name, 3, _words or (), written(_file, _content, **BARE))


def _vendor() -> int:
    """Return the exit code of a maker's damaged file: the machine's where the package that reads it is missing."""
    try:
        import rsciio  # noqa: F401
    except ImportError:
        return 4
    return 3


VENDOR: dict[str, tuple[str, bytes]] = {
    "D01 DM4 0 bytes": ("s.dm4", b""),
    "D02 DM4 cut": ("s.dm4", struct.pack(">IQI", 4, 10**6, 1) + bytes(100)),
    "D03 DM4 version 5": ("s.dm4", struct.pack(">IQI", 5, 4000, 1) + bytes(4000)),
    "D04 DM4 all 0xff": ("s.dm4", b"\xff" * 4096),
    "D04 DM3 all zeros": ("s.dm3", bytes(4096)),
    "D04 DM3 text": ("s.dm3", b"hello" * 100),
    "MIB noise": ("s.mib", np.random.default_rng(4).bytes(4000)),
    "BLO zeros": ("s.blo", bytes(4000)),
}
for _name, (_file, _content) in VENDOR.items():
    TABLE.add(_name, 3 if not _content else _vendor(), (), written(_file, _content, **BARE))


def ser(total: int = 5, valid: int = 5, place: int = 30, size: int = 1000) -> bytes:
    """Return the head of a TIA series and bytes behind it."""
    return b"II\x97\x01" + struct.pack("<HiiiiI", 0x210, 0, 0, total, valid, place) + bytes(size)


SER: dict[str, bytes] = {
    "S01 SER 0 bytes": b"",
    "S02 SER 20 bytes": ser()[:20],
    "S03 SER without its table": ser(place=2000),
    "S05 SER both counts 2^31 - 1": ser(2**31 - 1, 2**31 - 1),
    "S05 SER negative counts": ser(-1, -1),
    "S05 SER more valid than all": ser(5, 9),
    "S05 SER of another head": b"XX" + ser()[2:],
}
for _name, _content in SER.items():
    TABLE.add(_name, 3, (), written("s.ser", _content, **BARE))
