"""Everything that cathode raises on purpose. The command line turns these into one line and exit code 2."""


class CathodeError(Exception):
    """Base class: the message says what was found, what was expected, and where."""


class ConfigError(CathodeError):
    """A configuration key is unknown, has the wrong type, or contradicts another."""


class DataError(CathodeError):
    """A data file, column or row is not usable."""


class ArtefactError(CathodeError):
    """An intermediate file is of the wrong kind, another version, or damaged."""


class FitError(CathodeError):
    """A fit or a training did not reach a usable result."""
