"""Errors that a person can act on: each message names the thing, what came, what was wanted and the mend."""


class UserError(ValueError):
    """A mistake in what was asked or given. The command line prints it as one line and exits with status 2."""


class LayoutError(UserError):
    """A family whose features are not unordered as its layout says; the message shows how to declare it."""


class RunError(UserError):
    """A run on disk that can't be read or written."""
