"""What goes wrong with a run; the message of each is one line for whoever typed the command."""


class UsageError(ValueError):
    """Something about the command cannot be; no run has begun."""


class RunFailedError(RuntimeError):
    """A run that had begun cannot go on."""
