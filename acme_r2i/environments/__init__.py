"""Every environment by one name: ``make_environment("suite:task", seed=...)``.

Importing this package imports no simulator; a suite's simulator is imported when one of its tasks
is made.
"""

from acme_r2i.environments.factory import (
    SUITES,
    list_tasks,
    make_environment,
    reward_magnitude,
    task_reference,
    validate_name,
)
from acme_r2i.environments.naming import SimulatorMissingError
from acme_r2i.environments.reference import TaskReference

__all__ = [
    "SUITES",
    "SimulatorMissingError",
    "TaskReference",
    "list_tasks",
    "make_environment",
    "reward_magnitude",
    "task_reference",
    "validate_name",
]
