"""Settings of R2I: frozen dataclasses, checked when they are made.

A wrong value is a ValueError that names the field, the value and what is allowed. Defaults are the
paper's POPGym settings (arXiv 2403.04253, appendix); ``presets`` has every named set.
"""

from __future__ import annotations

import dataclasses
import re

from acme_r2i.agents.common.checks import (
    Kind,
    kind_field,
    require,
    require_bins,
    require_choice,
    require_fraction,
    require_non_negative,
    require_positive,
    require_positive_or_none,
)
from acme_r2i.agents.common.config import (
    CNNConfig,
    CoreConfig,
    MLPConfig,
    ReplayConfig,
    S5Config,
)


@dataclasses.dataclass(frozen=True)
class LatentConfig(Kind):
    """The stochastic latent z, of one of these kinds: categorical, gaussian."""


@dataclasses.dataclass(frozen=True)
class CategoricalConfig(LatentConfig):
    """Independent categoricals, as one-hots.

    Attributes:
      kind: "categorical".
      stoch: number of categoricals.
      classes: classes of each.
      unimix: fraction of the uniform mixture in posterior and prior.
      posterior_scale: how much larger than usual the posterior's logits are at initialisation.
        With 1 z begins as noise; with 5 or more as an almost deterministic code of the
        observation, which what is remembered later can be read from.
    """

    kind: str = kind_field("categorical")
    stoch: int = 32
    classes: int = 32
    unimix: float = 0.01
    posterior_scale: float = 1.0

    def __post_init__(self):
        require_positive(self, "stoch", "posterior_scale")
        require(self, "classes", "it must be at least 2", self.classes >= 2)
        require_fraction(self, "unimix")


@dataclasses.dataclass(frozen=True)
class GaussianConfig(LatentConfig):
    """Independent normal variables.

    Attributes:
      kind: "gaussian".
      stoch: number of variables.
      min_std: smallest standard deviation.
    """

    kind: str = kind_field("gaussian")
    stoch: int = 32
    min_std: float = 0.1

    def __post_init__(self):
        require_positive(self, "stoch", "min_std")


