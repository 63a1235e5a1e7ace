"""Configuration: what is refused, in which words, and that it survives JSON."""

from __future__ import annotations

import dataclasses
import json
import re
import typing

import pytest

from acme_r2i.agents.common.config import (
    CNNConfig,
    CoreConfig,
    GRUConfig,
    HybridConfig,
    LSTMConfig,
    MLPConfig,
    ReplayConfig,
    S4Config,
    S4DConfig,
    S5Config,
    from_dict,
)
from acme_r2i.agents.r2i.config import (
    BehaviourConfig,
    CategoricalConfig,
    GaussianConfig,
    LossScales,
    OptimiserConfig,
    R2IConfig,
    WorldModelConfig,
)

REFUSED = [
    (MLPConfig, "layers", -1, "at least 0"),
    (MLPConfig, "units", 0, "above 0"),
    (CNNConfig, "depth", 0, "above 0"),
    *[
        (kind, field, value, allowed)
        for kind in (S5Config, S4DConfig, S4Config, HybridConfig)
        for field, value, allowed in (
            ("layers", 0, "above 0"),
            ("width", -8, "above 0"),
            ("state_size", 0, "above 0"),
            ("dt_min", 0.0, "above 0"),
            ("dt_max", -0.1, "above 0"),
            ("dt_max", 0.0001, "at least dt_min=0.001"),
            ("initial_state", "ones", "learned, zeros"),
            ("norm", "batch", "post, pre"),
            ("input_layer", "mlp", "normed, linear"),
            ("output_layer", "gelu", "silu, linear"),
            ("scan_form", "fast", "auto, parallel, sequential"),
            ("dropout", 1.0, "[0, 1)"),
            ("dropout", -0.1, "[0, 1)"),
        )
    ],
    *[
        (kind, field, value, allowed)
        for kind in (S5Config, HybridConfig)
        for field, value, allowed in (
            ("state_size", 100, "multiple of n_blocks=8"),
            ("n_blocks", 0, "above 0"),
            ("discretisation", "euler", "bilinear, zoh"),
            ("B_init", "zeros", "lecun_normal, fan_in"),
            ("C_init", "zeros", "lecun_normal, fan_in, complex_normal"),
            ("input_scaling", "half", "none, unit_variance"),
        )
    ],
    (S4DConfig, "state_size", 7, "even, with conj_sym"),
    (S4DConfig, "spectrum", "random", "legs, lin, inv"),
    (S4DConfig, "discretisation", "euler", "bilinear, zoh"),
    (S4DConfig, "input_scaling", "half", "none, unit_variance"),
    (GRUConfig, "width", 0, "above 0"),
    (GRUConfig, "initial_state", "ones", "learned, zeros"),
    (HybridConfig, "window", 1, "at least 2"),
    (HybridConfig, "heads", 0, "above 0"),
    (HybridConfig, "head_size", -1, "above 0"),
    (LSTMConfig, "initial_state", "ones", "learned, zeros"),
    (CategoricalConfig, "stoch", 0, "above 0"),
    (CategoricalConfig, "classes", 1, "at least 2"),
    (CategoricalConfig, "unimix", 1.1, "[0, 1]"),
    (CategoricalConfig, "posterior_scale", 0.0, "above 0"),
    (GaussianConfig, "stoch", 0, "above 0"),
    (GaussianConfig, "min_std", 0.0, "above 0"),
    *[(LossScales, f.name, -0.5, "at least 0") for f in dataclasses.fields(LossScales)],
    (WorldModelConfig, "representation", "partial", "non_recurrent, recurrent"),
    (WorldModelConfig, "initial_stoch", "ones", "prior, zeros"),
    (WorldModelConfig, "vector_keys", "(", "regular expression"),
    (WorldModelConfig, "image_keys", "*", "regular expression"),
    (WorldModelConfig, "deter", 0, "above 0"),
    (WorldModelConfig, "reward_bins", 254, "odd"),
    (WorldModelConfig, "reward_bins", 1, "at least 3"),
    (WorldModelConfig, "free_nats", -1.0, "at least 0"),
    (WorldModelConfig, "action_clip", 0.0, "above 0"),
    (WorldModelConfig, "head_inputs", "x", "output_state, hidden_state, full_state"),
    (WorldModelConfig, "reward_loss_floor", 0.0, "above 0, or None"),
    (BehaviourConfig, "policy_inputs", "everything", "output_state, hidden_state, full_state"),
    (BehaviourConfig, "horizon", 0, "above 0"),
    (BehaviourConfig, "imagination_starts", 0, "above 0, or None"),
    (BehaviourConfig, "discount", 1.5, "[0, 1]"),
    (BehaviourConfig, "lambda_", -0.1, "[0, 1]"),
    (BehaviourConfig, "imagined_continue", "mean", "mode, probability"),
    (BehaviourConfig, "actor_output_scale", -1.0, "at least 0"),
    (BehaviourConfig, "critic_bins", 10, "odd"),
    (BehaviourConfig, "unimix", -0.1, "[0, 1]"),
    (BehaviourConfig, "std_range", (0.0, 1.0), "0 < low <= high"),
    (BehaviourConfig, "std_range", (1.0, 0.5), "0 < low <= high"),
    (BehaviourConfig, "actor_gradient", "both", "auto, reinforce, reparameterised"),
    (BehaviourConfig, "entropy_scale", -1e-3, "at least 0"),
    (BehaviourConfig, "return_decay", 2.0, "[0, 1]"),
    (BehaviourConfig, "return_percentiles", (95.0, 5.0), "low < high"),
    (BehaviourConfig, "return_percentiles", (5.0, 101.0), "high <= 100, or be None"),
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
    (R2IConfig, "reward_scale", 0.0, "above 0, or None"),
    (R2IConfig, "precision", "float16", "float32, bfloat16"),
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
    free = {"kind", "conj_sym", "clip_eigs", "glu"}
    for kind in {case[0] for case in REFUSED}:
        tried = {field for other, field, *_ in REFUSED if other is kind}
        for field, annotation in typing.get_type_hints(kind).items():
            nested = dataclasses.is_dataclass(annotation) or field == "family"
            assert nested or field in tried | free, f"{kind.__name__}.{field}"


def test_conj_sym_needs_even_blocks():
    S5Config(state_size=24, n_blocks=8)
    with pytest.raises(ValueError, match="S5Config.state_size=24 .* even size, with conj_sym"):
        S5Config(state_size=24, n_blocks=8, conj_sym=True)


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


def test_dropout_needs_a_representation_that_is_not_recurrent():
    core = S5Config(dropout=0.1)
    WorldModelConfig(core=core)
    with pytest.raises(ValueError, match="representation='recurrent' .* core.dropout=0.1"):
        WorldModelConfig(core=core, representation="recurrent")


# Settings that come in kinds.


def test_a_kind_keeps_what_both_kinds_have():
    core = S5Config(
        layers=1, width=24, state_size=16, n_blocks=2, dropout=0.5, C_init="complex_normal"
    )
    assert core.as_kind("s4d") == S4DConfig(
        layers=1, width=24, state_size=16, dropout=0.5, conj_sym=False
    )
    assert core.as_kind("gru") == GRUConfig(width=24)
    assert core.as_kind("s5") is core
    hybrid = core.as_kind("hybrid")
    assert isinstance(hybrid, HybridConfig) and hybrid.as_kind("s5") == core
    assert GaussianConfig(stoch=7).as_kind("categorical") == CategoricalConfig(stoch=7)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="S5Config.kind='rnn' .* one of s5, s4d, s4, gru"):
        S5Config().as_kind("rnn")
    # A latent is no core.
    with pytest.raises(ValueError, match="one of categorical, gaussian"):
        CategoricalConfig().as_kind("s5")


