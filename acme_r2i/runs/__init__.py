"""One run in one process: settings, folder, loop, checkpoints, logs, evaluation."""


class UsageError(ValueError):
    """Invalid arguments. Raised before the run starts."""


class RunFailedError(RuntimeError):
    """A run failed after it had started."""
