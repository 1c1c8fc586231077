"""The doctor names what would end or slow a run, how grave it is, and what mends it."""

import json
import os
import resource
import socket
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from aetx.cli import execute
from aetx.run import disk_speed, doctor
from aetx.run.doctor import Diagnosis, diagnose
from aetx.run.finding import Finding
from aetx.store import Lock


def one(findings: object, what: str) -> Finding:
    (found,) = [each for each in findings if each.what == what]  # type: ignore[attr-defined]
    return found


def test_this_machine_is_fit_and_the_folder_is_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["doctor", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["doctor"]
    assert told["fit"]
    found = {each["what"]: each for each in told["findings"]}
    assert found["locks"]["found"] == "one writer at a time"
    assert found["library numpy"]["state"] == "ok"
    assert "writes" in found["disk speed"]["found"]
    assert all(set(each) == {"what", "found", "wanted", "state", "fix"} for each in told["findings"])
    assert all(bool(each["fix"]) == (each["state"] != "ok") for each in told["findings"])
    assert list(tmp_path.iterdir()) == []


def test_what_is_bad_has_exit_code_4_and_says_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aetx.store.disk.free_bytes", lambda path: 10**6)
    assert execute(["doctor", str(tmp_path)]) == 4
    lines = capsys.readouterr().out.splitlines()
    (place,) = [i for i, line in enumerate(lines) if line.startswith("bad ")]
    assert "wanted 1.0 GB free; free some space" in lines[place + 1]
    assert lines[-1].startswith("a run cannot work here")
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 120


def test_libraries_below_their_floor_or_missing_are_bad() -> None:
    assert doctor.library(Requirement("numpy>=2.1")).state == "ok"
    old = doctor.library(Requirement("numpy>=1000"))
    assert (old.state, old.wanted, old.fix) == ("bad", ">=1000", "pip install 'numpy>=1000'")
    assert doctor.library(Requirement("no-such-library>=1")).found == "not installed"


def test_libraries_are_one_line_unless_one_is_bad() -> None:
    told = Diagnosis(
        (Finding("library a", "1", ">=1", "ok", ""), Finding("library b", "1", ">=2", "bad", "install it"))
    )
    assert told.code == 4
    assert [line.split()[:3] for line in told.lines()] == [
        ["ok", "libraries", "1"],
        ["bad", "library", "b"],
        ["wanted", ">=2;", "install"],
        ["a", "run", "cannot"],
    ]


def test_variables_that_give_libraries_threads_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "8")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    found = one(doctor.processors(), "threads")
    assert (found.state, found.found) == ("warn", "MKL_NUM_THREADS=8, OMP_WAIT_POLICY=ACTIVE")


@pytest.mark.parametrize(
    ("files", "cpu", "memory"),
    [
        ({"cpu.max": "150000 100000", "memory.max": "1000000000"}, 1.5, 10**9),
        ({"cpu.max": "max 100000", "memory.max": "max"}, 0.0, 0),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5, 0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 0.0, 0),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, 0.0, 0),
        ({"memory/memory.limit_in_bytes": "2000000000"}, 0.0, 2 * 10**9),
        ({}, 0.0, 0),
    ],
)
def test_limits_of_the_control_group_are_read(tmp_path: Path, files: dict[str, str], cpu: float, memory: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert (doctor.cpu_quota(tmp_path), doctor.memory_limit(tmp_path)) == (cpu, memory)


def test_a_granted_memory_that_is_too_small_is_bad(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000000")
    (found,) = doctor.memory(tmp_path)
    assert (found.state, "1.0 GB granted" in found.found) == ("bad", True)


@pytest.mark.parametrize(
    ("kind", "what"), [("nfs4", "of another machine"), ("lustre", "of another"), ("tmpfs", "memory")]
)
def test_a_disk_that_is_none_is_named(tmp_path: Path, kind: str, what: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    found = one(disk_speed.examine_disk(tmp_path / "not" / "yet", mounts), "file system")
    assert (found.state, what in found.found) == ("warn", True)
    mounts.write_text(f"disk / ext4 rw 0 0\ndisk {tmp_path}x nfs rw 0 0\n")
    assert disk_speed.file_system(tmp_path, mounts) == "ext4"


def test_a_folder_that_cannot_be_written_to_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    assert one(disk_speed.examine_disk(tmp_path), "writing").state == "bad"


def test_a_file_system_without_locks_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lock, "__enter__", lambda self: self)
    monkeypatch.setattr(Lock, "__exit__", lambda *_: None)
    assert disk_speed._locks(tmp_path).state == "bad"


def test_a_slow_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "BYTES", 4 * 2**20)
    monkeypatch.setattr(disk_speed, "SLOW", 1e15)
    assert one(disk_speed.examine_disk(tmp_path), "disk speed").state == "warn"


def test_a_cache_of_code_that_others_can_write_to_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for mode, state in ((0o700, "ok"), (0o755, "ok"), (0o777, "bad"), (0o775, "bad"), (0o1777, "ok")):
        tmp_path.chmod(mode)
        assert next(doctor.numba_cache()).state == state, oct(mode)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert next(doctor.numba_cache()).state == "warn"


def test_a_machine_without_loopback_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    assert next(doctor.loopback()).state == "ok"
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert (next(doctor.loopback()).state, next(doctor.loopback()).found) == ("warn", "Network is unreachable")


def test_text_that_is_not_utf_8_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    assert one(doctor.text_and_time(), "encoding").fix == "export LC_ALL=C.UTF-8"


def test_few_open_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, state in ((65536, "ok"), (1000, "warn"), (64, "bad")):
        monkeypatch.setattr(resource, "getrlimit", lambda which, number=number: (number, number))
        assert next(doctor.limits()).state == state
    assert [each.what for each in doctor.limits()] == ["open files", "file size", "address space"]


def test_slurm_is_spoken_of_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert list(doctor.slurm()) == []
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/sbatch")
    monkeypatch.setattr(doctor, "_version", lambda name: "")
    assert next(doctor.slurm()).fix.startswith("pip install 'aetx[cluster]'")


def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    assert next(doctor.graphics()).state == "warn"


def test_the_whole_examination_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "BYTES", 4 * 2**20)
    assert len(diagnose(tmp_path).findings) > 20
