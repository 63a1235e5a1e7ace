"""Several environments at once, inline, in threads or in processes: ``EnvironmentPool``."""

from acme_r2i.environments.workers.pool import WORKERS, EnvironmentPool, Restart, restart_seed

__all__ = ["WORKERS", "EnvironmentPool", "Restart", "restart_seed"]
