"""Named settings, which stack: ``compose(["popgym", "dreamerv3", "small"])``.

There are three sorts. Whole ones set everything: the paper's benchmarks, as released, and some for
two CPU cores, tuned here (docs/fidelity.md has every difference). On top of one, ``dreamerv3``
makes its DreamerV3 twin, and a size sets the sizes of all networks; they are applied from left to
right.

No preset knows its task. What a task decides (``reward_scale``, which brings its rewards to size 1)
is set by who knows it: ``runs.options`` for the command.

Sources: arXiv 2403.04253, appendix, and the settings that were released with it; sizes as in arXiv
2301.04104, appendix.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from acme_r2i.agents.common.config import CNNConfig, MLPConfig, ReplayConfig, S5Config, SSMConfig
from acme_r2i.agents.r2i.config import (
    BehaviourConfig,
    CategoricalConfig,
    LossScales,
    OptimiserConfig,
    R2IConfig,
    WorldModelConfig,
)

Whole = Callable[[], R2IConfig]
Change = Callable[[R2IConfig], R2IConfig]


def compose(names: Sequence[str]) -> R2IConfig:
    """The settings of a whole preset, changed by those after it.

    Raises:
      ValueError: for an unknown name, or an order in which one of them would not count.
    """
    unknown = [name for name in names if name not in PRESETS]
    if unknown or not names:
        given = f"unknown preset {unknown[0]!r}" if unknown else "no preset is given"
        raise ValueError(f"{given}; presets: {', '.join(PRESETS)}")
    first, *changes = names
    if first not in WHOLE:
        raise ValueError(
            f"preset {first!r} changes another, and cannot come first; first is one of "
            f"{', '.join(WHOLE)}"
        )
    config = WHOLE[first]()
    for name in changes:
        if name not in CHANGES:
            raise ValueError(
                f"preset {name!r} sets everything, and would undo {first!r} before it; what "
                f"follows is one of {', '.join(CHANGES)}"
            )
        config = CHANGES[name](config)
    return config


# The paper's benchmarks.


def bsuite() -> R2IConfig:
    """As released: the paper's BSuite settings."""
    vector = MLPConfig(5, 1024)
    return R2IConfig(
        batch_size=16,
        sequence_length=256,
        train_ratio=1024.0,
        num_environments=1,
        replay=ReplayConfig(capacity_env_steps=5_000_000, min_env_steps=4096, stride=64),
        world_model=WorldModelConfig(
            deter=512,
            core=S5Config(discretisation="zoh", initial_state="zeros"),
            initial_stoch="zeros",
            encoder=vector,
            decoder=vector,
        ),
    )


def popgym() -> R2IConfig:
    """As released: the paper's POPGym settings."""
    return R2IConfig(
        replay=ReplayConfig(capacity_env_steps=10_000_000, min_env_steps=32_768, stride=256)
    )


def memory_maze() -> R2IConfig:
    """As released: the paper's Memory Maze settings, 64 x 64 images."""
    mlp, hidden = MLPConfig(4, 1024), MLPConfig(1, 1024)
    return R2IConfig(
        num_environments=40,
        replay=ReplayConfig(capacity_env_steps=10_000_000, min_env_steps=81_920, stride=256),
        world_model=WorldModelConfig(
            deter=2048,
            core=S5Config(layers=5, width=1024, state_size=512),
            encoder=MLPConfig(4, 400),
            cnn=CNNConfig(48),
            posterior=hidden,
            decoder=MLPConfig(4, 400),
            prior=hidden,
            reward=mlp,
            continue_prob=mlp,
            loss_scales=LossScales(dynamics=0.8, representation=0.2),
        ),
        behaviour=BehaviourConfig(
            policy_inputs="full_state", actor=mlp, critic=mlp, entropy_scale=1e-3
        ),
        model_optimiser=OptimiserConfig(3e-4, 1e-8, 200.0, weight_decay=1e-2),
        ssm_learning_rate=3e-4,
        actor_optimiser=OptimiserConfig(1e-4, 1e-5, 200.0),
        critic_optimiser=OptimiserConfig(1e-4, 1e-5, 100.0),
    )


def atari100k() -> R2IConfig:
    """As released: the paper's Atari 100K settings, 64 x 64 colour images, action repeat 4."""
    config = _control()
    replay = dataclasses.replace(config.replay, min_env_steps=4096)
    return dataclasses.replace(config, train_ratio=1024.0, num_environments=1, replay=replay)


def dmc_proprio() -> R2IConfig:
    """As released: the paper's DeepMind Control settings, from state; action repeat 2."""
    config = _control()
    vector = MLPConfig(5, 1024)
    model = dataclasses.replace(config.world_model, encoder=vector, decoder=vector)
    return dataclasses.replace(config, world_model=model)


