"""A check of results reads every byte once, remembers what it read, and can be stopped and go on."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from aetx.errors import InputError
from aetx.run import run_plan, verify_output
from aetx.store import Expected, Known, disk, read_again
from aetx.store import checking as module
from tests.run import tiny


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "SETTLED", -1.0)
    run_plan(tiny.plan(tiny.chain()), output=tmp_path / "out", reporter=None, quiet=True)
    return tmp_path / "out"


def chunk(output: Path) -> Path:
    return output / "results" / "smooth.zarr" / "density" / "c" / "0" / "0" / "0"


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_what_was_read_is_not_read_again_until_it_is_asked_for(output: Path) -> None:
    first = verify_output(output, again=False)
    assert (first, first.known) == ([], 0)
    assert (
        first.bytes
        == sum(file.stat().st_size for file in (output / "results").rglob("*") if file.is_file())
        - sum(file.stat().st_size for file in (output / "results").rglob("aetx-manifest.json"))
        + (output / "exports" / "atoms.tiny.txt").stat().st_size
    )
    second = verify_output(output, again=False)
    assert (second.known, second.bytes, second.files) == (first.files, 0, first.files)
    assert "--all reads them again" in second.lines()[-1]
    assert verify_output(output, again=True).bytes == first.bytes


def test_a_file_that_was_touched_is_read_again_also_with_its_old_time(output: Path) -> None:
    verify_output(output, again=False)
    state = chunk(output).stat()
    flip(chunk(output))
    os.utime(chunk(output), ns=(state.st_atime_ns, state.st_mtime_ns))
    found = verify_output(output, again=False)
    assert [one.field for one in found] == ["density/c/0/0/0"]
    assert verify_output(output, again=False) == found


def test_a_change_that_leaves_no_trace_is_found_by_reading_everything(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_line", lambda state, digest: f"{state.st_ino:032x}")
    verify_output(output, again=False)
    flip(chunk(output))
    assert verify_output(output, again=False) == []
    assert len(verify_output(output, again=True)) == 1


def test_a_file_that_has_just_been_written_is_not_trusted(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED", 3600.0)
    verify_output(output, again=False)
    assert verify_output(output, again=False).known == 0


def test_a_check_that_is_stopped_goes_on_where_it_was(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, most = [], 20

    def digest_of(file: object, told: object = None) -> str:
        read.append(0)
        if len(read) > most:
            raise KeyboardInterrupt
        return original(file, told)  # type: ignore[arg-type]

    original = disk.digest_of
    monkeypatch.setattr(disk, "digest_of", digest_of)
    with pytest.raises(KeyboardInterrupt):
        verify_output(output, again=False)
    most = 10**6
    assert verify_output(output, again=False).known == 20


def test_ctrl_c_ends_the_reading_of_a_large_file(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 33)
    one = Expected(tmp_path / "large", ((1 << 33, "0" * 64),), "large", "bytes", "")

    def interrupt(done: int, total: int) -> None:
        assert total == 1 << 33
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        read_again([one], None, interrupt)
    assert time.monotonic() - start < 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("aetx-read")]


def test_no_link_and_no_pipe_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    made = [Expected(tmp_path / name, ((6, "x"),), name, "f", "") for name in ("link", "pipe", "folder", "none")]
    assert [problem.found.split(" ")[0] for problem in read_again(made).problems] == ["no", "no", "no", "nothing"]


def test_an_output_that_cannot_be_written_to_is_checked_all_the_same(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, flags: int, *rest: object) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return original(path, flags, *rest)  # type: ignore[arg-type]

    original = os.open
    monkeypatch.setattr("os.open", refuse)
    assert verify_output(output, again=False) == []
    assert verify_output(output, again=False).known == 0


def test_what_is_gone_is_forgotten(output: Path) -> None:
    verify_output(output, again=False)
    before = len((output / ".aetx-verified").read_text().split())
    run_plan(tiny.plan(tiny.chain(factor=3.0)), output=output, reporter=None, quiet=True)
    verify_output(output, again=False)
    assert len((output / ".aetx-verified").read_text().split()) == before


def test_a_torn_memory_is_no_harm(output: Path) -> None:
    verify_output(output, again=False)
    lines = (output / ".aetx-verified").read_text().split()
    (output / ".aetx-verified").write_bytes("\n".join(lines[:5]).encode() + b"\n" + lines[5][:9].encode() + b"\xff\x00")
    assert verify_output(output, again=False).known == 5
    flip(chunk(output))
    assert len(verify_output(output, again=False)) == 1


def test_files_are_hashed_side_by_side(tmp_path: Path) -> None:
    names = set()

    def remember(one: Expected, state: os.stat_result) -> bool:
        names.add(threading.current_thread().name)
        time.sleep(0.02)
        return True

    made = []
    for i in range(12):
        path = tmp_path / str(i)
        path.write_bytes(np.random.default_rng(i).bytes(100))
        made.append(Expected(path, ((100, disk.sha256(path)),), str(i), "f", ""))
    known = Known(None)
    known.holds = remember  # type: ignore[method-assign]
    assert read_again(made, known).known == 12
    assert len(names) >= 2


def test_what_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record of a run"):
        verify_output(tmp_path)
