"""Acting: the state that is recorded with an action, and what the agent sees of a time step."""

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import jax
import jax.numpy as jnp
import numpy as np
from acme.agents.jax import actor_core

from acme_r2i.agents.r2d2.acting import OARActor, with_extras_before
from acme_r2i.agents.r2d2.networks import NO_ACTION, OAR


def test_the_extras_of_an_action_are_those_from_before_it():
    def select_action(params, observation, state):
        return state, state + observation

    counting = actor_core.ActorCore(
        init=lambda key: jnp.zeros([], jnp.int32),
        select_action=select_action,
        get_extras=lambda state: {"core_state": state},
    )
    core = with_extras_before(counting)
    state, extras = core.init(jax.random.PRNGKey(0)), []
    for observation in (5, 7, 11):
        action, state = core.select_action(None, observation, state)
        extras.append((int(action), int(core.get_extras(state)["core_state"])))
    assert extras == [(0, 0), (5, 5), (12, 12)]


class Recorder:
    """A batched actor that notes what it is told."""

    def __init__(self):
        self.calls = []

    def observe_first(self, index, timestep):
        self.calls.append((index, timestep))

    def observe(self, index, action, timestep):
        self.calls.append((index, action, timestep))


def test_observations_come_with_the_action_and_the_scaled_reward_before_them():
    recorder = Recorder()
    actor = OARActor(recorder, reward_scale=48.0)
    observation = np.arange(3, dtype=np.float32)
    actor.observe_first(1, dm_env.restart(observation))
    actor.observe(1, np.int32(2), dm_env.transition(np.float32(1 / 48), observation))
    actor.observe(1, np.int32(0), dm_env.termination(np.float32(-1 / 48), observation))
    (_, first), (_, action, middle), (*_, last) = recorder.calls
    assert first == dm_env.restart(OAR(observation, np.int32(NO_ACTION), np.float32(0)))
    assert action == 2 and middle.reward == 1.0 and middle.discount == 1.0
    assert middle.observation == OAR(observation, np.int32(2), np.float32(1.0))
    assert last.last() and last.discount == 0.0 and last.reward == -1.0
    assert last.observation == OAR(observation, np.int32(0), np.float32(-1.0))
    # As replay's signature has them.
    for timestep in (first, middle, last):
        assert timestep.observation.action.dtype == np.int32
        assert timestep.observation.reward.dtype == np.float32
