"""One of two runs that race: ``python -m tests.faults.racer OUTPUT``; it takes its time over a step."""

import sys

from aetx.run import limit_threads

limit_threads()

if __name__ == "__main__":
    from aetx import console
    from tests.faults.crashes import run

    try:
        sys.exit(run(sys.argv[1], wait=3.0))
    except Exception as error:  # noqa: BLE001 - told as the command line tells it
        sys.exit(console.end(error, as_json=False))
