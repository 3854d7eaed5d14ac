"""`python -m cathode`; a step of a workflow that runs on this machine is handed to its server."""

import sys

from cathode.asking import ask

if __name__ == "__main__":
    code = ask(sys.argv[1:])
    if code is None:
        from cathode.cli import main

        code = main()
    sys.exit(code)
