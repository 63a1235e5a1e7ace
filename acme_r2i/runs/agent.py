"""The agent of a run: checked first (``Blueprint``), then started (``Agent``, ``RandomAgent``).

Importing this module imports JAX. Acme, Reverb and TensorFlow take several seconds to import, so
they are imported when an agent that learns is started, after all checks.
"""

from __future__ import annotations

import gc
import math
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dm_env
import jax
import numpy as np

from acme_r2i.agents.common.agent_kind import AgentConfig, AgentKind, tree_bytes
from acme_r2i.agents.common.array_spec import PlainEnvironmentSpec
from acme_r2i.agents.common.policy import Policy
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.runs import UsageError
from acme_r2i.runs.files import load_arrays, save_arrays
from acme_r2i.runs.loop import UpdateSchedule
from acme_r2i.runs.policies import load_parameters, make_policy, save_parameters
from acme_r2i.runs.train_config import check_env_steps


class Blueprint(NamedTuple):
    """Parts of an agent, which have been checked.

    Attributes:
      kind: the agent's kind.
      config: the agent's settings.
      spec: specs of the environment.
      networks: the agent's networks, pure functions.
      schedule: number of updates due.
    """

    kind: AgentKind
    config: AgentConfig
    spec: EnvironmentSpec
    networks: Any
    schedule: UpdateSchedule

    def parameter_counts(self) -> dict[str, int]:
        """Returns the numbers of parameters by group."""
        params = jax.eval_shape(self.networks.init, jax.random.key(0))
        return {
            name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(group))
            for name, group in self.kind.parameter_groups(params).items()
        }

    def policy_bytes(self) -> int:
        """Returns the bytes of the parameters that an actor fetches."""
        params = jax.eval_shape(self.networks.init, jax.random.key(0))
        return tree_bytes(self.kind.acting_params(params))

    def replay_bytes(self, env_steps: int) -> int:
        """Returns the bytes of replay after so many steps, before compression."""
        rows = min(self.config.replay.capacity_env_steps, env_steps)
        return rows * self.kind.replay_row_bytes(self.spec, self.networks)


def make_blueprint(
    kind: AgentKind, config: AgentConfig, spec: EnvironmentSpec, env_steps: int
) -> Blueprint:
    """Makes the parts of an agent.

    Raises:
      UsageError: if the agent does not suit the environment, the devices or the length of the run.
    """
    try:
        kind.check_devices(config)
        networks = kind.make_networks(config, spec)
    except ValueError as error:
        raise UsageError(str(error)) from None
    check_env_steps(kind, config, env_steps)
    schedule = UpdateSchedule.make(
        first_env_steps=kind.first_env_steps(config),
        train_ratio=config.train_ratio,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        num_environments=config.num_environments,
    )
    return Blueprint(kind, config, spec, networks, schedule)


def describe_device() -> str:
    """Returns the learner's device, e.g. "cpu", "gpu (NVIDIA A100)" or "2 x gpu (NVIDIA A100)"."""
    device, number = jax.local_devices()[0], jax.local_device_count()
    kind = device.device_kind
    name = device.platform if kind == device.platform else f"{device.platform} ({kind})"
    return name if number == 1 else f"{number} x {name}"


LEARNER = "learner.npz"
REPLAY = "replay"


class Agent:
    """An agent with a replay server in this process. Use it as a context, which stops the server.

    Attributes:
      learner: an ``acme.Learner`` that also has ``take_metrics`` and ``take_skipped``.
      actor: a ``loop.BatchedActor`` that writes into replay.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        seed: int,
        *,
        restart_count: int = 0,
        replay_scratch: pathlib.Path | None = None,
        restore: pathlib.Path | None = None,
        replay_sizes: Mapping[str, int] | None = None,
    ):
        """Starts the server, and makes or restores the parameters.

        Args:
          blueprint: parts of the agent.
          seed: seed of parameters, updates and actions.
          restart_count: number of processes that had the run before; each acts with other random
            numbers.
          replay_scratch: empty folder for the server's checkpoints; None for no checkpoints.
          restore: folder that ``save`` has written.
          replay_sizes: sizes that ``save`` has returned.

        Raises:
          UsageError: if the saved files do not fit, or replay is smaller than it was.
        """
        builder, networks = blueprint.kind.make_builder(blueprint.config, blueprint.networks)
        learner_key, actor_key = jax.random.split(jax.random.PRNGKey(np.uint32(seed)))
        if restart_count:
            actor_key = jax.random.fold_in(actor_key, restart_count)
        try:
            self._server = reverb_server.start_server(
                builder.make_replay_tables(blueprint.spec),
                checkpoints=replay_scratch,
                restore=restore and restore / REPLAY,
            )
        except RuntimeError as error:
            raise UsageError(f"the replay server cannot be started: {error}") from None
        try:
            self._client = self._server.localhost_client()
            check_sizes(reverb_server.item_counts(self._client), replay_sizes or {}, restore)
            self.learner = builder.make_learner(
                learner_key, networks, builder.make_dataset_iterator(self._client), self._client
            )
            if restore is not None:
                restore_learner(self.learner, restore)
            self.actor = builder.make_batched_actor(
                actor_key,
                builder.make_policy(networks),
                self.learner,
                adders=[
                    builder.make_adder(self._client)
                    for _ in range(blueprint.config.num_environments)
                ],
            )
        except BaseException:
            self._stop_server()
            raise

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        # Readers and writers are closed before the server, or they would print errors.
        if hasattr(self.learner, "close"):
            self.learner.close()
        del self.actor, self.learner
        gc.collect()
        self._stop_server()

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since the last call; {} if there was none."""
        return self.learner.take_metrics()

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes the learner's state and replay.

        Returns:
          Least number of items in each replay table.

        Raises:
          OSError: if they cannot be written.
        """
        save_learner(self.learner, folder)
        return reverb_server.save_tables(self._client, folder / REPLAY)

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes parameters.npz; OSError if it cannot be written."""
        save_parameters(folder, self.learner.save().params)

    @property
    def replay_sequences(self) -> int:
        """Number of sequences in replay."""
        return sum(reverb_server.item_counts(self._client).values())

    def _stop_server(self) -> None:
        with reverb_tables.silenced_stderr():  # a server announces that it stops
            self._server.stop()