def dmc_vision() -> R2IConfig:
    """As released: the paper's DeepMind Control settings, 64 x 64 images; action repeat 2."""
    return _control()


def _control() -> R2IConfig:
    """What Atari 100K and DeepMind Control share."""
    return R2IConfig(
        train_ratio=512.0,
        num_environments=4,
        replay=ReplayConfig(capacity_env_steps=10_000_000, min_env_steps=16_384, stride=256),
        world_model=WorldModelConfig(deter=512, core=S5Config(layers=4), cnn=CNNConfig(32)),
        behaviour=BehaviourConfig(policy_inputs="full_state"),
    )


# For two CPU cores.


def cpu() -> R2IConfig:
    """Tuned here: small networks, short sequences; learns on two CPU cores in minutes.

    What differs from the paper in kind, all of it so that memory is clean from the start
    (docs/log/learning.md has the figures): ``unit_variance`` and larger steps make what the core
    remembers as large, at initialisation, as what it sees. Few categoricals that begin certain
    (``posterior_scale``) put little noise beside it, and leave the action a share of the core's
    input. The observation's weight of 10 makes z say what was seen: with 1, a KL of one nat costs
    more than the symlog error of a one-hot saves, and RepeatPrevious stalls near 0.8. The reward's
    of 10 keeps a reward that is rare, or already well predicted, from drowning among the others.
    A train ratio of 32, since with 64 the model learns the deals in replay by heart, and imagines
    from them.
    """
    mlp, hidden = MLPConfig(2, 128), MLPConfig(1, 128)
    return R2IConfig(
        batch_size=16,
        sequence_length=32,
        train_ratio=32.0,
        num_environments=8,
        replay=ReplayConfig(stride=8),
        world_model=WorldModelConfig(
            latent=CategoricalConfig(stoch=2, classes=8, posterior_scale=6.0),
            deter=128,
            core=S5Config(
                layers=2,
                width=128,
                state_size=64,
                dt_min=0.01,
                dt_max=0.5,
                B_init="fan_in",
                C_init="fan_in",
                input_scaling="unit_variance",
                input_layer="linear",
                output_layer="linear",
            ),
            initial_stoch="zeros",
            encoder=hidden,
            cnn=CNNConfig(8),
            posterior=MLPConfig(0, 128),
            decoder=hidden,
            prior=hidden,
            reward=mlp,
            continue_prob=mlp,
            loss_scales=LossScales(observation=10.0, reward=10.0),
        ),
        behaviour=BehaviourConfig(
            imagination_starts=4,
            imagined_continue="probability",
            actor=mlp,
            actor_output_scale=0.0,
            critic=mlp,
            entropy_scale=3e-3,
        ),
        model_optimiser=OptimiserConfig(1e-3, 1e-8, 1000.0),
        ssm_learning_rate=1e-3,
        actor_optimiser=OptimiserConfig(3e-4, 1e-5, 100.0),
        critic_optimiser=OptimiserConfig(3e-4, 1e-5, 100.0),
    )


def memory() -> R2IConfig:
    """Tuned here: the same settings for every memory task; small networks, for CPU cores.

    What differs from ``cpu`` (docs/studies/memory.md): the heads and the actor see x,
    where what is remembered is, so a reward and how to earn it can be learned before h shows it.
    The reward's loss is divided by its own value and rewards by their running size, so neither
    depends on how much or how often a task pays. S5's steps cover time scales from 7 to 2,000
    rows. Sequences of 256 rows hold whole episodes, or what a reward was paid for. The
    representation is held less to what the prior expects. Returns are not divided by their range,
    and the entropy bonus is large: where no action matters the policy then stays random, and what
    it sees stays what the model was trained on (with 0.003 memory_len was lost again and again).
    """
    config = mini(cpu())
    model = config.world_model
    model = dataclasses.replace(
        model,
        core=dataclasses.replace(
            model.core, state_size=256, conj_sym=True, n_blocks=4, dt_min=0.001, dt_max=0.3
        ),
        head_inputs="full_state",
        loss_scales=dataclasses.replace(model.loss_scales, representation=0.03),
        reward_loss_floor=0.003,
    )
    return dataclasses.replace(
        config,
        batch_size=4,
        sequence_length=256,
        reward_scale=None,
        replay=ReplayConfig(stride=64),
        behaviour=dataclasses.replace(
            config.behaviour,
            policy_inputs="full_state",
            imagination_starts=16,
            entropy_scale=0.1,
            return_percentiles=None,
        ),
        world_model=model,
    )


