"""Schedulers refuse what cannot work, listen on loopback only, and tell of dead workers in words."""

import socket
from contextlib import suppress
from types import SimpleNamespace

import dask
import dask.array as da
import psutil
import pytest
from distributed import Client
from distributed.scheduler import KilledWorker

from aetx.errors import EnvironmentFault, RecipeError
from aetx.run.scheduler import computing
from aetx.run.watchdog import in_words


def test_an_unknown_scheduler_is_refused() -> None:
    with pytest.raises(RecipeError, match="'threads', 'local', 'slurm' or 'tcp://host:port'"), computing("pbs", 2, 0):
        pass


def test_workers_that_torch_alone_would_fill_are_refused() -> None:
    with pytest.raises(EnvironmentFault, match="use --scheduler threads"), computing("local", 2, 10**9):
        pass


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_an_error_in_words() -> None:
    with (
        pytest.raises(EnvironmentFault, match=r"no answer from tcp://127.0.0.1:9"),
        computing("tcp://127.0.0.1:9", 2, 0),
    ):
        pass


def test_a_local_cluster_listens_on_loopback_only_and_to_its_own_run_only() -> None:
    pytest.importorskip("cryptography")
    with computing("local", 1, 0) as crew:
        assert int(da.ones(10, chunks=5).sum().compute()) == 10
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = [
            one.laddr.ip for each in processes for one in each.net_connections("inet") if one.status == "LISTEN"
        ]
        assert crew.watch is not None
        address = crew.watch.scheduler_info()["address"]
        assert address.startswith("tls://")
        with pytest.raises((OSError, TypeError)):
            Client(address.replace("tls:", "tcp:"), timeout="2s").close()
    assert listening
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_a_port_that_others_listen_on_is_in_nobodys_way() -> None:
    pytest.importorskip("cryptography")
    with socket.socket() as taken:
        with suppress(OSError):  # others may have it already
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with computing("local", 1, 0):
            assert int(da.ones(4, chunks=2).sum().compute()) == 4


def test_threads_are_as_many_as_asked_for() -> None:
    with computing("threads", 3, 0):
        assert (dask.config.get("scheduler"), dask.config.get("num_workers")) == ("threads", 3)


def test_a_dead_worker_is_told_in_words() -> None:
    worker = SimpleNamespace(address="tcp://127.0.0.1:1", memory_limit=10**9)
    with (
        pytest.raises(
            EnvironmentFault, match=r"steps.clean: cluster: found block \(0, 1\): its worker process died 2 times"
        ),
        in_words("clean", 10**9, None, []),
    ):
        raise KilledWorker(("_put-abc", 0, 1), worker, 1)
