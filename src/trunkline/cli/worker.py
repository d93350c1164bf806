"""One worker of `trunkline up --workers`: started by the supervisor, of no use to anybody else."""

import sys

from trunkline import app


def main(*given: str) -> None:
    """Serve as the worker of a number, on the sockets that it was started with."""
    number, door, line = map(int, given)
    sys.exit(app.work(number, door=door, line=line))


if __name__ == "__main__":
    main(*sys.argv[1:])
