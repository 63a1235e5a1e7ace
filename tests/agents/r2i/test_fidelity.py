"""The numbers of docs/fidelity.md: sizes of the released networks, and losses in a second form."""

from __future__ import annotations

import dataclasses
import importlib
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents import r2i
from acme_r2i.agents.r2i import actor_critic, behaviour, presets
from acme_r2i.agents.r2i.actions import DiscreteActions
from acme_r2i.agents.r2i.config import BehaviourConfig
from acme_r2i.agents.r2i.imagination import gather_starts
from acme_r2i.agents.r2i.networks import make_networks
from acme_r2i.agents.r2i.types import ActorState, LatentState, state_features
from acme_r2i.agents.r2i.world_model import Observed
from acme_r2i.networks.heads import SymlogTwoHot
from acme_r2i.replay.rows import Row
from tests.helpers import random_like

pytestmark = pytest.mark.integration

# Parameters of world model, actor and critic, as counted on the released code with the same
# observations and actions. It has a learned h before an episode that no gradient reaches; ours
# has none, so it is taken off: ``deter`` parameters where its initial state is "learned".

IMAGE = specs.BoundedArray((64, 64, 3), np.uint8, 0, 255)
ONE_HOT, NUMBERS = specs.Array((4,), np.float32), specs.Array((24,), np.float32)
WALKER = specs.BoundedArray((6,), np.float32, -1, 1)
RELEASED = {
    "bsuite": ("bsuite", ONE_HOT, specs.DiscreteArray(4), 19_716_231, 0),
    "popgym": ("popgym", ONE_HOT, specs.DiscreteArray(4), 11_569_543, 1024),
    "memory_maze, 4 actions": ("memory_maze", IMAGE, specs.DiscreteArray(4), 92_853_830, 2048),
    "memory_maze": ("memory_maze", IMAGE, specs.DiscreteArray(6), 92_857_928, 2048),
    "atari100k": ("atari100k", IMAGE, specs.DiscreteArray(18), 20_566_932, 512),
    "dmc_proprio": ("dmc_proprio", NUMBERS, WALKER, 21_339_683, 512),
    "dmc_vision": ("dmc_vision", IMAGE, WALKER, 20_557_710, 512),
    # The GRU form; what its h begins as is learned.
    "twin": ("popgym,dreamerv3", ONE_HOT, specs.DiscreteArray(4), 14_186_503, 0),
}


@pytest.mark.parametrize("case", RELEASED)
def test_parameters_are_as_many_as_released(case):
    names, observation, action, released, without_gradient = RELEASED[case]
    networks = make_networks(presets.compose(names.split(",")), observation, action)
    params = jax.eval_shape(networks.init, jax.random.key(0))
    leaves = jax.tree.leaves(params._replace(slow_critic=None))
    assert sum(math.prod(leaf.shape) for leaf in leaves) == released - without_gradient


# Losses on fixed arrays, beside loops in float64 that are written from the equations.


def symexp(x):
    return np.sign(x) * np.expm1(np.abs(x))


def two_hot_loss(logits, target):
    """Cross-entropy to the two bins around symlog(target), one number at a time."""
    bins = np.linspace(-20, 20, logits.shape[-1])
    place = np.sign(target) * np.log1p(np.abs(target))
    above = int(np.searchsorted(bins, place))
    share = (place - bins[above - 1]) / (bins[above] - bins[above - 1])
    log_probs = logits - np.log(np.sum(np.exp(logits)))
    return -(share * log_probs[above] + (1 - share) * log_probs[above - 1])