def start_agent(blueprint: Blueprint, seed: int, **saved: Any) -> Agent | RandomAgent:
    """Starts an agent.

    Args:
      blueprint: parts of the agent.
      seed: seed of parameters, updates and actions.
      **saved: other arguments of :class:`Agent`; the random agent uses ``restart_count`` only.
    """
    if blueprint.schedule.updates_per_env_step:
        return Agent(blueprint, seed, **saved)
    return RandomAgent(blueprint, seed, restart_count=saved.get("restart_count", 0))


def save_learner(learner: Any, folder: pathlib.Path) -> None:
    """Writes a learner's state: parameters.npz, and the rest of it in learner.npz.

    Raises:
      OSError: if it cannot be written.
    """
    state = learner.save()
    save_parameters(folder, state.params)
    save_arrays(folder / LEARNER, state._replace(params=None))


def restore_learner(learner: Any, folder: pathlib.Path) -> None:
    """Restores the state that ``save_learner`` has written.

    Raises:
      UsageError: if the files belong to a learner with other settings.
    """
    own = learner.save()
    params = load_parameters(folder, own.params)
    rest = load_arrays(folder / LEARNER, own._replace(params=None))
    learner.restore(rest._replace(params=params))


def check_sizes(
    found: Mapping[str, int], saved: Mapping[str, int], folder: pathlib.Path | None
) -> None:
    """Raises UsageError if a restored replay table is smaller than the saved one."""
    for table, size in saved.items():
        if found.get(table, 0) < size:
            raise UsageError(
                f"replay table {table!r} came back from {folder} with {found.get(table, 0)} "
                f"sequences, and had {size} when it was saved"
            )


class NoLearner:
    """A learner that makes no updates and has no parameters."""

    def take_skipped(self, wait: bool = False) -> Sequence[Any]:
        """Returns no updates."""
        return ()

    def save(self) -> types.SimpleNamespace:
        """Returns a state without parameters."""
        return types.SimpleNamespace(params={})


class PolicyActor:
    """A ``loop.BatchedActor`` that acts by a policy, and writes nothing to replay."""

    def __init__(self, policy: Policy):
        """Acts for as many environments as the policy was made for."""
        self._policy = policy
        self._timesteps: list[dm_env.TimeStep | None] = [None] * policy.num_environments

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        self._timesteps[index] = timestep

    def select_actions(self) -> np.ndarray:
        return self._policy.step(
            jax.tree.map(lambda *x: np.stack(x), *(each.observation for each in self._timesteps)),
            np.array([timestep.first() for timestep in self._timesteps]),
            np.array([timestep.reward or 0.0 for timestep in self._timesteps], np.float32),
        )

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        self._timesteps[index] = next_timestep

    def drop_episode(self, index: int) -> None:
        pass

    def update(self, wait: bool = False) -> None:
        pass


class RandomAgent:
    """An agent that learns nothing and has no replay; its methods are those of :class:`Agent`."""

    replay_sequences = 0

    def __init__(self, blueprint: Blueprint, seed: int, *, restart_count: int = 0):
        """Makes its policy.

        Args:
          blueprint: parts of the agent.
          seed: seed of the actions.
          restart_count: number of processes that had the run before; each draws other actions.
        """
        # The spawn key makes the actions' seed differ from those of the environments.
        sequence = np.random.SeedSequence([seed, restart_count], spawn_key=(2,))
        policy = make_policy(
            blueprint.kind,
            blueprint.config,
            PlainEnvironmentSpec.of(blueprint.spec),
            lambda shapes: {},
            greedy=False,
            seed=int(sequence.generate_state(1, np.uint32)[0]),
            num_environments=blueprint.config.num_environments,
        )
        self.learner = NoLearner()
        self.actor = PolicyActor(policy)

    def __enter__(self) -> RandomAgent:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def take_metrics(self) -> dict[str, float]:
        return {}

    def save_parameters(self, folder: pathlib.Path) -> None:
        save_parameters(folder, {})

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        self.save_parameters(folder)
        return {}
