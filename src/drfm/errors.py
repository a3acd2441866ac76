"""The one exception that a user is meant to read."""


class DrfmError(ValueError):
    """Bad input: one line that names the file or option, its value, and the mend.

    The command line prints the message alone and exits with code 2; a library
    user catches it as a :class:`ValueError`.
    """
