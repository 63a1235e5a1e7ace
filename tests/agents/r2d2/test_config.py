"""Settings: what is refused, what each means to Acme, and what follows from them."""

import dataclasses

import pytest
import rlax

from acme_r2i.agents.common.config import CoreConfig, LSTMConfig, ReplayConfig, S5Config
from acme_r2i.agents.r2d2.config import PRESETS, R2D2Config

ABOVE_0 = (
    *("batch_size", "trace_length", "train_ratio", "num_environments", "reward_scale"),
    *("core_size", "bootstrap_n", "learning_rate", "target_update_period_learner_steps"),
    "num_epsilons",
)
REFUSED = [
    *[(field, 0, "above 0") for field in ABOVE_0],
    ("burn_in_length", -1, "at least 0"),
    ("priority_exponent", -0.1, "at least 0"),
    ("importance_sampling_exponent", -0.1, "at least 0"),
    ("discount", 1.1, r"in \[0, 1\]"),
    ("max_priority_weight", -0.1, r"in \[0, 1\]"),
    ("trace_length", 15, "at least replay.stride=16"),
    ("core", LSTMConfig(), "initial_state must be zeros"),
    ("core", S5Config(initial_state="zeros", dropout=0.1), "dropout must be 0"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), REFUSED)
def test_a_wrong_value_is_refused(field, value, allowed):
    with pytest.raises(ValueError, match=rf"^R2D2Config\.{field}=.*{allowed}"):
        R2D2Config(**{field: value})


def test_every_field_with_a_limit_is_tried_above():
    free = {"replay", "encoder", "cnn", "head", "dueling", "value_rescaling"}
    fields = {field.name for field in dataclasses.fields(R2D2Config)}
    assert fields - {field for field, *_ in REFUSED} == free


@pytest.mark.parametrize("preset", PRESETS.values())
@pytest.mark.parametrize("core", CoreConfig.family)
def test_a_preset_takes_every_core(preset, core):
    config = preset()
    assert dataclasses.replace(config, core=config.core.as_kind(core)).core.kind == core


def test_sequences_are_those_that_acme_makes():
    config = R2D2Config(burn_in_length=3, trace_length=20)
    assert config.sequence_length == 24
    assert config.first_env_steps == 1024
    assert dataclasses.replace(config, num_environments=100).first_env_steps == 2500


def test_acme_gets_the_settings_in_its_units():
    from acme_r2i.agents.r2d2.builder import to_acme_config

    config = R2D2Config(
        burn_in_length=3,
        trace_length=20,
        replay=ReplayConfig(capacity_env_steps=1000, min_env_steps=100, stride=10),
        target_update_period_learner_steps=7,
    )
    acme_config = to_acme_config(config)
    assert acme_config.max_replay_size == 100 and acme_config.sequence_period == 10
    assert (acme_config.burn_in_length, acme_config.trace_length) == (3, 20)
    assert acme_config.target_update_period == 7
    assert acme_config.samples_per_insert == 0.0  # with a limit, one thread waits for itself
    assert acme_config.tx_pair == rlax.IDENTITY_PAIR
    for field in dataclasses.fields(config):  # what has the same name means the same
        if hasattr(acme_config, field.name):
            assert getattr(acme_config, field.name) == getattr(config, field.name)
    rescaled = to_acme_config(dataclasses.replace(config, value_rescaling=True))
    assert rescaled.tx_pair == rlax.SIGNED_HYPERBOLIC_PAIR
