"""Trains Acme's own R2D2 through Acme's own LocalLayout for a few episodes, and checks that it did.

Run by tests/test_acme_r2d2.py, in a process of its own: python -m tests.programs.acme_r2d2
"""

from __future__ import annotations

import acme_r2i.acme_compat  # noqa: F401  (before acme)

import acme
import dm_env
import haiku as hk
import jax
import numpy as np
from acme import specs, wrappers
from acme.agents.jax import r2d2
from acme.agents.jax.r2d2 import networks as r2d2_networks
from acme.jax.layouts import local_layout
from acme.utils import loggers

EPISODES = 40
EPISODE_STEPS = 6

CONFIG = r2d2.R2D2Config(
    burn_in_length=2,
    trace_length=3,
    sequence_period=2,
    batch_size=4,
    min_replay_size=4,
    max_replay_size=1000,
    # With a rate limit LocalLayout counts observations where R2D2 inserts sequences, and the
    # learner waits for ever. Without one, it learns whenever there is enough to sample.
    samples_per_insert=0.0,
    variable_update_period=1,
    num_parallel_calls=1,
)


class Countdown(dm_env.Environment):
    """Shows how much of the episode is left; pays 1 for action 1."""

    def reset(self) -> dm_env.TimeStep:
        self._left = EPISODE_STEPS
        return dm_env.restart(self._observation())

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        self._left -= 1
        end = dm_env.transition if self._left else dm_env.termination
        return end(np.float32(action), self._observation())

    def _observation(self) -> np.ndarray:
        return np.array([self._left / EPISODE_STEPS], np.float32)

    def observation_spec(self) -> specs.Array:
        return specs.Array((1,), np.float32)

    def action_spec(self) -> specs.DiscreteArray:
        return specs.DiscreteArray(2)


class RecurrentQNetwork(hk.RNNCore):
    """A GRU, whose state is one array.

    An LSTM's named tuple comes back from Reverb's dataset as another container, which the
    learner's scan rejects.
    """

    def __init__(self) -> None:
        super().__init__()
        self._core = hk.GRU(8)
        self._head = hk.Linear(2)

    def __call__(self, inputs, state):
        outputs, state = self._core(inputs, state)
        return self._head(outputs), state

    def initial_state(self, batch_size):
        return self._core.initial_state(batch_size)

    def unroll(self, inputs, state):
        outputs, state = hk.static_unroll(self._core, inputs, state)
        return hk.BatchApply(self._head)(outputs), state


def make_networks(environment_spec: specs.EnvironmentSpec) -> r2d2.R2D2Networks:
    return r2d2_networks.make_networks(
        environment_spec,
        forward_fn=lambda x, state: RecurrentQNetwork()(x, state),
        initial_state_fn=lambda batch_size=None: RecurrentQNetwork().initial_state(batch_size),
        unroll_fn=lambda x, state: RecurrentQNetwork().unroll(x, state),
        batch_size=CONFIG.batch_size,
    )


def main() -> None:
    environment = wrappers.SinglePrecisionWrapper(Countdown())
    environment_spec = specs.make_environment_spec(environment)
    networks = make_networks(environment_spec)
    metrics = loggers.InMemoryLogger()
    agent = local_layout.LocalLayout(
        seed=0,
        environment_spec=environment_spec,
        builder=r2d2.R2D2Builder(networks, CONFIG, logger_fn=lambda: metrics),
        networks=networks,
        policy_network=r2d2_networks.make_behavior_policy(networks, CONFIG),
        workdir=None,
        min_replay_size=60,
        samples_per_insert=1.0,
        batch_size=CONFIG.batch_size,
        checkpoint=False,
    )
    before = [np.array(x) for x in jax.tree_util.tree_leaves(agent.get_variables([""])[0])]
    loop = acme.EnvironmentLoop(environment, agent, logger=loggers.NoOpLogger())
    loop.run(num_episodes=EPISODES)
    after = [np.array(x) for x in jax.tree_util.tree_leaves(agent.get_variables([""])[0])]

    losses = [row["loss"] for row in metrics.data]
    # 240 steps: one update at the 60th, and one every 4 after it.
    assert len(losses) == 46, f"{len(losses)} updates in {EPISODES} episodes"
    assert np.isfinite(losses).all(), losses
    unmoved = [x.shape for x, y in zip(before, after, strict=True) if np.array_equal(x, y)]
    assert not unmoved, f"parameters which no update changed: {unmoved}"
    print(f"R2D2 made {len(losses)} updates in {EPISODES} episodes")


if __name__ == "__main__":
    main()
