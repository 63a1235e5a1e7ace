"""Open-loop predictions of a trained world model, beside the true episode.

An episode is played. The model sees its first rows, the context, and imagines the other rows from
the actions alone.

Importing this module imports JAX.
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

# Default number of rows that the model sees, and that it imagines.
DEFAULT_CONTEXT = 10
DEFAULT_HORIZON = 30


class TrainedModel(NamedTuple):
    """A trained world model and an environment.

    Attributes:
      task: full name of the run's task.
      config: settings of the agent.
      environment: an environment of the task.
      networks: networks of the agent.
      params: trained parameters.
    """

    task: str
    config: R2IConfig
    environment: dm_env.Environment
    networks: R2INetworks
    params: Params


class Prediction(NamedTuple):
    """Truth and prediction over T rows of an episode.

    Attributes:
      context: number of rows whose observations the model saw.
      vector: float32 [T, F], true vector observations, or None.
      predicted_vector: float32 [T, F], or None.
      image: [T, height, width, channels] in [0, 1], true images, or None.
      predicted_image: [T, height, width, channels] in [0, 1], or None.
      reward: float32 [T], on the environment's own scale.
      predicted_reward: float32 [T], on the same scale.
      discount: float32 [T].
      predicted_continue: float32 [T], probability that the episode continues.
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
    """Reads the world model of a run, and makes an environment.

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
      run: the trained model.
      context: number of rows that the model sees; None for DEFAULT_CONTEXT, or fewer in a short
        episode.
      horizon: number of rows that it then imagines, or fewer if the episode ends before; None for
        DEFAULT_HORIZON.
      seed: seed of the policy and of imagination.

    Raises:
      UsageError: if the episode ends within the context.
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
    """Returns the number of rows that the model sees.

    Args:
      rows: number of rows of the episode.
      context: number that was given; None leaves the horizon to imagine, or half of a short
        episode.
      horizon: number of rows to imagine that was given, or None.

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
    """Returns up to so many rows of an episode, and the actions [T, ...] chosen from them."""
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
    """Returns predicted observations, rewards on the environment's scale and continues [T, ...]."""
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
    """Returns posterior states of the context, followed by states imagined from the actions alone.

    Args:
      model: functions of the world model.
      params: parameters of the world model.
      key: random key for z.
      observation: tree of [T, ...]; only the context is read.
      actions: [T, ...]; the action at t follows the observation at t.
      context: number of rows that the model sees.

    Returns:
      Latent states [T, ...].
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
