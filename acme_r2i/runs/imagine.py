"""`r2i imagine`: what a trained world model expects, beside what happened.

One episode is played. The model sees its first rows, the context; from there on it is given the
actions alone, and imagines (open loop). Images come out as a strip and an animation, vectors as
lines; predicted rewards and continues stand below either.

This module imports JAX.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import dm_env
import jax
import jax.numpy as jnp
import numpy as np

from acme_r2i.agents.r2i.config import R2IConfig
from acme_r2i.agents.r2i.model_functions import WorldModelFunctions
from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.agents.r2i.types import ActorState, LatentState, Params, state_features
from acme_r2i.agents.r2i.world_model import Decoded
from acme_r2i.environments import EnvironmentSpec
from acme_r2i.networks.distributions import symexp
from acme_r2i.networks.heads import SymlogTwoHot
from acme_r2i.runs import UsageError
from acme_r2i.runs.policies import TrainedRun, find_parameters, load_parameters

# Rows that the model sees and that it imagines where nothing is asked for.
DEFAULT_CONTEXT = 10
DEFAULT_HORIZON = 30


class TrainedModel(NamedTuple):
    """A run as it was left.

    Attributes:
      task: full name of its task.
      config: its settings.
      environment: one like those it was trained on.
      networks: made from the settings.
      params: what was learned.
    """

    task: str
    config: R2IConfig
    environment: dm_env.Environment
    networks: R2INetworks
    params: Params


class Prediction(NamedTuple):
    """Truth and prediction over T rows; the model saw the observations of the first ``context``.

    Attributes:
      context: rows that the model saw.
      vector: float32 [T, F] as it was, or None.
      predicted_vector: likewise, as predicted.
      image: [T, height, width, channels] in [0, 1] as it was, or None.
      predicted_image: likewise, as predicted.
      reward: float32 [T], the environment's own scale.
      predicted_reward: likewise.
      discount: float32 [T].
      predicted_continue: float32 [T], probability.
    """

    context: int
    vector: np.ndarray | None
    predicted_vector: np.ndarray | None
    image: np.ndarray | None
    predicted_image: np.ndarray | None
    reward: np.ndarray
    predicted_reward: np.ndarray
    discount: np.ndarray
    predicted_continue: np.ndarray


def load_model(run: TrainedRun, seed: int, checkpoint: str | None = None) -> TrainedModel:
    """Makes the networks of a run and reads what it learned.

    Args:
      run: the run.
      seed: seed of the environment.
      checkpoint: as of ``find_parameters``.

    Raises:
      UsageError: if the run has no such parameters, or no world model.
    """
    folder = run.folder
    if run.kind.name != "r2i":
        raise UsageError(f"the run in {folder} is of {run.kind.name}, which has no world model")
    kept = find_parameters(folder, checkpoint)
    environment = run.make_environment(seed)
    networks = run.kind.make_networks(run.config, EnvironmentSpec.of(environment))
    shapes = jax.eval_shape(networks.init, jax.random.key(0))
    params = load_parameters(kept.folder, shapes, file=kept.file)
    return TrainedModel(run.task, run.config, environment, networks, params)


def predict(run: TrainedModel, context: int | None, horizon: int | None, seed: int) -> Prediction:
    """Plays an episode under the run's policy, and imagines its end.

    Args:
      run: the trained run.
      context: rows that the model sees; None for DEFAULT_CONTEXT, or fewer of a short episode.
      horizon: rows that it then imagines, or fewer if the episode ends before; None for
        DEFAULT_HORIZON.
      seed: of the policy and of imagination.

    Raises:
      UsageError: if the episode is over before anything could be imagined.
    """
    networks = run.networks
    act_key, imagine_key = jax.random.split(jax.random.key(seed))
    rows = (context or DEFAULT_CONTEXT) + (horizon or DEFAULT_HORIZON)
    timesteps, actions = _play(run, rows, act_key)
    context = _fitting_context(len(timesteps), context, horizon)
    observation = jax.tree.map(lambda *x: np.stack(x), *(t.observation for t in timesteps))
    latent = jax.jit(imagine_latent, static_argnums=(0, 5))(
        networks.model, run.params.world_model, imagine_key, observation, actions, context
    )
    decoded, reward, continue_prob = jax.jit(_expect, static_argnums=(0, 1))(
        networks.model, run.config, run.params, latent
    )
    space = networks.observations
    return Prediction(
        context=context,
        vector=np.asarray(space.vector(observation)) if space.vectors else None,
        predicted_vector=None if decoded.vector is None else np.asarray(symexp(decoded.vector)),
        image=np.asarray(space.image(observation)) + 0.5 if space.images else None,
        predicted_image=(
            None if decoded.image is None else np.clip(np.asarray(decoded.image) + 0.5, 0, 1)
        ),
        reward=np.array([t.reward or 0.0 for t in timesteps], np.float32),
        predicted_reward=np.asarray(reward),
        discount=np.array([1.0 if t.discount is None else t.discount for t in timesteps]),
        predicted_continue=np.asarray(continue_prob),
    )


def _fitting_context(rows: int, context: int | None, horizon: int | None) -> int:
    """Rows of an episode's first ones that the model sees, so that others are left to imagine.

    Args:
      rows: of the episode, as far as it was played.
      context: rows that were asked for; None leaves half of a short episode to imagine, or what
        the horizon needs.
      horizon: rows to imagine that were asked for, or None.

    Raises:
      UsageError: if nothing is left to imagine.
    """
    if context is None:
        rest = rows // 2 if horizon is None else rows - horizon
        context = min(DEFAULT_CONTEXT, max(1, rest))
    if rows <= context:
        raise UsageError(
            f"context={context} is not allowed: an episode of {rows} rows leaves nothing to imagine"
        )
    return context


def _play(run: TrainedModel, rows: int, key: jax.Array) -> tuple[list[dm_env.TimeStep], np.ndarray]:
    """Up to so many rows of one episode, and the actions [T, ...] chosen from them."""
    policy = jax.jit(run.networks.act)
    state = run.networks.initial_actor_state(1)
    timesteps, actions = [run.environment.reset()], []
    while True:
        key, step_key = jax.random.split(key)
        batch = jax.tree.map(lambda x: np.asarray(x)[None], timesteps[-1].observation)
        first = np.array([timesteps[-1].first()])
        action, state = policy(run.params, step_key, batch, first, state)
        actions.append(np.asarray(action[0]))
        if len(timesteps) == rows or timesteps[-1].last():
            return timesteps, np.stack(actions)
        timesteps.append(run.environment.step(actions[-1]))


def _expect(
    model: WorldModelFunctions, config: R2IConfig, params: Params, latent: LatentState
) -> tuple[Decoded, jax.Array, jax.Array]:
    """Predicted observations, rewards on the environment's scale and continues, [T, ...] each."""
    features = state_features(latent, config.world_model.head_inputs)
    heads = model.predict(params.world_model, features)
    reward = SymlogTwoHot(heads.reward.shape[-1]).mean(heads.reward)
    scale = config.reward_scale or params.reward_size.scale
    decoded = model.decode(params.world_model, features)
    return decoded, reward / scale, jax.nn.sigmoid(heads.continue_prob)


