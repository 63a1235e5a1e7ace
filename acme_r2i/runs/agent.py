"""The agent of a run: checked first (``Blueprint``), then started (``Agent``, ``RandomAgent``).

This module imports JAX. Acme, Reverb and TensorFlow, which take several seconds, are imported when
an agent that learns is started: whatever can be refused is refused before that.
"""

from __future__ import annotations

import gc
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

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
    """An agent that can be built: all that can be refused has been checked.

    Attributes:
      kind: which agent.
      config: its settings.
      spec: of the environment.
      networks: pure functions.
      schedule: when updates are due.
    """

    kind: AgentKind
    config: AgentConfig
    spec: EnvironmentSpec
    networks: Any
    schedule: UpdateSchedule

    def parameter_counts(self) -> dict[str, int]:
        """Numbers of parameters by what they belong to. Nothing is computed for it."""
        params = jax.eval_shape(self.networks.init, jax.random.key(0))
        return {
            name: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(group))
            for name, group in self.kind.parameter_groups(params).items()
        }

    def policy_bytes(self) -> int:
        """Of the parameters that an actor fetches. Nothing is computed for it."""
        params = jax.eval_shape(self.networks.init, jax.random.key(0))
        return tree_bytes(self.kind.policy_parameters(params))

    def replay_bytes(self, env_steps: int) -> int:
        """What replay may come to hold in a run of so many steps, before Reverb compresses it."""
        rows = min(self.config.replay.capacity_env_steps, env_steps)
        return rows * self.kind.replay_row_bytes(self.spec, self.networks)


