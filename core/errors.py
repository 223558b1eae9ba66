"""Errors that a person can act on: each message names the thing, what came, what was needed and the mend."""


class UserError(ValueError):
    """A mistake in a setting, an argument or the data. The command line prints one line and exits with status 2."""


class LayoutError(UserError):
    """A family whose features are not unordered in its layout's sense; the message shows how to declare them."""


class RunError(UserError):
    """A run on disk that can't be read or written."""