def imagine_latent(
    model: WorldModelFunctions,
    params: Any,
    key: jax.Array,
    observation: Any,
    actions: jax.Array,
    context: int,
) -> LatentState:
    """Posterior states of the first rows, then states imagined under the actions alone.

    Args:
      model: the world model's functions.
      params: its parameters.
      key: random key for z.
      observation: tree of [T, ...]; what comes after the context is not looked at.
      actions: [T, ...]; the one at t follows the observation at t.
      context: rows that are seen.

    Returns:
      [T, ...].
    """
    observe_key, imagine_key = jax.random.split(key)
    seen = jax.tree.map(lambda x: jnp.asarray(x[:context])[None], observation)
    actions = jnp.asarray(actions)
    observed = model.observe(
        params,
        observe_key,
        seen,
        actions[None, :context],
        jnp.arange(context)[None] == 0,
        model.initial_state(params, 1),
    ).latent

    def step(latent: LatentState, element: tuple) -> tuple[LatentState, LatentState]:
        step_key, action = element
        latent = model.imagine_step(params, step_key, ActorState(latent, action[None]))
        return latent, latent

    keys = jax.random.split(imagine_key, len(actions) - context)
    last = jax.tree.map(lambda x: x[:, -1], observed)
    _, imagined = jax.lax.scan(step, last, (keys, actions[context - 1 : -1]))
    return jax.tree.map(
        lambda seen, rest: jnp.concatenate([seen[0], rest[:, 0]]), observed, imagined
    )
