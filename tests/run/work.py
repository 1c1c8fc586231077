"""What workers of a cluster are given to do in the tests: little, slowly, or what ends them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np


def slow(block: np.ndarray) -> np.ndarray:
    time.sleep(0.4)
    return block


def crash(block: np.ndarray, block_info: Any = None) -> np.ndarray:
    if block_info[0]["chunk-location"] == (3,):
        os.kill(os.getpid(), signal.SIGSEGV)
    return block


def swallow(block: np.ndarray, block_info: Any = None) -> np.ndarray:
    if block_info[0]["chunk-location"] == (2,):
        held = [np.ones(2**24) for _ in range(16)]
        time.sleep(20)
        del held
    return block


def ready(dask_worker: Any) -> None:
    """Do nothing, but import this module, which can take a worker seconds without a sign of life."""


def pause(dask_worker: Any) -> None:
    from distributed.core import Status

    dask_worker.status = Status.paused
