"""Settings of R2D2, in the same units as R2I's, and its presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from acme_r2i.agents.common.checks import (
    require,
    require_fraction,
    require_non_negative,
    require_positive,
)
from acme_r2i.agents.common.config import CNNConfig, CoreConfig, MLPConfig, ReplayConfig, S5Config


@dataclasses.dataclass(frozen=True)
class R2D2Config:
    """All settings of the agent.

    A stored sequence has ``burn_in_length + trace_length + 1`` rows: those that only bring the
    stored core state up to date, those that are learned from, and one to bootstrap from.

    Attributes:
      batch_size: sequences per update.
      burn_in_length: rows at the start of a sequence that only warm the core up. The same many
        rows of every episode are never learned from, so it must be small where episodes are short.
      trace_length: rows per sequence that are learned from.
      train_ratio: replayed rows per environment step.
      num_environments: environments acted for in one batched policy call.
      reward_scale: what rewards are multiplied by before the agent sees them; logs keep the
        environment's own. Chosen so that a typical reward has size 1.
      replay: the replay buffer; sequences start at the first row of an episode and every
        ``stride`` rows after it.
      encoder: MLP on the observed vector.
      cnn: encoder of images.
      core: the sequence core; its initial state must be zeros, and it has no dropout.
      core_size: features that come out of the core; with gru and lstm also the size of its state.
      head: MLP from the core to the values of actions; with ``dueling`` each of two.
      dueling: add a value of the state and advantages of actions (arXiv 1511.06581).
      discount: gamma per environment step of the agent.
      bootstrap_n: rewards of an n-step return.
      value_rescaling: learn the signed hyperbolic transform of values (arXiv 1805.11593).
      learning_rate: Adam's step size.
      target_update_period_learner_steps: updates between copies to the target network.
      num_epsilons: how many exploration rates there are, from 0.4 down to 0.4^8 in equal ratios;
        every episode draws one of them. Their mean is 0.06, and episodes are logged with it.
      priority_exponent: how strongly a sequence's error decides how often it is sampled.
      importance_sampling_exponent: how much of that the loss takes back.
      max_priority_weight: share of a sequence's largest error in its priority; the rest is the
        mean error's.
    """

    batch_size: int = 32
    burn_in_length: int = 0
    trace_length: int = 32
    train_ratio: float = 256.0
    num_environments: int = 8
    reward_scale: float = 1.0
    replay: ReplayConfig = ReplayConfig(capacity_env_steps=500_000)
    encoder: MLPConfig = MLPConfig(1, 64)
    cnn: CNNConfig = CNNConfig(16)
    core: CoreConfig = S5Config(
        layers=2,
        width=64,
        state_size=64,
        dt_min=0.01,
        dt_max=0.5,
        B_init="fan_in",
        C_init="fan_in",
        initial_state="zeros",
        input_scaling="unit_variance",
        input_layer="linear",
        output_layer="linear",
    )
    core_size: int = 64
    head: MLPConfig = MLPConfig(1, 64)
    dueling: bool = True
    discount: float = 0.99
    bootstrap_n: int = 5
    value_rescaling: bool = False
    learning_rate: float = 1e-3
    target_update_period_learner_steps: int = 100
    num_epsilons: int = 256
    priority_exponent: float = 0.9
    importance_sampling_exponent: float = 0.6
    max_priority_weight: float = 0.9

    def __post_init__(self):
        require_positive(
            self,
            "batch_size",
            "trace_length",
            "train_ratio",
            "num_environments",
            "reward_scale",
            "core_size",
            "bootstrap_n",
            "learning_rate",
            "target_update_period_learner_steps",
            "num_epsilons",
        )
        require_non_negative(
            self, "burn_in_length", "priority_exponent", "importance_sampling_exponent"
        )
        require_fraction(self, "discount", "max_priority_weight")
        require(
            self,
            "trace_length",
            f"it must be at least replay.stride={self.replay.stride}, or rows would never be "
            "learned from",
            self.trace_length >= self.replay.stride,
        )
        require(
            self,
            "core",
            "its initial_state must be zeros: R2D2 starts from stored states, through which "
            "nothing is learned",
            self.core.initial_state == "zeros",
        )
        require(
            self,
            "core",
            "its dropout must be 0: R2D2 has none",
            self.core.dropout == 0.0,
        )

    @property
    def sequence_length(self) -> int:
        """Rows of a stored sequence."""
        return self.burn_in_length + self.trace_length + 1

    @property
    def first_env_steps(self) -> int:
        """Environment steps after which an update finds what it needs in replay.

        By then each environment has stored a sequence: its first one is stored after
        ``sequence_length`` steps of an episode or when the episode ends, whichever comes first.
        """
        return max(self.replay.min_env_steps, self.num_environments * (self.sequence_length + 1))


def cpu() -> R2D2Config:
    """Small networks and short sequences: learns on two CPU cores in minutes.

    What differs from Acme in kind: one-step returns, a short horizon and little prioritisation. On
    RepeatPreviousEasy, where an action counts for one reward, an LSTM with 5-step returns of
    discount 0.99 and Acme's priorities stays at a return of -0.2, as its errors are mostly about
    rewards to come; with 3 steps and 0.9 it stays at 0.05, with these it reaches 0.9 in 11,000
    environment steps, and s5 in 9,000 (docs/ssm_block.md). A task that pays long after the action
    that earns it needs another ``discount``.
    """
    return R2D2Config(
        discount=0.9, bootstrap_n=1, priority_exponent=0.3, importance_sampling_exponent=0.3
    )


def debug() -> R2D2Config:
    """As small as it gets: for tests, not for learning."""
    mlp = MLPConfig(1, 16)
    return R2D2Config(
        batch_size=4,
        burn_in_length=2,
        trace_length=5,
        train_ratio=8.0,
        num_environments=2,
        replay=ReplayConfig(capacity_env_steps=10_000, min_env_steps=64, stride=4),
        encoder=mlp,
        cnn=CNNConfig(4),
        core=S5Config(layers=2, width=16, state_size=8, n_blocks=2, initial_state="zeros"),
        core_size=16,
        head=mlp,
        target_update_period_learner_steps=5,
    )


PRESETS: dict[str, Callable[[], R2D2Config]] = {"cpu": cpu, "debug": debug}
