"""What goes wrong before a run has begun."""


class UsageError(ValueError):
    """Something about the command cannot be; the message is one line for whoever typed it."""
