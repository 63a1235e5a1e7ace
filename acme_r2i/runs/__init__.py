"""One run in one process: settings, folder, loop, checkpoints, logs, evaluation."""


class UsageError(ValueError):
    """Invalid arguments. Raised before the run starts."""


class RunFailedError(RuntimeError):
    """A run failed after it had started."""


def reason(error: Exception) -> str:
    """Returns the text of an error; of an OSError without its number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
