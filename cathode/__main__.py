"""`python -m cathode`."""

import sys

from cathode.cli import main

sys.exit(main())
