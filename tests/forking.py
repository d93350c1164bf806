"""What a program does that has imported everything, and forks one that runs for each order.

`tests/nursery.py` gives the orders.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_OUTPUTS = ((1, "stdout"), (2, "stderr"))


def attend() -> None:
    """Follow the orders that come line by line; return in each process that is forked for one.

    An order says how the program is called and where, with its environment and the files that it
    writes to; or which process's end is asked for.
    """
    for line in sys.stdin:
        order = json.loads(line)
        if "ended" in order:
            answer = _ended(order["ended"])
        else:
            answer = os.fork()
            if not answer:
                _become(order)
                return
        print(json.dumps(answer), flush=True)
    sys.exit()


def _become(order: dict[str, Any]) -> None:
    """Be as a process is that was started by itself."""
    os.chdir(order["cwd"])
    streams = ((0, os.devnull, os.O_RDONLY), *((n, order[k], _APPEND) for n, k in _OUTPUTS))
    for number, path, flags in streams:
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.argv = [str(Path(sys.executable).with_name("trunkline")), *order["arguments"]]


def _ended(process_id: int) -> int | None:
    """Return how a process ended; None while it has not."""
    found, status = os.waitpid(process_id, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None
