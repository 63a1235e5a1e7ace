"""Environments by name: ``make_environment("suite:task", seed=...)``.

Importing this package imports no simulator. Making a task imports the suite's simulator.
"""

from acme_r2i.environments.checked import Checked, EnvironmentSpec
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
    suite_scores,
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
from acme_r2i.environments.references import PublishedScore, TaskReference
from acme_r2i.environments.suite import SimulatorMissingError, SuiteInfo
from acme_r2i.environments.watchdog import EnvironmentHungError, Watchdog
from acme_r2i.environments.workers import WORKERS, EnvironmentPool, Restart, restart_seed
from acme_r2i.environments.wrappers import sample_action

__all__ = [
    "SUITES",
    "WORKERS",
    "Checked",
    "ContractError",
    "EnvironmentFailedError",
    "EnvironmentHungError",
    "EnvironmentPool",
    "EnvironmentSpec",
    "PublishedScore",
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
    "sample_action",
    "suite_info",
    "suite_options",
    "suite_scores",
    "takes_any_option",
    "task_reference",
    "validate_name",
]