@dataclasses.dataclass(frozen=True)
class LossScales:
    """Weights of the world model's losses; its fields are exactly the losses' keys."""

    observation: float = 1.0
    reward: float = 1.0
    continue_prob: float = 1.0
    dynamics: float = 0.5
    representation: float = 0.1

    def __post_init__(self):
        require_non_negative(self, *(f.name for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class WorldModelConfig:
    """The world model (arXiv 2403.04253, section 3).

    Attributes:
      representation: "non_recurrent", q(z given o), which a whole sequence can be encoded by in
        parallel, or "recurrent", q(z given o, h), which goes step by step (DreamerV3's).
      latent: the stochastic latent z.
      deter: size of h.
      core: the sequence model.
      head_inputs: what decoder, reward and continue heads see: "output_state" (h, z), as published;
        "full_state" (h, z, x) or "hidden_state" (z, x), with which what is remembered need not
        find its way into h before a head can use it. A GRU's x is h: there all are the same, and
        "full_state" shows it twice.
      initial_stoch: z before an episode: "prior", the mode of the prior of the h before it, or
        "zeros".
      vector_keys: regular expression; observations whose names it matches in full, and which are
        no images, are seen and predicted as one vector.
      image_keys: regular expression; likewise images (uint8, height x width x channels).
      encoder: MLP on the vector.
      cnn: encoder and decoder of images.
      posterior: MLP from the embedded observation (and h, if recurrent) to z.
      decoder: MLP from head_inputs to the vector.
      prior: MLP from h to z.
      reward: MLP of the reward head, likewise.
      continue_prob: MLP of the continue head, likewise.
      reward_bins: bins of the reward's two-hot code.
      free_nats: each KL is clipped below at this many nats.
      action_clip: largest magnitude of an action at the sequence model's input.
      loss_scales: weights of the losses.
      reward_loss_floor: with a number, the reward's loss is divided by its own current value, at
        least this number; None leaves it as it is (see ``model_losses.weighted_sum``).
    """

    representation: str = "non_recurrent"
    latent: LatentConfig = CategoricalConfig()
    deter: int = 1024
    core: CoreConfig = S5Config()
    head_inputs: str = "output_state"
    initial_stoch: str = "prior"
    vector_keys: str = ".*"
    image_keys: str = ".*"
    encoder: MLPConfig = MLPConfig(1, 512)
    cnn: CNNConfig = CNNConfig()
    posterior: MLPConfig = MLPConfig(1, 512)
    decoder: MLPConfig = MLPConfig(1, 512)
    prior: MLPConfig = MLPConfig(1, 512)
    reward: MLPConfig = MLPConfig(2, 512)
    continue_prob: MLPConfig = MLPConfig(2, 512)
    reward_bins: int = 255
    free_nats: float = 1.0
    action_clip: float = 1.0
    loss_scales: LossScales = LossScales()
    reward_loss_floor: float | None = None

    def __post_init__(self):
        require_choice(self, "head_inputs", "output_state", "hidden_state", "full_state")
        require_choice(self, "representation", "non_recurrent", "recurrent")
        require_choice(self, "initial_stoch", "prior", "zeros")
        require_positive(self, "deter", "action_clip")
        require_bins(self, "reward_bins")
        require_non_negative(self, "free_nats")
        require_positive_or_none(self, "reward_loss_floor")
        require(
            self,
            "representation",
            f"with core.dropout={self.core.dropout} it must be non_recurrent: "
            "dropout acts where a whole sequence goes through the core at once",
            self.representation == "non_recurrent" or not self.core.dropout,
        )
        for field in ("vector_keys", "image_keys"):
            require(
                self, field, "it must be a regular expression", _is_pattern(getattr(self, field))
            )


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class BehaviourConfig:
    """Imagination, actor and critic.

    Attributes:
      policy_inputs: what actor and critic see: "output_state" (h, z), "hidden_state" (z, x) or
        "full_state" (h, z, x).
      horizon: imagined steps.
      imagination_starts: posterior states per replayed sequence that imagination starts from,
        spread evenly over time with a random offset; None for all of them.
      discount: gamma per environment step of the agent.
      lambda_: mixing of the lambda-returns.
      imagined_continue: the predicted continue of an imagined step: its "probability", or its
        "mode", 0 or 1.
      actor: MLP of the actor.
      actor_output_scale: factor of the variance of its output layer's initial weights; with 0 the
        first policy is uniform, or has mean 0.
      critic: MLP of the critic.
      critic_bins: bins of the critic's two-hot code.
      unimix: fraction of the uniform mixture in a discrete actor.
      std_range: smallest and largest standard deviation of a continuous actor, whose actions are
        in [-1, 1] before they are scaled to the environment's.
      actor_gradient: "reinforce", "reparameterised" (through imagination; continuous actions
        only), or "auto": reparameterised for continuous actions, REINFORCE for discrete ones.
      entropy_scale: weight of the entropy bonus.
      return_decay: EMA decay of the percentiles that normalise returns.
      return_percentiles: lower and upper percentile of the range that returns are divided by; None
        to divide by ``return_floor`` alone, so that the entropy bonus weighs the same against a
        reward whatever the range (of use where rewards are of a known size: ``reward_scale`` None).
      return_floor: smallest range that returns are divided by.
      slow_critic_fraction: how much of the critic the slow critic takes over per update.
      slow_critic_scale: weight of the critic's loss towards the slow critic.
    """

    policy_inputs: str = "hidden_state"
    horizon: int = 15
    imagination_starts: int | None = None
    discount: float = 1 - 1 / 333
    lambda_: float = 0.95
    imagined_continue: str = "mode"
    actor: MLPConfig = MLPConfig(2, 512)
    actor_output_scale: float = 1.0
    critic: MLPConfig = MLPConfig(2, 512)
    critic_bins: int = 255
    unimix: float = 0.01
    std_range: tuple[float, float] = (0.1, 1.0)
    actor_gradient: str = "auto"
    entropy_scale: float = 3e-4
    return_decay: float = 0.99
    return_percentiles: tuple[float, float] | None = (5.0, 95.0)
    return_floor: float = 1.0
    slow_critic_fraction: float = 0.02
    slow_critic_scale: float = 1.0

    def __post_init__(self):
        require_choice(self, "policy_inputs", "output_state", "hidden_state", "full_state")
        require_positive(self, "horizon", "return_floor")
        require_positive_or_none(self, "imagination_starts")
        require_bins(self, "critic_bins")
        require_fraction(
            self, "discount", "lambda_", "unimix", "return_decay", "slow_critic_fraction"
        )
        require_choice(self, "imagined_continue", "mode", "probability")
        require_non_negative(self, "actor_output_scale", "entropy_scale", "slow_critic_scale")
        require_choice(self, "actor_gradient", "auto", "reinforce", "reparameterised")
        low, high = self.std_range
        require(self, "std_range", "they must satisfy 0 < low <= high", 0 < low <= high)
        percentiles = self.return_percentiles
        low, high = (0.0, 100.0) if percentiles is None else percentiles
        require(
            self,
            "return_percentiles",
            "they must satisfy 0 <= low < high <= 100, or be None",
            0 <= low < high <= 100,
        )


@dataclasses.dataclass(frozen=True)
class OptimiserConfig:
    """Adam with global-norm clipping, for one group of networks.

    Attributes:
      learning_rate: step size.
      eps: Adam's epsilon.
      clip: largest global norm of a gradient.
      weight_decay: decoupled decay, times the learning rate, of matrices only.
      warmup_learner_steps: updates over which the learning rate rises linearly from 0.
    """

    learning_rate: float
    eps: float
    clip: float
    weight_decay: float = 0.0
    warmup_learner_steps: int = 0

    def __post_init__(self):
        require_positive(self, "learning_rate", "eps", "clip")
        require_non_negative(self, "weight_decay", "warmup_learner_steps")


@dataclasses.dataclass(frozen=True)
class R2IConfig:
    """All settings of the agent.

    Attributes:
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      num_environments: environments acted for in one batched policy call.
      reward_scale: what rewards are multiplied by inside the update; replay and logs keep the
        environment's own. Chosen so that a typical reward has size 1; None for one over the
        running root mean square of the rewards that are not 0 (see ``types.RewardSize``).
      precision: of matrix products and convolutions: "float32", or "bfloat16" with sums in
        float32. Parameters, the SSM's recurrence, normalisation, KLs, returns and losses are
        float32 either way.
      replay: the replay buffer.
      world_model: the world model.
      behaviour: imagination, actor and critic.
      model_optimiser: of the world model.
      ssm_learning_rate: of the SSM parameters (Lambda, B, C, D, log_step, initial_state), which
        are otherwise optimised with the world model, and never decayed.
      actor_optimiser: of the actor.
      critic_optimiser: of the critic.
    """

    batch_size: int = 4
    sequence_length: int = 1024
    train_ratio: float = 64.0
    num_environments: int = 8
    reward_scale: float | None = 1.0
    precision: str = "float32"
    replay: ReplayConfig = ReplayConfig()
    world_model: WorldModelConfig = WorldModelConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    model_optimiser: OptimiserConfig = OptimiserConfig(1e-4, 1e-8, 1000.0)
    ssm_learning_rate: float = 1e-4
    actor_optimiser: OptimiserConfig = OptimiserConfig(3e-5, 1e-5, 100.0)
    critic_optimiser: OptimiserConfig = OptimiserConfig(3e-5, 1e-5, 100.0)

    def __post_init__(self):
        require_positive(
            self,
            "batch_size",
            "train_ratio",
            "num_environments",
            "ssm_learning_rate",
        )
        require_positive_or_none(self, "reward_scale")
        require(self, "sequence_length", "it must be at least 2", self.sequence_length >= 2)
        require_choice(self, "precision", "float32", "bfloat16")
        stride = self.replay.stride
        require(
            self,
            "sequence_length",
            f"it must be at least replay.stride={stride}, or rows would be left out of replay",
            stride <= self.sequence_length,
        )
        starts = self.behaviour.imagination_starts
        require(
            self,
            "sequence_length",
            f"it must be at least behaviour.imagination_starts={starts}",
            starts is None or starts <= self.sequence_length,
        )

    @property
    def first_env_steps(self) -> int:
        """Environment steps after which each environment has a sequence in replay, and replay has
        its minimum."""
        return max(self.replay.min_env_steps, self.num_environments * self.sequence_length)
