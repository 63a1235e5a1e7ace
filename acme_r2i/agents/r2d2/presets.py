"""Named settings of R2D2. None knows its task; see ``agents.r2i.presets``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from acme_r2i.agents.common.config import CNNConfig, MLPConfig, ReplayConfig, S5Config
from acme_r2i.agents.r2d2.config import R2D2Config


def compose(names: Sequence[str]) -> R2D2Config:
    """The settings of a preset; each is whole, so there can be only one.

    Raises:
      ValueError: for an unknown name, or several.
    """
    if len(names) != 1 or names[0] not in PRESETS:
        given = f"unknown preset {names[0]!r}" if len(names) == 1 else "one preset is needed"
        raise ValueError(f"{given}; presets: {', '.join(PRESETS)}")
    return PRESETS[names[0]]()


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
