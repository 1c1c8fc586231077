"""A batch system of one machine: ``sbatch`` starts a job at once, ``scancel`` ends it, ``squeue`` lists them."""

from __future__ import annotations

import sys
from pathlib import Path

SBATCH = """#!/bin/bash
echo "$(($(ls {log}/*.sh 2>/dev/null | wc -l) + 1))" > {log}/last
id=$(cat {log}/last)
cp "$1" {log}/$id.sh
if [ "{starts}" = 1 ]; then setsid bash {log}/$id.sh > {log}/$id.out 2>&1 & echo $! > {log}/$id.pid; fi
echo "Submitted batch job $id"
"""
SCANCEL = """#!/bin/bash
for id in "$@"; do echo $id >> {log}/cancelled; [ -f {log}/$id.pid ] && kill -- -$(cat {log}/$id.pid) 2>/dev/null; done
exit 0
"""
SQUEUE = "#!/bin/bash\nls {log}\n"


def install(folder: Path, starts: bool = True) -> Path:
    """Write the three programs into a folder, for ``PATH``; return the folder that holds what they did."""
    log = folder / "log"
    log.mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL), ("squeue", SQUEUE)):
        (folder / name).write_text(text.format(log=log, starts=int(starts)))
        (folder / name).chmod(0o755)
    return log


if __name__ == "__main__":
    install(Path(sys.argv[1]))
