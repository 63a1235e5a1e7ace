"""Settings of R2I: frozen dataclasses, checked when they are made.

A wrong value is a ValueError that names the field, the value and what is allowed. Defaults are the
paper's POPGym settings (arXiv 2403.04253, appendix); ``presets`` has every named set.
"""

from __future__ import annotations

import dataclasses
from typing import Any


def _require(config: Any, field: str, allowed: str, holds: bool) -> None:
    if not holds:
        value = getattr(config, field)
        raise ValueError(f"{type(config).__name__}.{field}={value!r} is not allowed: {allowed}")


def _require_positive(config: Any, *fields: str) -> None:
    for field in fields:
        _require(config, field, "it must be above 0", getattr(config, field) > 0)


def _require_non_negative(config: Any, *fields: str) -> None:
    for field in fields:
        _require(config, field, "it must be at least 0", getattr(config, field) >= 0)


def _require_fraction(config: Any, *fields: str) -> None:
    for field in fields:
        _require(config, field, "it must be in [0, 1]", 0 <= getattr(config, field) <= 1)


def _require_choice(config: Any, field: str, *choices: str) -> None:
    _require(
        config, field, f"it must be one of {', '.join(choices)}", getattr(config, field) in choices
    )


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """A multilayer perceptron: hidden layers and their width."""

    layers: int = 2
    units: int = 512

    def __post_init__(self):
        _require_non_negative(self, "layers")
        _require_positive(self, "units")


@dataclasses.dataclass(frozen=True)
class SSMConfig:
    """The sequence core: a stack of residual S5 blocks (see ``networks.ssm.S5``).

    Attributes:
      layers: number of blocks.
      width: features H between blocks.
      state_size: size P of each block's real system.
      n_blocks: equal HiPPO blocks at initialisation; divides ``state_size``.
      discretisation: "bilinear" or "zoh".
      dt_min: smallest initial step, in units of one environment step of the agent.
      dt_max: largest initial step.
      conj_sym: keep one of each conjugate pair.
      clip_eigs: keep Re(Lambda) <= -1e-4.
      C_init: "lecun_normal", "truncated_normal" or "complex_normal".
      initial_state: "learned" or "zeros".
      input_scaling: "none" (S5's own) or "unit_variance" (sqrt(1 - |Lambda_bar|^2)).
      norm: "post" or "pre".
      glu: gate each SSM's output.
      dropout: rate in the unrolled form during training.
      scan_form: "parallel" or "sequential" form of the recurrence in training.
    """

    layers: int = 3
    width: int = 512
    state_size: int = 128
    n_blocks: int = 8
    discretisation: str = "bilinear"
    dt_min: float = 0.001
    dt_max: float = 0.1
    conj_sym: bool = False
    clip_eigs: bool = False
    C_init: str = "lecun_normal"
    initial_state: str = "learned"
    input_scaling: str = "none"
    norm: str = "post"
    glu: bool = True
    dropout: float = 0.0
    scan_form: str = "parallel"

    def __post_init__(self):
        _require_positive(self, "layers", "width", "state_size", "n_blocks", "dt_min", "dt_max")
        parts = self.n_blocks * (2 if self.conj_sym else 1)
        _require(
            self,
            "state_size",
            f"it must be a multiple of n_blocks={self.n_blocks}"
            + (" and its blocks of even size, with conj_sym" if self.conj_sym else ""),
            self.state_size % parts == 0,
        )
        _require(
            self, "dt_max", f"it must be at least dt_min={self.dt_min}", self.dt_max >= self.dt_min
        )
        _require_choice(self, "discretisation", "bilinear", "zoh")
        _require_choice(self, "C_init", "lecun_normal", "truncated_normal", "complex_normal")
        _require_choice(self, "initial_state", "learned", "zeros")
        _require_choice(self, "input_scaling", "none", "unit_variance")
        _require_choice(self, "norm", "post", "pre")
        _require_choice(self, "scan_form", "parallel", "sequential")
        _require(self, "dropout", "it must be in [0, 1)", 0 <= self.dropout < 1)


