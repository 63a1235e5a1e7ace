"""Any gymnasium environment by its id: ``gym:CartPole-v1``.

An id may have a namespace, ``gym:ALE/Pong-v5``, and a module that registers it on import,
``gym:my_package.my_envs:Mine-v0``; the current directory is searched first. Options are passed to
``gymnasium.make``, e.g. ``max_episode_steps``.

``tasks`` lists the ids that gymnasium itself registers. ``from_gymnasium`` documents the supported
spaces. Images keep their size, and R2I's encoder does not support most of these sizes (210 x 160,
96 x 96); the suite ``atari`` resizes the same games.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import dm_env

from acme_r2i.environments.failures import (
    UserCodeError,
    check_flags,
    import_module,
    reported,
)
from acme_r2i.environments.suite import SimulatorMissingError, SuiteInfo, importing, unknown_task

if TYPE_CHECKING:
    import gymnasium

INFO = SuiteInfo(
    summary="any environment registered with gymnasium",
    packages=("gymnasium==1.4.0",),
    licence="MIT (gymnasium); environments of other packages have their own",
    citation="Towers et al., Gymnasium: A Standard Interface for Reinforcement Learning "
    "Environments, arXiv 2407.17032, 2024",
    homepage="https://gymnasium.farama.org",
)

# Ids that gymnasium registers on import. Tests compare them with its registry.
IDS: tuple[str, ...] = tuple(
    """
    CartPole-v0 CartPole-v1 MountainCar-v0 MountainCarContinuous-v0 Pendulum-v1 Acrobot-v1
    phys2d/CartPole-v0 phys2d/CartPole-v1 phys2d/Pendulum-v0 LunarLander-v3
    LunarLanderContinuous-v3 BipedalWalker-v3 BipedalWalkerHardcore-v3 CarRacing-v3 Blackjack-v1
    FrozenLake-v1 FrozenLake8x8-v1 CliffWalking-v1 CliffWalkingSlippery-v1 Taxi-v4
    tabular/Blackjack-v0 tabular/CliffWalking-v0 Reacher-v2 Reacher-v4 Reacher-v5 Pusher-v2
    Pusher-v4 Pusher-v5 InvertedPendulum-v2 InvertedPendulum-v4 InvertedPendulum-v5
    InvertedDoublePendulum-v2 InvertedDoublePendulum-v4 InvertedDoublePendulum-v5 HalfCheetah-v2
    HalfCheetah-v3 HalfCheetah-v4 HalfCheetah-v5 Hopper-v2 Hopper-v3 Hopper-v4 Hopper-v5
    Swimmer-v2 Swimmer-v3 Swimmer-v4 Swimmer-v5 Walker2d-v2 Walker2d-v3 Walker2d-v4 Walker2d-v5
    Ant-v2 Ant-v3 Ant-v4 Ant-v5 Humanoid-v2 Humanoid-v3 Humanoid-v4 Humanoid-v5 HumanoidStandup-v2
    HumanoidStandup-v4 HumanoidStandup-v5 GymV21Environment-v0 GymV26Environment-v0
    """.split()
)

_ID = re.compile(r"(?:(?P<module>[\w.]+):)?(?P<id>(?:[\w-]+/)?[\w.-]+)")


def tasks() -> list[str]:
    return list(IDS)


def resolve(task: str) -> str:
    if not _ID.fullmatch(task):
        raise ValueError(
            f"unknown task gym:{task}; an id is Name-v0, namespace/Name-v0 or module:Name-v0"
        )
    return task


def make(task: str, /, *, seed: int, **options: Any) -> dm_env.Environment:
    with importing("gym", INFO.packages[0]):
        from acme_r2i.environments import from_gymnasium
    return from_gymnasium.FromGymnasium(_make(task, options), seed=seed, name=f"gym:{task}")


def _make(task: str, options: dict[str, Any]) -> gymnasium.Env:
    import gymnasium

    match = _ID.fullmatch(task)
    if match["module"]:
        import_module(match["module"])
    if match["id"].startswith("ALE/"):
        _import_ale()
    if "id" in options:
        raise ValueError(f"gym:{task} cannot be given the option 'id', which gymnasium.make has")
    _check_flags(task, gymnasium.registry.get(match["id"]), options)
    try:
        with reported(f"making gym:{task}"):
            # gymnasium's checker warns, asserts and costs time at every step.
            return gymnasium.make(match["id"], **{"disable_env_checker": True, **options})
    except UserCodeError as error:
        cause = error.__cause__
        if isinstance(cause, gymnasium.error.NamespaceNotFound):
            raise ValueError(f"unknown task gym:{task}; {cause}") from cause
        if isinstance(cause, (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv)):
            raise unknown_task("gym", task, gymnasium.registry) from cause
        if isinstance(cause, (gymnasium.error.DependencyNotInstalled, ImportError)):
            message = " ".join(str(cause).split())
            raise SimulatorMissingError(f"gym:{task} cannot be made: {message}") from cause
        raise


def _check_flags(
    task: str, spec: gymnasium.envs.registration.EnvSpec | None, options: dict[str, Any]
) -> None:
    """Checks boolean options, given the defaults that the id is registered with."""
    from gymnasium.envs.registration import load_env_creator

    if spec is None:
        return
    try:
        entry = spec.entry_point
        signature = inspect.signature(entry if callable(entry) else load_env_creator(entry))
    except Exception:  # gymnasium.make reports the error
        return
    defaults = {name: spec.kwargs.get(name, each) for name, each in signature.parameters.items()}
    flags = {name for name, default in defaults.items() if isinstance(default, bool)}
    check_flags(f"gym:{task}", signature, options, flags)


def _import_ale() -> None:
    """Registers the ids of Atari games."""
    try:
        import ale_py
    except ImportError as error:
        raise SimulatorMissingError(
            f"ids of ALE cannot be imported (pip install ale-py==0.12.1): {error}"
        ) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # suppress the banner
