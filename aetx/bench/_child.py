"""One particle in a process of its own: ``python -m aetx.bench._child``, the task as JSON on standard input."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from aetx.errors import AetxError
from aetx.run import limit_threads

INTERRUPTED = 130


def main() -> int:
    """Do the task and write what it gave, or what went wrong, as JSON; return an exit code as the command line's."""
    limit_threads()  # before anything imports numpy
    from aetx.bench._benchmark import Task, find
    from aetx.store import write_atomically

    given = json.load(sys.stdin)
    benchmark = find(given["benchmark"])
    (case,) = benchmark.chosen([given["case"]])
    task = Task(case, int(given["draw"]), Path(given["folder"]), given["device"], given["sets"])
    code = 0
    try:
        told = {"key": benchmark.work.key(task), "measured": asdict(benchmark.work.measure(task))}
    except AetxError as error:
        code = error.code
        told = {"failed": {"code": code, "problems": [problem.as_dict() for problem in error.problems]}}
    except KeyboardInterrupt:
        return INTERRUPTED
    write_atomically(Path(given["file"]), json.dumps(told, indent=1).encode(), Path(given["scratch"]))
    return code


if __name__ == "__main__":
    sys.exit(main())