@dataclasses.dataclass(frozen=True)
class LossScales:
    """Weights of the world model's losses; its fields are exactly the losses' keys."""

    observation: float = 1.0
    reward: float = 1.0
    continue_prob: float = 1.0
    dynamics: float = 0.5
    representation: float = 0.1

    def __post_init__(self):
        _require_non_negative(self, *(f.name for f in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class WorldModelConfig:
    """The S3M world model (arXiv 2403.04253, section 3).

    Attributes:
      stoch: number of categoricals in z.
      classes: classes of each.
      unimix: fraction of the uniform mixture in posterior and prior.
      posterior_scale: how much larger than usual the posterior's logits are at initialisation.
        With 1 z begins as noise; with 5 or more as an almost deterministic code of the
        observation, which what is remembered later can be read from.
      deter: size of h.
      core: the sequence model.
      encoder: MLP on the observation.
      decoder: MLP from (h, z).
      prior: MLP from h to the logits of z.
      reward: MLP of the reward head.
      continue_prob: MLP of the continue head.
      reward_bins: bins of the reward's two-hot code.
      free_nats: each KL is clipped below at this many nats.
      action_clip: largest magnitude of an action at the sequence model's input.
      loss_scales: weights of the losses.
    """

    stoch: int = 32
    classes: int = 32
    unimix: float = 0.01
    posterior_scale: float = 1.0
    deter: int = 1024
    core: SSMConfig = SSMConfig()
    encoder: MLPConfig = MLPConfig(1, 512)
    decoder: MLPConfig = MLPConfig(1, 512)
    prior: MLPConfig = MLPConfig(1, 512)
    reward: MLPConfig = MLPConfig(2, 512)
    continue_prob: MLPConfig = MLPConfig(2, 512)
    reward_bins: int = 255
    free_nats: float = 1.0
    action_clip: float = 1.0
    loss_scales: LossScales = LossScales()

    def __post_init__(self):
        _require_positive(self, "stoch", "deter", "action_clip", "posterior_scale")
        _require(self, "classes", "it must be at least 2", self.classes >= 2)
        _require(
            self,
            "reward_bins",
            "it must be an odd number of at least 3",
            self.reward_bins >= 3 and self.reward_bins % 2 == 1,
        )
        _require_fraction(self, "unimix")
        _require_non_negative(self, "free_nats")


@dataclasses.dataclass(frozen=True)
class BehaviourConfig:
    """Imagination, actor and critic.

    Attributes:
      policy_inputs: what actor and critic see: "output_state" (z, h), "hidden_state" (z, x) or
        "full_state" (z, h, x).
      horizon: imagined steps.
      imagination_starts: posterior states per replayed sequence that imagination starts from,
        spread evenly over time with a random offset; None for all of them.
      discount: gamma per environment step of the agent.
      lambda_: mixing of the lambda-returns.
      actor: MLP of the actor.
      critic: MLP of the critic.
      critic_bins: bins of the critic's two-hot code.
      unimix: fraction of the uniform mixture in a discrete actor.
      entropy_scale: weight of the entropy bonus.
      return_decay: EMA decay of the percentiles that normalise returns.
      return_percentiles: lower and upper percentile of the range.
      return_floor: smallest range that returns are divided by.
      slow_critic_fraction: how much of the critic the slow critic takes over per update.
      slow_critic_scale: weight of the critic's loss towards the slow critic.
    """

    policy_inputs: str = "hidden_state"
    horizon: int = 15
    imagination_starts: int | None = None
    discount: float = 1 - 1 / 333
    lambda_: float = 0.95
    actor: MLPConfig = MLPConfig(2, 512)
    critic: MLPConfig = MLPConfig(2, 512)
    critic_bins: int = 255
    unimix: float = 0.01
    entropy_scale: float = 3e-4
    return_decay: float = 0.99
    return_percentiles: tuple[float, float] = (5.0, 95.0)
    return_floor: float = 1.0
    slow_critic_fraction: float = 0.02
    slow_critic_scale: float = 1.0

    def __post_init__(self):
        _require_choice(self, "policy_inputs", "output_state", "hidden_state", "full_state")
        _require_positive(self, "horizon", "return_floor")
        _require(
            self,
            "imagination_starts",
            "it must be above 0, or None for all",
            self.imagination_starts is None or self.imagination_starts > 0,
        )
        _require(
            self,
            "critic_bins",
            "it must be an odd number of at least 3",
            self.critic_bins >= 3 and self.critic_bins % 2 == 1,
        )
        _require_fraction(
            self, "discount", "lambda_", "unimix", "return_decay", "slow_critic_fraction"
        )
        _require_non_negative(self, "entropy_scale", "slow_critic_scale")
        low, high = self.return_percentiles
        _require(
            self,
            "return_percentiles",
            "they must satisfy 0 <= low < high <= 100",
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
        _require_positive(self, "learning_rate", "eps", "clip")
        _require_non_negative(self, "weight_decay", "warmup_learner_steps")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer.

    Attributes:
      capacity_env_steps: environment steps kept.
      min_env_steps: environment steps inserted before the first update.
      stride: rows between the starts of two stored sequences of one stream; at most a sequence's
        length.
    """

    capacity_env_steps: int = 1_000_000
    min_env_steps: int = 1024
    stride: int = 16

    def __post_init__(self):
        _require_positive(self, "capacity_env_steps", "min_env_steps", "stride")
        _require(
            self,
            "min_env_steps",
            f"it must be at most capacity_env_steps={self.capacity_env_steps}",
            self.min_env_steps <= self.capacity_env_steps,
        )


@dataclasses.dataclass(frozen=True)
class R2IConfig:
    """All settings of the agent.

    Attributes:
      batch_size: sequences per update.
      sequence_length: rows per sequence.
      train_ratio: replayed rows per environment step.
      num_environments: environments acted for in one batched policy call.
      reward_scale: what rewards are multiplied by inside the update; replay and logs keep the
        environment's own. Chosen so that a typical reward has size 1.
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
    reward_scale: float = 1.0
    replay: ReplayConfig = ReplayConfig()
    world_model: WorldModelConfig = WorldModelConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    model_optimiser: OptimiserConfig = OptimiserConfig(1e-4, 1e-8, 1000.0)
    ssm_learning_rate: float = 1e-4
    actor_optimiser: OptimiserConfig = OptimiserConfig(3e-5, 1e-5, 100.0)
    critic_optimiser: OptimiserConfig = OptimiserConfig(3e-5, 1e-5, 100.0)

    def __post_init__(self):
        _require_positive(
            self,
            "batch_size",
            "train_ratio",
            "num_environments",
            "reward_scale",
            "ssm_learning_rate",
        )
        _require(self, "sequence_length", "it must be at least 2", self.sequence_length >= 2)
        stride = self.replay.stride
        _require(
            self,
            "sequence_length",
            f"it must be at least replay.stride={stride}, or rows would be left out of replay",
            stride <= self.sequence_length,
        )
        starts = self.behaviour.imagination_starts
        _require(
            self,
            "sequence_length",
            f"it must be at least behaviour.imagination_starts={starts}",
            starts is None or starts <= self.sequence_length,
        )
