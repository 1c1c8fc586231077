"""Run the tiny chain in a process of its own: ``python -m tests.run.drive OUTPUT [SECONDS] [--sleep] [--local [S]]``.

With ``--local`` worker processes do the work, and the run ends after S seconds without any.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from aetx.run import limit_threads

limit_threads()

if __name__ == "__main__":
    from aetx import console
    from aetx.recipe.plan import Settings
    from aetx.run import run_plan
    from tests.run import tiny

    wait = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    job = tiny.chain(**({"wait": wait} if "--sleep" not in sys.argv else {}))
    if "--sleep" in sys.argv:
        job = tiny.job(tiny.step("made", tiny.make), tiny.step("deep", tiny.sleep, volume="made"))
    place = sys.argv.index("--local") if "--local" in sys.argv else 0
    patience = float(sys.argv[place + 1]) if 0 < place < len(sys.argv) - 1 else 0.0
    settings = Settings(scheduler="local" if place else "threads", worker_timeout=patience)
    plan = replace(tiny.plan(job), settings=settings)
    try:
        run_plan(plan, output=Path(sys.argv[1]), reporter=None, quiet=True)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - told as the command line tells it
        console.leave(console.end(error, as_json=False))
    console.leave(0)
