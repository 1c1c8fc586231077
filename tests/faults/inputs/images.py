"""Bad MRC and TIFF files, and good ones that look bad."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from tests.faults.inputs.base import EDGE, IMAGES, Table, mrc, series, stack, volume, written

TABLE = Table({})
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(2000)
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>" + b"x" * 1200 + b"</body></html>"


def tiff(pages: np.ndarray | None = None, **options: Any) -> bytes:
    """Return a TIFF file of grey pages."""
    file = io.BytesIO()
    tifffile.imwrite(file, stack() if pages is None else pages, photometric="minisblack", **options)
    return file.getvalue()


def plain_tiff(
    *, width: int = EDGE, height: int = EDGE, bits: int = 32, kind: int = 3, compression: int = 1, big: bool = False,
    strips: list[tuple[int, int]] | None = None, following: int = 0, more: tuple[tuple[int, int, int, int], ...] = (),
) -> bytes:  # fmt: skip
    """Return a TIFF of one page, written by hand, so that every tag can lie."""
    place, count = (strips or [(8, width * height * bits // 8 if width * height < 10**6 else 4096)])[0]
    pixels = stack()[0].tobytes()
    tags = {256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, compression), 262: (3, 1)}
    tags |= {273: (4, place), 277: (3, 1), 278: (4, height), 279: (4, count), 339: (3, kind)}
    tags |= {tag: (field, value) for tag, field, _, value in more}
    counts = {tag: number for tag, _, number, _ in more}
    body = struct.pack("<H", len(tags))
    for tag, (field, value) in sorted(tags.items()):
        body += struct.pack("<HHII", tag, field, counts.get(tag, 1), value & 0xFFFFFFFF)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + body + struct.pack("<I", following)


def ome(text: str) -> bytes:
    """Return a TIFF whose description is this text."""
    return tiff(description=text, metadata=None)


def bomb() -> bytes:
    """Return a TIFF page of 4 GiB that lies packed in 4 MB."""
    packed = zlib.compressobj(9)
    block = bytes(1 << 24)
    content = b"".join(packed.compress(block) for _ in range(256)) + packed.flush()
    start = 8 + EDGE * EDGE * 4
    whole = plain_tiff(width=32768, height=32768, compression=8, strips=[(len(plain_tiff()), len(content))])
    assert start < len(whole)
    return whole + content


LIES: dict[str, tuple[dict[int, tuple[str, Any]], str]] = {
    "M07 nx = 0": ({0: ("i", 0)}, "nx"),
    "M07 ny = 0": ({4: ("i", 0)}, "ny"),
    "M08 nz = 0": ({8: ("i", 0)}, "nz"),
    "M09 nx = -32": ({0: ("i", -32)}, "nx"),
    "M09 nz = -1": ({8: ("i", -1)}, "nz"),
    "M10 huge": ({0: ("i", 16384), 4: ("i", 16384), 8: ("i", 10000)}, "pixel bytes"),
    "M11 all 2^31 - 1": ({0: ("i", 2**31 - 1), 4: ("i", 2**31 - 1), 8: ("i", 2**31 - 1)}, "pixel bytes"),
    "M12 mode 99": ({12: ("i", 99)}, "mode"),
    "M12 mode -1": ({12: ("i", -1)}, "mode"),
    "M12 complex mode": ({12: ("i", 4)}, "complex"),
    "M12 colour mode": ({12: ("i", 16)}, "mode"),
    "M13 4-bit": ({12: ("i", 101)}, "4-bit"),
    "M17 xlen nan": ({40: ("f", np.nan)}, "xlen"),
    "M18 xlen = -10": ({40: ("f", -10.0)}, "xlen"),
    "M19 ylen inf": ({44: ("f", np.inf)}, "ylen"),
    "M19 zlen 1e38": ({48: ("f", 1e38)}, ""),
    "M20 nsymbt = 2^31 - 1": ({92: ("i", 2**31 - 1)}, "nsymbt"),
    "M20 nsymbt = -8": ({92: ("i", -8)}, "nsymbt"),
    "mx = -32": ({28: ("i", -32)}, "mx"),
    "M21 axes 1, 1, 3": ({64: ("i", 1), 68: ("i", 1)}, "axes"),
    "M21 axes 7, 8, 9": ({64: ("i", 7), 68: ("i", 8), 72: ("i", 9)}, "axes"),
    "mx = 1": ({28: ("i", 1)}, ""),
}
for _name, (_words, _said) in LIES.items():
    TABLE.add(_name, 3, _said or (), written("s.mrc", mrc(words=_words), volume, pixel_size=None))

UNKNOWN: dict[str, dict[int, tuple[str, Any]]] = {
    "M15 mx = my = mz = 0": {28: ("i", 0), 32: ("i", 0), 36: ("i", 0)},
    "M16 xlen = ylen = 0": {40: ("f", 0.0), 44: ("f", 0.0)},
    "M16 only ylen = 0": {44: ("f", 0.0)},
}
for _name, _words in UNKNOWN.items():
    TABLE.add(_name, 3, "pixel size", written("s.mrc", mrc(words=_words), pixel_size=None))

WHOLE = mrc()
CUT: dict[str, tuple[bytes, str]] = {
    "M01 0 bytes": (b"", "empty"),
    "M02 512 bytes": (WHOLE[:512], "512 bytes"),
    "M02 one byte": (WHOLE[:1], "1024 bytes"),
    "M03 header only": (WHOLE[:1024], "20480 pixel bytes"),
    "M04 half": (WHOLE[: len(WHOLE) // 2], "pixel bytes"),
    "M05 minus 1 byte": (WHOLE[:-1], "pixel bytes"),
    "M23 text": (b"The quick brown fox jumps over the lazy dog. " * 100, "text"),
    "M23 text in lines": (b"1 2 3\n4 5 6\n" * 300, "text"),
    "M24 HTML": (HTML, "HTML"),
    "M24 XML": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>" + b" " * 2000, "HTML"),
    "M24 JSON": (b'{"message": "Not Found", "documentation_url": "https://x"}' + b" " * 2000, "text"),
    "M25 PNG": (PNG, "PNG"),
    "M25 JPEG": (b"\xff\xd8\xff\xe0" + bytes(2000), "JPEG"),
    "M25 TIFF": (tiff(), "TIFF"),
    "M25 HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(2000), "HDF5"),
    "M25 gzip": (b"\x1f\x8b\x08" + bytes(2000), "gzip"),
    "M25 bzip2": (b"BZh91AY&SY" + bytes(2000), "bzip2"),
    "M25 xz": (b"\xfd7zXZ\0" + bytes(2000), ""),
    "M25 zstandard": (b"\x28\xb5\x2f\xfd" + bytes(2000), ""),
    "M25 tar": (b"folder/s.mrc" + bytes(245) + b"ustar  " + bytes(2000), ""),
    "M25 PDF": (b"%PDF-1.7\n" + bytes(2000), "PDF"),
    "M25 git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "text"),
    "nothing but zeros": (bytes(len(WHOLE)), ""),
    "nothing but ones": (b"\xff" * len(WHOLE), ""),
    "noise": (np.random.default_rng(1).bytes(5000), ""),
}
for _name, (_content, _said) in CUT.items():
    TABLE.add(_name if _name.startswith("M") else f"MRC of {_name}", 3, _said or (), written("s.mrc", _content))

TABLE.add("M06 plus 1000 bytes", 0, "1000 unexplained bytes", written("s.mrc", WHOLE + bytes(1000)))
TABLE.add(
    "M14 bytes above 127, IMOD's unsigned",
    0,
    (),
    written("s.mrc", mrc(stack("u1") * 2, mode=0, words={152: ("i", 1146047817), 156: ("i", 0)})),
)
TABLE.add(
    "M14 bytes above 127, signed",
    0,
    (),
    written("s.mrc", mrc(stack("i1"), mode=0, words={152: ("i", 1146047817), 156: ("i", 1)})),
)
TABLE.add("M21 axes 3, 2, 1", 0, (), written("v.mrc", mrc(words={64: ("i", 3), 68: ("i", 2), 72: ("i", 1)}), volume))
TABLE.add("M22 big-endian", 0, (), written("s.mrc", mrc(order=">")))
TABLE.add(
    "M26 x 3 % larger than y", 3, "along x", written("s.mrc", mrc(words={40: ("f", 0.3502 * 32)}), pixel_size=None)
)
TABLE.add(
    "M26 z of a volume larger", 3, "along z", written("v.mrc", mrc(words={48: ("f", 5.0)}), volume, pixel_size=None)
)
TABLE.add("U01 a factor of ten", 3, "factor of 10", written("s.mrc", WHOLE, pixel_size="0.34 nm"))
TABLE.add("U03 a micrometre slip", 3, "outside", written("s.mrc", mrc(step=340.0), pixel_size=None))
TABLE.add("U03 a header in metres", 3, "outside", written("s.mrc", mrc(step=3.4e-11), pixel_size=None))
TABLE.add("U03 stated in micrometres", 3, "outside", written("s.mrc", mrc(step=0.0), pixel_size="0.34 um"))
TABLE.add("U02 furlong", 3, "pixel_size", written("s.mrc", WHOLE, pixel_size="0.34 furlong"))

CHAIN = tiff()
OME = (
    '<?xml version="1.0"?>{}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels DimensionOrder="XYZCT" ID="Pixels:0" SizeC="1" SizeT="1" SizeX="32" SizeY="32" SizeZ="5" Type="float"{}>'
    "{}</Pixels></Image></OME>"
)
OTHER = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="{}">urn:uuid:1</UUID></TiffData>'
LAUGH = "<!DOCTYPE l [" + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10)) + "]>"
READ = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


def looped(content: bytes) -> bytes:
    """Return a TIFF whose first page points to itself."""
    made = bytearray(content)
    (place,) = struct.unpack_from("<I", made, 4)
    (entries,) = struct.unpack_from("<H", made, place)
    struct.pack_into("<I", made, place + 2 + 12 * entries, place)
    return bytes(made)


TIFFS: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "T01 0 bytes": (b"", "empty"),
    "T02 8 bytes": (CHAIN[:8], "cut short"),
    "T02 header only": (CHAIN[:16], ""),
    "T03 half": (CHAIN[: len(CHAIN) // 2], ""),
    "T03 minus 1 byte": (plain_tiff(strips=[(8, 4096)])[:-1], ""),
    "T04 loop": (lambda: looped(CHAIN), "points to"),
    "T04 next page beyond the end": (plain_tiff(following=10**8), ""),
    "T05 width 2^31 - 1": (plain_tiff(width=2**31 - 1), ""),
    "T05 height 2^32 - 1": (plain_tiff(height=2**32 - 1), ""),
    "T05 width 65536 x 65536": (plain_tiff(width=65536, height=65536), ""),
    "T06 width 0": (plain_tiff(width=0, strips=[(8, 4096)]), ""),
    "T06 height 0": (plain_tiff(height=0, strips=[(8, 4096)]), ""),
    "T07 4 GiB in 4 MB": (bomb, ""),
    "T08 strip at 10^8": (plain_tiff(strips=[(10**8, 4096)]), ""),
    "T08 strip of 2^32 - 1 bytes": (plain_tiff(strips=[(8, 2**32 - 1)]), ""),
    "T08 strip of 0 bytes": (plain_tiff(strips=[(8, 0)]), ""),
    "T08 10^9 strips": (plain_tiff(more=((273, 4, 10**9, 8),)), ""),
    "T09 complex samples": (plain_tiff(bits=64, kind=6, strips=[(8, 4096)]), ""),
    "T09 7 bits": (plain_tiff(bits=7, kind=1), ""),
    "T09 0 bits": (plain_tiff(bits=0, kind=1, strips=[(8, 4096)]), ""),
    "T09 an unknown compression": (plain_tiff(compression=34999), ""),
    "T09 LZW of noise": (plain_tiff(compression=5), ""),
    "T09 deflate of noise": (plain_tiff(compression=8), ""),
    "T09 predictor 99": (plain_tiff(compression=8, more=((317, 3, 1, 99),)), ""),
    "T09 10^6 samples a pixel": (plain_tiff(more=((277, 3, 1, 65535),)), ""),
    "T09 colour": (lambda: _colour(), ""),
    "T09 pages of two sizes": (lambda: _mixed(np.zeros((16, 16), "f4")), "page"),
    "T09 pages of two types": (lambda: _mixed(np.ones((32, 32), "u2")), "page"),
    "T10 billion laughs": (ome(OME.format(LAUGH, "", "")), "OME-XML"),
    "T11 SYSTEM entity": (ome(OME.format(READ, "", "")), "OME-XML"),
    "T12 FileName outside": (ome(OME.format("", "", OTHER.format("../private/p.ome.tif"))), "outside the folder"),
    "T12 FileName absolute": (ome(OME.format("", "", OTHER.format("/etc/passwd"))), "outside the folder"),
    "T12 FileName beside": (ome(OME.format("", "", OTHER.format("q.ome.tif"))), "another file"),
    "T13 OME size of words": (ome(OME.format("", ' PhysicalSizeX="wide" PhysicalSizeXUnit="nm"', "")), ""),
    "T13 OME size nan": (
        ome(OME.format("", ' PhysicalSizeX="nan" PhysicalSizeY="nan" PhysicalSizeXUnit="nm"', "")),
        "",
    ),
    "T13 OME size in furlong": (
        ome(OME.format("", ' PhysicalSizeX="1" PhysicalSizeXUnit="fur" PhysicalSizeY="1"', "")),
        "",
    ),
    "T01 MRC with its name": (WHOLE, "not a TIFF file"),
    "T01 text with its name": (b"hello, this is not an image at all", "not a TIFF file"),
    "T01 gzip with its name": (b"\x1f\x8b\x08" + bytes(2000), "not a TIFF file"),
    "T01 noise with its head": (b"II*\0" + np.random.default_rng(2).bytes(3000), ""),
    "ImageJ of 10^9 images": (
        lambda: tiff(stack()[:1], imagej=True).replace(b"images=1\n", b"images=9\n", 1),
        "",
    ),
}


def _colour() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.ones((32, 32, 3), "u1"), photometric="rgb")
    return file.getvalue()


def _mixed(other: np.ndarray) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in (*stack()[:4], other):
            writer.write(page, photometric="minisblack", contiguous=False)
    return file.getvalue()


for _name, (_bytes, _said) in TIFFS.items():
    _size = None if _name.startswith("T13") else "0.34 angstrom"
    TABLE.add(_name, 3, _said or (), written("s.tif", _bytes, pixel_size=_size))
TABLE.add("T13 no resolution", 3, "pixel size", written("s.tif", CHAIN, pixel_size=None))
TABLE.add(
    "T13 resolution in inch only", 3, "pixel size", written("s.tif", tiff(resolution=(300, 300)), pixel_size=None)
)


def _bigtiff(folder: Path) -> None:
    (folder / "s.tif").write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 2**63) + bytes(100))
    series(folder, "s.tif")


TABLE.add("T04 BigTIFF whose first page is beyond the end", 3, (), _bigtiff)
TABLE.add(
    "T05 BigTIFF of 2^60 tags",
    3,
    (),
    written("s.tif", struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**60) + bytes(100)),
)
assert len(stack()) == IMAGES
