"""The `trunkline` command, forked for each order once all that it needs is imported."""

import trunkline.app
import trunkline.cli.up  # noqa: F401 - so that who is forked need not import it.
from tests.forking import attend
from trunkline.cli import main

if __name__ == "__main__":
    attend()
    main()
