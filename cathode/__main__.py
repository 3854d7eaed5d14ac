"""`python -m cathode`."""

import sys

from cathode.cli import main

if __name__ == "__main__":
    sys.exit(main())