def test_totals_of_actor_and_critic_on_fixed_arrays():
    steps, starts, num_actions, bins = 5, 4, 3, 31
    random = np.random.default_rng(0)
    config = BehaviourConfig(critic_bins=bins, return_floor=0.01)
    rewards = random.normal(size=(steps, starts))
    continues = random.choice([0.0, 1.0], (steps + 1, starts), p=[0.2, 0.8])
    logits = random.normal(size=(steps + 1, starts, bins))
    slow_logits = random.normal(size=(steps, starts, bins))
    policy_logits = random.normal(size=(steps, starts, num_actions))
    taken = random.integers(0, num_actions, (steps, starts))
    gamma, lambda_ = 1 - 1 / 333, 0.95

    def mean(values):
        shares = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
        return symexp(shares @ np.linspace(-20, 20, bins))

    values, slow_values = mean(logits), mean(slow_logits)
    returns = np.zeros((steps + 1, starts))
    returns[-1] = values[-1]
    for t in reversed(range(steps)):
        ahead = (1 - lambda_) * values[t + 1] + lambda_ * returns[t + 1]
        returns[t] = rewards[t] + gamma * continues[t + 1] * ahead
    low, high = 0.01 * np.percentile(returns[:-1], [5, 95])
    scale = max(0.01, high - low)
    probs = np.exp(policy_logits) / np.exp(policy_logits).sum(-1, keepdims=True)
    probs = 0.99 * probs + 0.01 / num_actions
    actor = critic = 0.0
    for t in range(steps):
        for n in range(starts):
            weight = gamma**t * np.prod(continues[: t + 1, n])
            entropy = -np.sum(probs[t, n] * np.log(probs[t, n]))
            gain = (returns[t, n] - values[t, n]) / scale * np.log(probs[t, n, taken[t, n]])
            actor -= weight * (gain + 3e-4 * entropy)
            critic += weight * two_hot_loss(logits[t, n], returns[t, n])
            critic += weight * two_hot_loss(logits[t, n], slow_values[t, n])

    actions = DiscreteActions((num_actions,), (), unimix=0.01)
    scalar = SymlogTwoHot(bins)

    @jax.jit
    def totals(rewards, continues, logits, slow_logits, policy_logits):
        targets = actor_critic.lambda_returns(rewards, continues, scalar.mean(logits), config)
        _, scale = actor_critic.update_return_range(
            actor_critic.initial_return_range(), targets.returns, config
        )
        policy = actions.distribution(policy_logits)
        log_prob = actions.log_prob(policy, jnp.asarray(taken))
        entropy = actor_critic.mean_entropy(actions.entropy(policy), targets)
        of_actor = actor_critic.reinforce_loss(log_prob, targets, scale)
        return (
            of_actor - config.entropy_scale * entropy,
            actor_critic.value_loss(logits[:-1], slow_logits, targets, config),
        )

    arrays = (rewards, continues, logits, slow_logits, policy_logits)
    found = totals(*(jnp.asarray(array, jnp.float32) for array in arrays))
    np.testing.assert_allclose(found, np.array([actor, critic]) / (steps * starts), rtol=1e-5)


# The actor's gradient: the whole of behaviour beside a loop over the horizon.

HORIZON, BATCH, LENGTH = 3, 2, 3
SPECS = {
    "discrete": (ONE_HOT, specs.DiscreteArray(3)),
    "continuous": (ONE_HOT, specs.BoundedArray((2,), np.float32, -1, 1)),
}


def gradient_by_a_loop(networks, config, params, key, start, start_discount):
    """-(R - v) / scale or -log pi (R - v) / scale, the actor's inputs cut off, weights gamma^t."""
    settings, frozen = config.behaviour, jax.lax.stop_gradient
    reparameterised = networks.actions.reparameterised
    step_keys = jax.random.split(jax.random.split(key)[1], settings.horizon)

    def loss_fn(actor):
        state, states, policies, taken = start, [start], [], []
        for step_key in step_keys:
            act_key, model_key = jax.random.split(step_key)
            policies.append(
                networks.actor(actor, frozen(state_features(state, settings.policy_inputs)))
            )
            action = networks.actions.sample(act_key, policies[-1])
            taken.append(action if reparameterised else frozen(action))
            state = networks.model.imagine_step(
                params.world_model, model_key, ActorState(state, taken[-1])
            )
            states.append(state)
        scalar = SymlogTwoHot(settings.critic_bins)
        values = [
            scalar.mean(networks.critic(params.critic, state_features(s, settings.policy_inputs)))
            for s in states
        ]
        seen = [state_features(s, config.world_model.head_inputs) for s in states]
        predicted = [networks.model.predict(params.world_model, features) for features in seen]
        rewards = [SymlogTwoHot(config.world_model.reward_bins).mean(p.reward) for p in predicted]
        continues = [start_discount, *(1.0 * (p.continue_prob > 0) for p in predicted[1:])]
        following, returns = values[-1], [None] * settings.horizon
        for t in reversed(range(settings.horizon)):
            ahead = (1 - settings.lambda_) * values[t + 1] + settings.lambda_ * following
            following = rewards[t + 1] + settings.discount * continues[t + 1] * ahead
            returns[t] = following
        low, high = 0.01 * jnp.percentile(frozen(jnp.stack(returns)), jnp.array([5.0, 95.0]))
        scale = jnp.maximum(settings.return_floor, high - low)
        weight, total = start_discount, 0.0
        for t, policy in enumerate(policies):
            advantage = (returns[t] - values[t]) / scale
            if reparameterised:
                loss = -advantage
            else:
                loss = -networks.actions.log_prob(policy, taken[t]) * frozen(advantage)
            loss -= settings.entropy_scale * networks.actions.entropy(policy)
            total += jnp.mean(frozen(weight) * loss) / settings.horizon
            weight = weight * settings.discount * continues[t + 1]
        return total

    return jax.value_and_grad(loss_fn)(params.actor)


