"""`python -m gatework` is the `gatework` command."""

import sys

from gatework.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
