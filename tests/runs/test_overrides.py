"""Fields by dotted path: what is read, what is set, and what is said of what cannot be."""

from __future__ import annotations

import dataclasses
import json

import pytest

from acme_r2i.agents.common.config import CoreConfig, S4DConfig
from acme_r2i.agents.r2i.config import GaussianConfig, LatentConfig
from acme_r2i.agents.r2i.presets import WHOLE, compose
from acme_r2i.cli import parsing
from acme_r2i.runs import UsageError, overrides

CONFIG = compose(["cpu"])


def test_every_field_of_every_preset_is_listed_with_its_value_and_described():
    for names in (*([name] for name in WHOLE), ["popgym", "dreamerv3", "small"]):
        config = compose(names)
        fields = {field.name: field for field in overrides.list_fields(config)}

        def leaves(content, prefix=""):
            for name, value in content.items():
                if isinstance(value, dict):
                    yield from leaves(value, f"{prefix}{name}.")
                else:
                    yield prefix + name, value

        expected = dict(leaves(dataclasses.asdict(config)))
        assert {name: field.value for name, field in fields.items()} == expected
        assert all(field.description for field in fields.values())
    assert fields["behaviour.horizon"].description == "imagined steps."
    assert fields["world_model.prior.units"].description == "MLP from h to z."


def test_every_field_takes_its_own_value():
    """Whatever a config holds can be said on the command line, and changes nothing."""
    assignments = {}
    for field in overrides.list_fields(CONFIG):
        value = ",".join(map(str, field.value)) if isinstance(field.value, tuple) else field.value
        assignments[field.name] = str(value)
    config, values = overrides.apply_overrides(CONFIG, assignments)
    assert config == CONFIG
    assert list(values) == list(assignments)


def test_fields_are_set_at_every_depth_and_the_others_stay():
    config, values = overrides.apply_overrides(
        CONFIG,
        parsing.parse_assignments(
            [
                *("--batch_size", "4", "--behaviour.horizon=10"),
                *("--world-model.core.layers", "5", "--world_model.core.glu", "False"),
                *("--behaviour.imagination_starts", "none"),
                *("--behaviour.return_percentiles", "10,90", "--reward_scale", "-1"),
                *("--reward_scale", "2.5"),
            ]
        ),
    )
    expected = dataclasses.asdict(CONFIG)
    expected["batch_size"] = 4
    expected["reward_scale"] = 2.5  # the last counts
    expected["world_model"]["core"].update(layers=5, glu=False)
    expected["behaviour"].update(
        horizon=10, imagination_starts=None, return_percentiles=(10.0, 90.0)
    )
    assert dataclasses.asdict(config) == expected
    assert json.loads(json.dumps(values))["behaviour.return_percentiles"] == [10.0, 90.0]


def test_fields_that_must_fit_each_other_change_together():
    alone = {"world_model.core.n_blocks": "7"}
    with pytest.raises(
        UsageError, match=r"^TrainConfig\.config\.world_model\.core\.state_size=64 is not allowed"
    ):
        overrides.apply_overrides(CONFIG, alone)
    config, _ = overrides.apply_overrides(CONFIG, {**alone, "world_model.core.state_size": "70"})
    assert config.world_model.core.n_blocks == 7


# Settings that come in kinds.


def test_a_kind_is_chosen_together_with_fields_of_its_own_in_any_order():
    typed = {
        "world_model.core.spectrum": "lin",
        "world_model.core.conj_sym": "false",
        "world_model.core.kind": "s4d",
        "world_model.core.layers": "5",
        "batch_size": "3",
    }
    for assignments in (typed, dict(reversed(typed.items()))):
        config, values = overrides.apply_overrides(CONFIG, assignments)
        before = CONFIG.world_model.core
        # What both kinds have and nobody set is as it was.
        assert config.world_model.core == S4DConfig(
            layers=5,
            spectrum="lin",
            conj_sym=False,
            **{
                name: getattr(before, name)
                for name in (
                    *("width", "state_size", "dt_min", "dt_max", "input_scaling"),
                    *("input_layer", "output_layer"),
                )
            },
        )
        assert config.batch_size == 3
        assert list(values) == list(assignments)
        assert values["world_model.core.kind"] == "s4d"


def test_several_parts_change_their_kind_at_once():
    config, _ = overrides.apply_overrides(
        CONFIG,
        {
            "world_model.core.kind": "gru",
            "world_model.latent.kind": "gaussian",
            "world_model.latent.stoch": "7",
        },
    )
    assert config.world_model.core.kind == "gru"
    assert config.world_model.latent == GaussianConfig(stoch=7)


