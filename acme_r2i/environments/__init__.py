"""Every environment by one name: ``make_environment("suite:task", seed=...)``.

Importing this package imports no simulator; a suite's simulator is imported when one of its tasks
is made.
"""

from acme_r2i.environments.checked import Checked
from acme_r2i.environments.environment_spec import EnvironmentSpec
from acme_r2i.environments.factory import (
    SUITES,
    episode_limit,
    list_tasks,
    make_environment,
    recorded_files,
    recording_options,
    restart_options,
    reward_magnitude,
    suite_info,
    suite_options,
    takes_any_option,
    task_reference,
    validate_name,
)
from acme_r2i.environments.failures import (
    ContractError,
    EnvironmentFailedError,
    Reported,
    UserCodeError,
)
from acme_r2i.environments.naming import SimulatorMissingError
from acme_r2i.environments.references import TaskReference
from acme_r2i.environments.suite import SuiteInfo
from acme_r2i.environments.watchdog import EnvironmentHungError, Watchdog
from acme_r2i.environments.workers import (
    WORKERS,
    EnvironmentPool,
    Restart,
    restart_seed,
)

__all__ = [
    "SUITES",
    "WORKERS",
    "Checked",
    "ContractError",
    "EnvironmentFailedError",
    "EnvironmentHungError",
    "EnvironmentPool",
    "EnvironmentSpec",
    "Reported",
    "Restart",
    "SimulatorMissingError",
    "SuiteInfo",
    "TaskReference",
    "UserCodeError",
    "Watchdog",
    "episode_limit",
    "list_tasks",
    "make_environment",
    "recorded_files",
    "recording_options",
    "restart_options",
    "restart_seed",
    "reward_magnitude",
    "suite_info",
    "suite_options",
    "takes_any_option",
    "task_reference",
    "validate_name",
]
