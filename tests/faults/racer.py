"""One of two runs that race: ``python -m tests.faults.racer OUTPUT [RECIPE]``; it takes its time over a step.

It ends by saying from when to when it worked.
"""

import sys
import time

from aetx.run import limit_threads

limit_threads()

if __name__ == "__main__":
    from aetx import console
    from aetx.run import run_plan  # noqa: F401 - loaded before the clock starts
    from tests.faults.crashes import run
    from tests.run import tiny  # noqa: F401

    recipe, began = int(sys.argv[2]) if len(sys.argv) > 2 else 0, time.monotonic()
    try:
        code = run(sys.argv[1], wait=3.0, seed=recipe)
    except Exception as error:  # noqa: BLE001 - told as the command line tells it
        code = console.end(error, as_json=False)
    print(f"worked {began} {time.monotonic()}")
    sys.exit(code)
