"""Configuration: what is refused, in which words, and that it survives JSON."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from acme_r2i.agents.r2i import config as config_lib
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

REFUSED = [
    (MLPConfig, "layers", -1, "at least 0"),
    (MLPConfig, "units", 0, "above 0"),
    (SSMConfig, "layers", 0, "above 0"),
    (SSMConfig, "width", -8, "above 0"),
    (SSMConfig, "state_size", 0, "above 0"),
    (SSMConfig, "state_size", 100, "multiple of n_blocks=8"),
    (SSMConfig, "n_blocks", 0, "above 0"),
    (SSMConfig, "dt_min", 0.0, "above 0"),
    (SSMConfig, "dt_max", -0.1, "above 0"),
    (SSMConfig, "dt_max", 0.0001, "at least dt_min=0.001"),
    (SSMConfig, "discretisation", "euler", "bilinear, zoh"),
    (SSMConfig, "C_init", "zeros", "lecun_normal, truncated_normal, complex_normal"),
    (SSMConfig, "initial_state", "ones", "learned, zeros"),
    (SSMConfig, "input_scaling", "half", "none, unit_variance"),
    (SSMConfig, "norm", "batch", "post, pre"),
    (SSMConfig, "scan_form", "fast", "parallel, sequential"),
    (SSMConfig, "dropout", 1.0, "[0, 1)"),
    (SSMConfig, "dropout", -0.1, "[0, 1)"),
    *[(LossScales, f.name, -0.5, "at least 0") for f in dataclasses.fields(LossScales)],
    (WorldModelConfig, "stoch", 0, "above 0"),
    (WorldModelConfig, "classes", 1, "at least 2"),
    (WorldModelConfig, "unimix", 1.1, "[0, 1]"),
    (WorldModelConfig, "posterior_scale", 0.0, "above 0"),
    (WorldModelConfig, "deter", 0, "above 0"),
    (WorldModelConfig, "reward_bins", 254, "odd"),
    (WorldModelConfig, "reward_bins", 1, "at least 3"),
    (WorldModelConfig, "free_nats", -1.0, "at least 0"),
    (WorldModelConfig, "action_clip", 0.0, "above 0"),
    (BehaviourConfig, "policy_inputs", "everything", "output_state, hidden_state, full_state"),
    (BehaviourConfig, "horizon", 0, "above 0"),
    (BehaviourConfig, "imagination_starts", 0, "above 0, or None"),
    (BehaviourConfig, "discount", 1.5, "[0, 1]"),
    (BehaviourConfig, "lambda_", -0.1, "[0, 1]"),
    (BehaviourConfig, "critic_bins", 10, "odd"),
    (BehaviourConfig, "unimix", -0.1, "[0, 1]"),
    (BehaviourConfig, "entropy_scale", -1e-3, "at least 0"),
    (BehaviourConfig, "return_decay", 2.0, "[0, 1]"),
    (BehaviourConfig, "return_percentiles", (95.0, 5.0), "low < high"),
    (BehaviourConfig, "return_percentiles", (5.0, 101.0), "high <= 100"),
    (BehaviourConfig, "return_floor", 0.0, "above 0"),
    (BehaviourConfig, "slow_critic_fraction", 1.2, "[0, 1]"),
    (BehaviourConfig, "slow_critic_scale", -1.0, "at least 0"),
    (OptimiserConfig, "learning_rate", 0.0, "above 0"),
    (OptimiserConfig, "eps", 0.0, "above 0"),
    (OptimiserConfig, "clip", -1.0, "above 0"),
    (OptimiserConfig, "weight_decay", -1e-2, "at least 0"),
    (OptimiserConfig, "warmup_learner_steps", -1, "at least 0"),
    (ReplayConfig, "capacity_env_steps", 0, "above 0"),
    (ReplayConfig, "min_env_steps", 0, "above 0"),
    (ReplayConfig, "min_env_steps", 2_000_000, "at most capacity_env_steps=1000000"),
    (ReplayConfig, "stride", 0, "above 0"),
    (R2IConfig, "batch_size", 0, "above 0"),
    (R2IConfig, "sequence_length", 1, "at least 2"),
    (R2IConfig, "train_ratio", 0.0, "above 0"),
    (R2IConfig, "num_environments", 0, "above 0"),
    (R2IConfig, "reward_scale", 0.0, "above 0"),
    (R2IConfig, "ssm_learning_rate", -1e-4, "above 0"),
]
NEEDED = {OptimiserConfig: dict(learning_rate=1e-3, eps=1e-8, clip=1.0)}


@pytest.mark.parametrize(
    ("kind", "field", "value", "allowed"),
    [pytest.param(*case, id=f"{case[0].__name__}.{case[1]}={case[2]}") for case in REFUSED],
)
def test_a_wrong_value_is_refused_with_field_value_and_what_is_allowed(kind, field, value, allowed):
    with pytest.raises(ValueError) as error:
        kind(**{**NEEDED.get(kind, {}), field: value})
    message = str(error.value)
    assert "\n" not in message
    assert f"{kind.__name__}.{field}={value!r}" in message
    assert allowed in message


def test_every_field_with_a_limit_is_tried_above():
    free = {"conj_sym", "clip_eigs", "glu"}
    for kind in {case[0] for case in REFUSED}:
        tried = {field for other, field, *_ in REFUSED if other is kind}
        for field in dataclasses.fields(kind):
            nested = dataclasses.is_dataclass(getattr(config_lib, str(field.type), None))
            assert nested or field.name in tried | free, f"{kind.__name__}.{field.name}"


def test_conj_sym_needs_even_blocks():
    SSMConfig(state_size=24, n_blocks=8)
    with pytest.raises(ValueError, match="SSMConfig.state_size=24 .* even size, with conj_sym"):
        SSMConfig(state_size=24, n_blocks=8, conj_sym=True)


def test_imagination_cannot_start_from_more_rows_than_there_are():
    behaviour = BehaviourConfig(imagination_starts=9)
    replay = ReplayConfig(stride=1)
    R2IConfig(sequence_length=9, behaviour=behaviour, replay=replay)
    with pytest.raises(ValueError, match=re.escape("at least behaviour.imagination_starts=9")):
        R2IConfig(sequence_length=8, behaviour=behaviour, replay=replay)


def test_no_rows_may_be_left_between_two_sequences():
    replay = ReplayConfig(stride=9)
    R2IConfig(sequence_length=9, replay=replay)
    with pytest.raises(ValueError, match=re.escape("sequence_length=8 is not allowed")) as refused:
        R2IConfig(sequence_length=8, replay=replay)
    assert "at least replay.stride=9" in str(refused.value)


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        R2IConfig().batch_size = 3


def test_as_json_and_back():
    written = json.loads(json.dumps(dataclasses.asdict(R2IConfig())))

    def read(kind, values):
        fields = {f.name: getattr(config_lib, str(f.type), None) for f in dataclasses.fields(kind)}
        nested = {name: each for name, each in fields.items() if dataclasses.is_dataclass(each)}
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        inner = {name: read(nested[name], values[name]) for name in nested}
        return kind(**{**values, **lists, **inner})

    assert read(R2IConfig, written) == R2IConfig()