def make_blueprint(
    kind: AgentKind, config: AgentConfig, spec: EnvironmentSpec, env_steps: int
) -> Blueprint:
    """Checks whether the agent suits the environment, the devices and the length of the run.

    Raises:
      UsageError: if it does not.
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
    """What learning runs on, e.g. "cpu", "gpu (NVIDIA A100)" or "2 x gpu (NVIDIA A100)"."""
    device, number = jax.local_devices()[0], jax.local_device_count()
    kind = device.device_kind
    name = device.platform if kind == device.platform else f"{device.platform} ({kind})"
    return name if number == 1 else f"{number} x {name}"


LEARNER = "learner.npz"
REPLAY = "replay"


class Agent:
    """A running agent: a replay server in this process, a learner that reads from it, an actor.

    Use it as a context: on leaving, the server is stopped and the threads that read from it end.

    Attributes:
      learner: the agent's, which offers ``take_metrics`` beside Acme's methods.
      actor: acts for all environments, and writes into replay.
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
        """Starts the server, and makes the parameters or reads them.

        Args:
          blueprint: what to build.
          seed: of parameters, updates and actions.
          restart_count: number of processes that had the run before; each acts with other random
            numbers.
          replay_scratch: an empty folder for checkpoints of the server; without it, there can be
            none.
          restore: a folder that ``save`` has written.
          replay_sizes: what ``save`` has returned then.

        Raises:
          UsageError: if what was saved does not fit, or is less than it should be.
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
        # Readers and writers first: what is left of them when the server goes would complain.
        if hasattr(self.learner, "close"):  # one that has threads of its own
            self.learner.close()
        del self.actor, self.learner
        gc.collect()
        self._stop_server()

    def take_metrics(self) -> dict[str, float]:
        """Returns means over the updates since this was last called; {} if there was none."""
        return self.learner.take_metrics()

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes all that was learned and all that is in replay.

        Returns:
          How many items each replay table had at least.

        Raises:
          OSError: if it cannot be written.
        """
        save_learner(self.learner, folder)
        return reverb_server.save_tables(self._client, folder / REPLAY)

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes what was learned; OSError if it cannot be written."""
        save_parameters(folder, self.learner.save().params)

    @property
    def replay_sequences(self) -> int:
        """How many sequences replay holds."""
        return sum(reverb_server.item_counts(self._client).values())

    def _stop_server(self) -> None:
        with reverb_tables.silenced_stderr():  # a server announces that it stops
            self._server.stop()


def start_agent(blueprint: Blueprint, seed: int, **saved: Any) -> Agent | RandomAgent:
    """Starts the agent that a blueprint describes.

    Args:
      blueprint: what to build.
      seed: of parameters, updates and actions.
      **saved: other arguments of :class:`Agent`; the random agent uses ``restart_count`` only.
    """
    if blueprint.schedule.updates_per_env_step:
        return Agent(blueprint, seed, **saved)
    return RandomAgent(blueprint, seed, restart_count=saved.get("restart_count", 0))


def save_learner(learner: Any, folder: pathlib.Path) -> None:
    """Writes a learner's whole state: parameters.npz, and the rest of it in learner.npz.

    Raises:
      OSError: if it cannot be written.
    """
    state = learner.save()
    save_parameters(folder, state.params)
    save_arrays(folder / LEARNER, state._replace(params=None))


def restore_learner(learner: Any, folder: pathlib.Path) -> None:
    """Has a learner go on from what ``save_learner`` has written.

    Raises:
      UsageError: if the files are not of a learner with the same settings.
    """
    own = learner.save()
    params = load_parameters(folder, own.params)
    rest = load_arrays(folder / LEARNER, own._replace(params=None))
    learner.restore(rest._replace(params=params))


def check_sizes(
    found: Mapping[str, int], saved: Mapping[str, int], folder: pathlib.Path | None
) -> None:
    """Raises UsageError if a replay table has come back with less than it was saved with."""
    for table, size in saved.items():
        if found.get(table, 0) < size:
            raise UsageError(
                f"replay table {table!r} came back from {folder} with {found.get(table, 0)} "
                f"sequences, and had {size} when it was saved"
            )


# Tells the seed of the actions from those of the environments.
_SEED_STREAM = 2


class Learned(NamedTuple):
    """What the agent has learned: nothing."""

    params: Any


class NoLearner:
    """A learner without updates."""

    def step(self) -> NoReturn:
        """Never called: no update is ever due."""
        raise AssertionError("the random agent has no updates")

    def take_metrics(self) -> dict[str, float]:
        """None of updates."""
        return {}

    def take_skipped(self, wait: bool = False) -> Sequence[Any]:
        """None."""
        del wait
        return ()

    def save(self) -> Learned:
        """Empty parameters."""
        return Learned({})


class PolicyActor:
    """A ``loop.BatchedActor`` that acts by a policy, and writes nothing anywhere."""

    def __init__(self, policy: Policy):
        """Stores the policy, for as many environments as it was made for."""
        number = policy.num_environments
        self._policy = policy
        self._timesteps: list[dm_env.TimeStep | None] = [None] * number

    def observe_first(self, index: int, timestep: dm_env.TimeStep) -> None:
        """See BatchedActor."""
        self._timesteps[index] = timestep

    def select_actions(self) -> np.ndarray:
        """See BatchedActor."""
        return self._policy.step(
            jax.tree.map(lambda *x: np.stack(x), *(each.observation for each in self._timesteps)),
            np.array([timestep.first() for timestep in self._timesteps]),
            np.array([timestep.reward or 0.0 for timestep in self._timesteps], np.float32),
        )

    def observe(self, index: int, action: Any, next_timestep: dm_env.TimeStep) -> None:
        """See BatchedActor."""
        del action
        self._timesteps[index] = next_timestep

    def drop_episode(self, index: int) -> None:
        """See BatchedActor."""

    def update(self, wait: bool = False) -> None:
        """See BatchedActor."""


class RandomAgent:
    """The agent; see ``runs.agent.Agent``."""

    def __init__(self, blueprint: Blueprint, seed: int, *, restart_count: int = 0):
        """Makes it.

        Args:
          blueprint: what to build.
          seed: of the actions.
          restart_count: number of processes that had the run before; each draws other actions.
        """
        sequence = np.random.SeedSequence([seed, restart_count], spawn_key=(_SEED_STREAM,))
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

    @property
    def replay_sequences(self) -> int:
        """There is no replay."""
        return 0

    def __enter__(self) -> RandomAgent:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def take_metrics(self) -> dict[str, float]:
        """None of updates."""
        return {}

    def save_parameters(self, folder: pathlib.Path) -> None:
        """Writes that there are no parameters."""
        save_parameters(folder, {})

    def save(self, folder: pathlib.Path) -> dict[str, int]:
        """Writes that there are no parameters; there are no replay tables."""
        save_parameters(folder, {})
        return {}
