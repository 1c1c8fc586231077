"""Run the tiny chain in a process of its own: ``python -m tests.run.drive OUTPUT [SECONDS] [--sleep] [--local]``."""

from __future__ import annotations

import sys
from pathlib import Path

from aetx.run import Stopped, limit_threads

limit_threads()

if __name__ == "__main__":
    from aetx import console
    from aetx.run import run_plan
    from tests.run import tiny

    wait = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    job = tiny.chain(**({"wait": wait} if "--sleep" not in sys.argv else {}))
    if "--sleep" in sys.argv:
        job = tiny.job(tiny.step("made", tiny.make), tiny.step("deep", tiny.sleep, volume="made"))
    scheduler = "local" if "--local" in sys.argv else None
    try:
        run_plan(tiny.plan(job), output=Path(sys.argv[1]), reporter=None, quiet=True, scheduler=scheduler)
    except Stopped as error:
        console.leave(error.code)
    console.leave(0)