@pytest.mark.parametrize("kind", SPECS)
def test_the_actors_gradient_is_that_of_a_loop_over_the_horizon(kind):
    config = presets.debug()
    settings = dataclasses.replace(
        config.behaviour, horizon=HORIZON, imagination_starts=None, entropy_scale=0.1
    )
    config = dataclasses.replace(config, behaviour=settings)
    networks = make_networks(config, *SPECS[kind])
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    params = jax.tree.map(lambda x: 0.3 * x, random_like(shapes, 0))
    random = np.random.default_rng(1)
    latent: LatentState = jax.eval_shape(lambda: networks.initial_actor_state(1)).latent
    latent = jax.tree.map(
        lambda x: random.normal(size=(BATCH, LENGTH, *x.shape[1:])).astype(x.dtype), latent
    )
    discount = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    rows = Row(None, None, None, discount, np.zeros((BATCH, LENGTH), bool), None)
    key = jax.random.key(2)

    @jax.jit
    def ours(params):
        observed = Observed(latent, None, None)
        first = actor_critic.initial_return_range()
        (loss, results), gradient = jax.value_and_grad(behaviour.actor_loss, has_aux=True)(
            params.actor, networks, config, params, key, observed, rows, first
        )
        return loss, gradient, results.imagined.targets.weights

    times = jnp.broadcast_to(jnp.arange(LENGTH), (BATCH, LENGTH))
    start, start_discount = gather_starts((latent, jnp.asarray(discount)), times)
    loss, gradient, weights = ours(params)
    expected_loss, expected = jax.jit(
        lambda params: gradient_by_a_loop(networks, config, params, key, start, start_discount)
    )(params)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-4)
    for own, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(other).max())
    # Modes of continues: every weight is gamma^t or 0.
    steps = settings.discount ** np.arange(HORIZON)[:, None]
    shares = np.asarray(weights) / steps
    assert np.all(np.isclose(shares, 0) | np.isclose(shares, 1)) and 0 < shares.mean() < 1


# The table in the agent's docstring.


def test_the_table_of_the_paper_names_what_is_in_the_code():
    lines = r2i.__doc__.splitlines()
    header = next(index for index, line in enumerate(lines) if line.split() == ["paper", "code"])
    column = lines[header].index("code")
    text = re.sub(r"\(.*?\)", "", " ".join(line[column:] for line in lines[header + 1 :]))
    names = re.findall(r"([\w.]+)(:?)", text)
    assert sum(not colon for _, colon in names) > 30
    module, owner = None, None
    for name, colon in names:
        if colon:
            package = "acme_r2i." if name.startswith("networks.") else "acme_r2i.agents.r2i."
            module = owner = importlib.import_module(package + name)
            continue
        first, _, method = name.partition(".")
        if hasattr(module, first):
            owner = getattr(module, first)
            assert not method or hasattr(owner, method), name
        else:
            assert hasattr(owner, name), f"{module.__name__} has no {name}"