def cpu_control() -> R2IConfig:
    """Tuned here: ``cpu`` for control and small images; larger z, the paper's loss weights."""
    config = cpu()
    model = dataclasses.replace(
        config.world_model, latent=CategoricalConfig(8, 8), loss_scales=LossScales()
    )
    return dataclasses.replace(
        config,
        train_ratio=128.0,
        world_model=model,
        behaviour=dataclasses.replace(
            config.behaviour, policy_inputs="full_state", imagination_starts=8, entropy_scale=1e-3
        ),
    )


def debug() -> R2IConfig:
    """As small as it gets: for tests, not for learning."""
    mlp = MLPConfig(1, 16)
    return R2IConfig(
        batch_size=4,
        sequence_length=8,
        train_ratio=8.0,
        num_environments=2,
        replay=ReplayConfig(capacity_env_steps=10_000, min_env_steps=64, stride=4),
        world_model=WorldModelConfig(
            latent=CategoricalConfig(stoch=4, classes=4),
            deter=16,
            core=S5Config(layers=2, width=16, state_size=8, n_blocks=2),
            encoder=mlp,
            cnn=CNNConfig(4),
            posterior=MLPConfig(0, 16),
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


# The baseline.


def dreamerv3(config: R2IConfig) -> R2IConfig:
    """The DreamerV3 twin: GRU, recurrent representation, policy on the output state (z, h)."""
    model = config.world_model
    core = model.core.as_kind("gru")
    units = model.posterior.units
    model = dataclasses.replace(
        model,
        head_inputs="output_state",
        representation="recurrent",
        posterior=MLPConfig(1, units),
        core=core,
    )
    behaviour = dataclasses.replace(config.behaviour, policy_inputs="output_state")
    return dataclasses.replace(config, world_model=model, behaviour=behaviour)


# Sizes.


def mini(config: R2IConfig) -> R2IConfig:
    """Size: h of 64, networks of 2 x 64."""
    return _resized(config, deter=64, units=64, layers=2, depth=8, width=64, state_size=64)


def tiny(config: R2IConfig) -> R2IConfig:
    """Size: h of 200, networks of 2 x 200."""
    return _resized(config, deter=200, units=200, layers=2, depth=32, width=200, state_size=64)


def small(config: R2IConfig) -> R2IConfig:
    """Size: h of 512, networks of 2 x 512."""
    return _resized(config, deter=512, units=512, layers=2, depth=32, width=512, state_size=128)


def medium(config: R2IConfig) -> R2IConfig:
    """Size: h of 1024, networks of 3 x 640."""
    return _resized(config, deter=1024, units=640, layers=3, depth=48, width=640, state_size=256)


def large(config: R2IConfig) -> R2IConfig:
    """Size: h of 2048, networks of 4 x 768."""
    return _resized(config, deter=2048, units=768, layers=4, depth=64, width=768, state_size=384)


def xlarge(config: R2IConfig) -> R2IConfig:
    """Size: h of 4096, networks of 5 x 1024."""
    return _resized(config, deter=4096, units=1024, layers=5, depth=96, width=1024, state_size=512)


def _resized(
    config: R2IConfig,
    *,
    deter: int,
    units: int,
    layers: int,
    depth: int,
    width: int,
    state_size: int,
) -> R2IConfig:
    """Other sizes for every network; z, the number of SSM layers and all else stay.

    An SSM's state shrinks only where the networks do.
    """
    model, behaviour = config.world_model, config.behaviour
    core = dataclasses.replace(model.core, width=width)
    if isinstance(core, SSMConfig):
        shrinks = units < model.reward.units
        state_size = state_size if shrinks else max(core.state_size, state_size)
        core = dataclasses.replace(core, state_size=state_size)
    mlp, hidden = MLPConfig(layers, units), MLPConfig(1, units)
    model = dataclasses.replace(
        model,
        deter=deter,
        core=core,
        encoder=mlp,
        cnn=CNNConfig(depth),
        posterior=MLPConfig(model.posterior.layers, units),
        decoder=mlp,
        prior=hidden,
        reward=mlp,
        continue_prob=mlp,
    )
    behaviour = dataclasses.replace(behaviour, actor=mlp, critic=mlp)
    return dataclasses.replace(config, world_model=model, behaviour=behaviour)


WHOLE: dict[str, Whole] = {
    "bsuite": bsuite,
    "popgym": popgym,
    "memory_maze": memory_maze,
    "atari100k": atari100k,
    "dmc_proprio": dmc_proprio,
    "dmc_vision": dmc_vision,
    "cpu": cpu,
    "memory": memory,
    "cpu_control": cpu_control,
    "debug": debug,
}
CHANGES: dict[str, Change] = {
    "dreamerv3": dreamerv3,
    "mini": mini,
    "tiny": tiny,
    "small": small,
    "medium": medium,
    "large": large,
    "xlarge": xlarge,
}
PRESETS: dict[str, Whole | Change] = {**WHOLE, **CHANGES}