@pytest.mark.parametrize(
    ("kind", "field", "near"),
    [
        ("gru", "state_size", "world_model.core.initial_state"),
        ("s4d", "n_blocks", "world_model.core.norm"),
        ("s4", "conj_sym", "world_model.core.norm"),
        ("gru", "layers", "world_model.encoder.layers"),
    ],
)
def test_a_field_of_the_old_kind_is_unknown_to_the_new_one(kind, field, near):
    name = f"world_model.core.{field}"
    assert name in {each.name for each in overrides.list_fields(CONFIG)}
    with pytest.raises(UsageError) as error:
        overrides.apply_overrides(CONFIG, {name: "1", "world_model.core.kind": kind})
    start = f"unknown field --{name}; did you mean --{near}"
    assert parsing.as_typed(str(error.value)).startswith(start)


@pytest.mark.parametrize("kind", ["s6", "", "S5"])
def test_a_kind_that_there_is_not_is_refused(kind):
    message = (
        rf"^TrainConfig\.config\.world_model\.core\.kind='{kind}' is not allowed: "
        "it must be one of s5, s4d, s4, gru"
    )
    with pytest.raises(UsageError, match=message):
        overrides.apply_overrides(CONFIG, {"world_model.core.kind": kind})


def test_a_kind_and_fields_that_do_not_fit_each_other_are_refused():
    typed = {"world_model.core.kind": "s4d", "world_model.core.state_size": "63"}
    overrides.apply_overrides(CONFIG, typed)
    name = r"TrainConfig\.config\.world_model\.core\.state_size"
    message = f"^{name}=63 is not allowed: it must be even, with conj_sym$"
    with pytest.raises(UsageError, match=message):
        overrides.apply_overrides(CONFIG, {**typed, "world_model.core.conj_sym": "true"})


@pytest.mark.parametrize("part", ["core", "latent"])
def test_kinds_are_listed_with_what_else_there_is(part):
    family = {"core": CoreConfig, "latent": LatentConfig}[part].family
    assert len(family) > 1
    for kind in family:
        config, _ = overrides.apply_overrides(CONFIG, {f"world_model.{part}.kind": kind})
        fields = {field.name: field for field in overrides.list_fields(config)}
        field = fields[f"world_model.{part}.kind"]
        assert field.value == kind
        assert field.description.endswith(f": one of {', '.join(family)}.")


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("12", int, 12),
        ("100_000", int, 100_000),
        ("1e5", int, 100_000),
        ("-3", int, -3),
        ("0.5", float, 0.5),
        ("3", float, 3.0),
        ("true", bool, True),
        ("False", bool, False),
        ("zoh", str, "zoh"),
        ("None", int | None, None),
        ("4", int | None, 4),
        ("5, 95", tuple[float, float], (5.0, 95.0)),
    ],
)
def test_convert(text, kind, value):
    found = overrides.convert("--x", text, kind)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "takes"),
    [
        ("1.5", int, "a whole number"),
        ("", int, "a whole number"),
        ("inf", int, "a whole number"),
        ("1e400", int, "a whole number"),
        ("nan", float, "a finite number"),
        ("1e400", float, "a finite number"),
        ("yes", bool, "true or false"),
        ("all", int | None, "a whole number or none"),
        ("5", tuple[float, float], "2 values with a comma between them"),
        ("5,9,5", tuple[float, float], "2 values with a comma between them"),
    ],
)
def test_convert_refuses(text, kind, takes):
    with pytest.raises(UsageError, match=f"^--x takes {takes}, got '{text}'$"):
        overrides.convert("--x", text, kind)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("horizon", "behaviour.horizon"),
        ("behavior.horizon", "behaviour.horizon"),
        ("behaviour.horizn", "behaviour.horizon"),
        ("world_model.horizon", "behaviour.horizon"),
        ("core.layers", "world_model.core.layers"),
        ("c_init", "world_model.core.C_init"),
        ("batchsize", "batch_size"),
    ],
)
def test_nearest(name, first):
    names = [field.name for field in overrides.list_fields(CONFIG)]
    assert overrides.nearest(name, names)[0] == first


def test_nothing_is_near_nonsense():
    assert overrides.nearest("xyzzy", [f.name for f in overrides.list_fields(CONFIG)]) == []
