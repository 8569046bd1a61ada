"""The error that all modules of this room raise."""


class DataError(ValueError):
    """Data that can't be obtained or used; the message says what was given, what is allowed, what to do."""
