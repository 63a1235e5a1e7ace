"""Named settings: each preset is a function that returns a config.

No preset knows its task. What a task decides (``reward_scale``, which brings its rewards to size
1) is set by who knows it: ``launch.options`` for the command.
"""

from __future__ import annotations

from collections.abc import Callable

from acme_r2i.agents.r2i.config import (
    BehaviourConfig,
    LossScales,
    MLPConfig,
    OptimiserConfig,
    R2IConfig,
    ReplayConfig,
    SSMConfig,
    WorldModelConfig,
)

Preset = Callable[[], R2IConfig]


def cpu() -> R2IConfig:
    """Small networks and short sequences: learns on two CPU cores in minutes.

    What differs from the paper in kind, all of it so that memory is clean from the start
    (docs/learning.md has the figures): ``unit_variance`` and larger steps make what the core
    remembers as large, at initialisation, as what it sees. Few categoricals that begin certain
    (``posterior_scale``) put little noise beside it, and leave the action a share of the core's
    input. The observation's weight of 10 makes z say what was seen: with 1, a KL of one nat costs
    more than the symlog error of a one-hot saves, and RepeatPrevious stalls near 0.8. The reward's
    of 10 keeps a reward that is rare, or already well predicted, from drowning among the others.
    A train ratio of 32, since with 64 the model learns the deals in replay by heart, and imagines
    from them.
    """
    mlp = MLPConfig(2, 128)
    return R2IConfig(
        batch_size=16,
        sequence_length=32,
        train_ratio=32.0,
        num_environments=8,
        replay=ReplayConfig(capacity_env_steps=1_000_000, min_env_steps=1024, stride=8),
        world_model=WorldModelConfig(
            stoch=2,
            classes=8,
            posterior_scale=6.0,
            deter=128,
            core=SSMConfig(
                layers=2,
                width=128,
                state_size=64,
                n_blocks=8,
                dt_min=0.01,
                dt_max=0.5,
                input_scaling="unit_variance",
            ),
            encoder=MLPConfig(1, 128),
            decoder=MLPConfig(1, 128),
            prior=MLPConfig(1, 128),
            reward=mlp,
            continue_prob=mlp,
            loss_scales=LossScales(observation=10.0, reward=10.0),
        ),
        behaviour=BehaviourConfig(imagination_starts=4, actor=mlp, critic=mlp, entropy_scale=3e-3),
        model_optimiser=OptimiserConfig(1e-3, 1e-8, 1000.0),
        ssm_learning_rate=1e-3,
        actor_optimiser=OptimiserConfig(3e-4, 1e-5, 100.0),
        critic_optimiser=OptimiserConfig(3e-4, 1e-5, 100.0),
    )


def tiny() -> R2IConfig:
    """As small as it gets: for tests, not for learning."""
    mlp = MLPConfig(1, 16)
    return R2IConfig(
        batch_size=4,
        sequence_length=8,
        train_ratio=8.0,
        num_environments=2,
        replay=ReplayConfig(capacity_env_steps=10_000, min_env_steps=64, stride=4),
        world_model=WorldModelConfig(
            stoch=4,
            classes=4,
            deter=16,
            core=SSMConfig(layers=2, width=16, state_size=8, n_blocks=2),
            encoder=mlp,
            decoder=mlp,
            prior=mlp,
            reward=mlp,
            continue_prob=mlp,
            reward_bins=41,
        ),
        behaviour=BehaviourConfig(
            horizon=4, imagination_starts=2, actor=mlp, critic=mlp, critic_bins=41
        ),
    )


def popgym() -> R2IConfig:
    """The paper's POPGym settings."""
    return R2IConfig(
        replay=ReplayConfig(capacity_env_steps=10_000_000, min_env_steps=8192, stride=256),
    )


def bsuite() -> R2IConfig:
    """The paper's BSuite settings."""
    return R2IConfig(
        batch_size=16,
        sequence_length=256,
        train_ratio=1024.0,
        num_environments=1,
        replay=ReplayConfig(capacity_env_steps=5_000_000, min_env_steps=1024, stride=64),
        world_model=WorldModelConfig(
            deter=512, core=SSMConfig(discretisation="zoh", initial_state="zeros")
        ),
    )


PRESETS: dict[str, Preset] = {"cpu": cpu, "tiny": tiny, "popgym": popgym, "bsuite": bsuite}
