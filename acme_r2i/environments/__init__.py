"""Every environment by one name: ``make_environment("suite:task", seed=...)``.

Importing this package imports no simulator; a suite's simulator is imported when one of its tasks
is made.
"""

from acme_r2i.environments.factory import (
    SUITES,
    episode_limit,
    list_tasks,
    make_environment,
    reward_magnitude,
    suite_info,
    suite_options,
    task_reference,
    validate_name,
)
from acme_r2i.environments.naming import SimulatorMissingError
from acme_r2i.environments.references import TaskReference
from acme_r2i.environments.suite import SuiteInfo

__all__ = [
    "SUITES",
    "SimulatorMissingError",
    "SuiteInfo",
    "TaskReference",
    "episode_limit",
    "list_tasks",
    "make_environment",
    "reward_magnitude",
    "suite_info",
    "suite_options",
    "task_reference",
    "validate_name",
]
