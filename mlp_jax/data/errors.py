"""The one error of this room."""


class DataError(ValueError):
    """Data that can't be had or can't be used; the message says what was given, what is allowed, what to do."""
