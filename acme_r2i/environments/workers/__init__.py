"""Many environments at once: inline, in threads or in processes; see ``EnvironmentPool``."""

from acme_r2i.environments.workers.pool import (
    DEFAULT_ANSWER_SECONDS,
    DEFAULT_MAX_RESTARTS,
    WORKERS,
    EnvironmentFailedError,
    EnvironmentPool,
    Restart,
    restart_seed,
)

__all__ = [
    "DEFAULT_ANSWER_SECONDS",
    "DEFAULT_MAX_RESTARTS",
    "WORKERS",
    "EnvironmentFailedError",
    "EnvironmentPool",
    "Restart",
    "restart_seed",
]