def test_what_a_kind_does_not_allow_is_refused_when_it_is_chosen():
    with pytest.raises(ValueError, match="S4DConfig.state_size=15 .* even"):
        S4Config(state_size=15).as_kind("s4d")


# As plain data.


@pytest.mark.parametrize("core", CoreConfig.family)
@pytest.mark.parametrize("latent", ["categorical", "gaussian"])
def test_as_json_and_back(core, latent):
    model = WorldModelConfig(
        core=S5Config(layers=5).as_kind(core), latent=CategoricalConfig(stoch=6).as_kind(latent)
    )
    config = R2IConfig(batch_size=3, world_model=model)
    written = json.dumps(dataclasses.asdict(config))
    assert from_dict(json.loads(written), R2IConfig) == config


def test_plain_data_that_is_none_of_ours_is_refused():
    written = dataclasses.asdict(R2IConfig())
    with pytest.raises(ValueError, match="R2IConfig has no field 'colour'"):
        from_dict({**written, "colour": "red"}, R2IConfig)
    fewer = {name: value for name, value in written.items() if name != "train_ratio"}
    with pytest.raises(ValueError, match="R2IConfig lacks a value of its field 'train_ratio'"):
        from_dict(fewer, R2IConfig)
    replay = {"capacity_env_steps": 10, "min_env_steps": 1}
    with pytest.raises(ValueError, match="ReplayConfig lacks a value of its field 'stride'"):
        from_dict({**written, "replay": replay}, R2IConfig)
    with pytest.raises(ValueError, match="CoreConfig has no kind None"):
        from_dict({**written, "world_model": {**written["world_model"], "core": {}}}, R2IConfig)
    model = {**written["world_model"], "core": {"kind": "rnn"}}
    with pytest.raises(ValueError, match="CoreConfig has no kind 'rnn': s5, s4d, s4, gru"):
        from_dict({**written, "world_model": model}, R2IConfig)
