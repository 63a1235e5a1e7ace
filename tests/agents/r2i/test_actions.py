"""Actions: what the world model sees of one, and the policy's distribution over them."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.r2i.actions import ActionSpace, make_action_space
from acme_r2i.agents.r2i.config import BehaviourConfig

UNIMIX = 0.04
LOW, HIGH = np.array([[-1.0, 0.0], [2.0, -7.0]]), np.array([[1.0, 10.0], [2.5, -3.0]])

DISCRETE = specs.DiscreteArray(4)
MULTI_DISCRETE = specs.BoundedArray((3,), np.int64, 0, [1, 4, 2])
BOX = specs.BoundedArray((2, 2), np.float32, LOW, HIGH)
SPECS = {"discrete": DISCRETE, "multi_discrete": MULTI_DISCRETE, "box": BOX}


def make_space(spec, **behaviour) -> ActionSpace:
    return make_action_space(spec, BehaviourConfig(**{"unimix": UNIMIX, **behaviour}))


SPACES = {name: make_space(spec) for name, spec in SPECS.items()}
ALL = pytest.mark.parametrize("name", SPECS)


def outputs(space: ActionSpace, *leading: int, seed: int = 0) -> np.ndarray:
    """What a policy's network may give."""
    random = np.random.default_rng(seed)
    return random.normal(size=(*leading, space.output_size)).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    odds = np.exp(np.float64(x))
    return odds / odds.sum(-1, keepdims=True)


def mixed(x: np.ndarray) -> np.ndarray:
    """Probabilities of one choice, by hand."""
    return (1 - UNIMIX) * softmax(x) + UNIMIX / x.shape[-1]


def choices(values: np.ndarray) -> list[np.ndarray]:
    """The outputs of each of the choices of MULTI_DISCRETE, which have 2, 5 and 3 values."""
    return [values[..., :2], values[..., 2:7], values[..., 7:]]


# All kinds.


@ALL
@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
def test_any_leading_axes_are_kept(name, leading):
    space, spec = SPACES[name], SPECS[name]
    policy = space.distribution(outputs(space, *leading))
    action = space.sample(jax.random.key(0), policy)
    dtype = jnp.float32 if name == "box" else jnp.int32
    for each in (action, space.mode(policy), space.zeros(leading), space.clip(action)):
        assert (each.shape, each.dtype) == ((*leading, *spec.shape), dtype)
    encoded = space.encode(action)
    assert (encoded.shape, encoded.dtype) == ((*leading, space.encoded_size), jnp.float32)
    assert space.log_prob(policy, action).shape == space.entropy(policy).shape == leading


@ALL
def test_draws_depend_on_the_key_and_the_mode_on_nothing(name):
    space = SPACES[name]
    policy = space.distribution(outputs(space, 40))
    one, same, other = (space.sample(jax.random.key(seed), policy) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    assert np.any(one != space.mode(policy))


@ALL
def test_entropy_is_minus_the_mean_log_probability_of_draws(name):
    space, number = SPACES[name], 50_000
    policy = space.distribution(outputs(space))
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), policy)
    log_prob = space.log_prob(many, space.sample(jax.random.key(0), many))
    error = 4 * np.std(log_prob) / math.sqrt(number)
    assert 0 < error < 0.03
    np.testing.assert_allclose(space.entropy(policy), -np.mean(log_prob), atol=error)


@ALL
def test_the_mode_is_likelier_than_any_draw(name):
    space = SPACES[name]
    policy = space.distribution(outputs(space, 200))
    draws = space.sample(jax.random.key(0), policy)
    best = space.log_prob(policy, space.mode(policy))
    assert np.all(best >= space.log_prob(policy, draws))
    assert np.any(best > space.log_prob(policy, draws) + 0.1)


@ALL
def test_what_the_environment_gets_is_in_its_specification(name):
    """As it is written to replay and handed over: in the specification's own type."""
    space, spec = SPACES[name], SPECS[name]
    policy = space.distribution(3 * outputs(space, 500))
    for draw in (space.sample(jax.random.key(0), policy), space.mode(policy)):
        for action in np.asarray(space.clip(draw)):
            spec.validate(action.astype(spec.dtype))


@ALL
def test_gradients_of_log_probability_and_entropy_reach_every_output(name):
    space = SPACES[name]
    values = outputs(space, 3)
    action = space.sample(jax.random.key(0), space.distribution(values))

    def score(values):
        return jnp.sum(space.log_prob(space.distribution(values), action))

    assert np.all(np.abs(jax.grad(score)(values)) > 1e-6)
    entropy = jax.grad(lambda values: jnp.sum(space.entropy(space.distribution(values))))(values)
    moved = entropy[:, 4:] if name == "box" else entropy  # a normal's does not depend on its mean
    assert np.all(np.abs(moved) > 1e-6)


# One choice.


def test_a_choice_is_a_one_hot_to_the_world_model():
    space = SPACES["discrete"]
    assert (space.encoded_size, space.output_size, space.reparameterised) == (4, 4, False)
    np.testing.assert_array_equal(space.encode(jnp.array([2, 0])), [[0, 0, 1, 0], [1, 0, 0, 0]])


def test_frequencies_and_log_probabilities_of_a_choice():
    space, number = SPACES["discrete"], 40_000
    values = outputs(space)
    policy, probs = space.distribution(values), mixed(values)
    (log_probs,) = policy
    np.testing.assert_allclose(np.exp(log_probs), probs, rtol=1e-5)
    many = (jnp.broadcast_to(log_probs, (number, 4)),)
    drawn = np.asarray(space.sample(jax.random.key(0), many))
    # Three standard errors are below 0.0075.
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / number, probs, atol=0.0075)
    for action in range(4):
        log_prob = space.log_prob(policy, jnp.array(action))
        np.testing.assert_allclose(log_prob, np.log(probs[action]), rtol=1e-5)
    np.testing.assert_allclose(space.entropy(policy), -np.sum(probs * np.log(probs)), rtol=1e-5)
    assert space.mode(policy) == np.argmax(values)


def test_no_choice_is_less_likely_than_the_uniform_mixture_makes_it():
    space = SPACES["discrete"]
    policy = space.distribution(np.array([1e4, 0.0, 0.0, 0.0], np.float32))
    for action in (1, 2, 3):
        log_prob = space.log_prob(policy, jnp.array(action))
        np.testing.assert_allclose(np.exp(log_prob), UNIMIX / 4, rtol=1e-4)


# Several choices.


def test_several_choices_are_one_hots_side_by_side():
    space = SPACES["multi_discrete"]
    assert (space.encoded_size, space.output_size, space.reparameterised) == (10, 10, False)
    encoded = space.encode(jnp.array([[1, 4, 0], [0, 0, 2]]))
    np.testing.assert_array_equal(
        encoded, [[0, 1, *[0, 0, 0, 0, 1], *[1, 0, 0]], [1, 0, *[1, 0, 0, 0, 0], *[0, 0, 1]]]
    )


def test_several_choices_are_drawn_independently_each_by_its_own_outputs():
    space, number = SPACES["multi_discrete"], 40_000
    values = outputs(space)
    policy = space.distribution(values)
    many = tuple(jnp.broadcast_to(p, (number, p.shape[-1])) for p in policy)
    drawn = np.asarray(space.sample(jax.random.key(0), many))
    for i, part in enumerate(choices(values)):
        found = np.bincount(drawn[:, i], minlength=part.shape[-1]) / number
        np.testing.assert_allclose(found, mixed(part), atol=0.0075)
    joint = np.zeros((5, 3))
    np.add.at(joint, (drawn[:, 1], drawn[:, 2]), 1 / number)
    expected = np.outer(mixed(values[2:7]), mixed(values[7:]))
    np.testing.assert_allclose(joint, expected, atol=0.0075)
    np.testing.assert_array_equal(space.mode(policy), [np.argmax(part) for part in choices(values)])


def test_log_probability_and_entropy_of_several_choices_are_sums_over_them():
    space = SPACES["multi_discrete"]
    values = outputs(space, 6)
    policy, action = space.distribution(values), np.array([[1, 4, 0]] * 3 + [[0, 2, 2]] * 3)
    parts = [mixed(part) for part in choices(values)]
    log_prob = sum(np.log(part[np.arange(6), action[:, i]]) for i, part in enumerate(parts))
    entropy = -sum(np.sum(part * np.log(part), axis=-1) for part in parts)
    np.testing.assert_allclose(space.log_prob(policy, action), log_prob, rtol=1e-5)
    np.testing.assert_allclose(space.entropy(policy), entropy, rtol=1e-5)


def test_one_of_several_choices_with_one_choice_in_it_keeps_its_axis():
    space = make_space(specs.BoundedArray((1,), np.int32, 0, 2))
    policy = space.distribution(outputs(space, 5))
    assert space.sample(jax.random.key(0), policy).shape == (5, 1)
    assert space.encode(space.mode(policy)).shape == (5, 3)


# Numbers between bounds.


def test_bounds_are_minus_one_and_one_to_the_world_model():
    space = SPACES["box"]
    assert (space.encoded_size, space.output_size, space.reparameterised) == (4, 8, True)
    action = np.stack([LOW, HIGH, (LOW + HIGH) / 2, 0.25 * LOW + 0.75 * HIGH]).astype(np.float32)
    expected = np.repeat([[-1.0], [1.0], [0.0], [0.5]], 4, axis=1)
    np.testing.assert_allclose(space.encode(action), expected, atol=1e-6)


@ALL
def test_no_action_encodes_to_what_it_is(name):
    """The first of each choice; the middle between bounds, 0 to the world model."""
    space = SPACES[name]
    encoded = space.encode(space.zeros((2,)))
    one = {
        "discrete": [1, 0, 0, 0],
        "multi_discrete": [1, 0, 1, 0, 0, 0, 0, 1, 0, 0],
        "box": [0, 0, 0, 0],
    }[name]
    np.testing.assert_allclose(encoded, [one, one], atol=1e-6)


def test_the_policy_over_numbers_by_hand():
    """Normal(tanh(mean), std), the std between 0.1 and 1, and near 1 at first."""
    space = SPACES["box"]
    raw = np.array([0.0, 0.5, -3.0, 100.0, 0.0, -1000.0, 1000.0, -2.0], np.float32)
    mean, std = space.distribution(raw)
    np.testing.assert_allclose(mean, np.tanh(raw[:4]), rtol=1e-6)
    first = 0.1 + 0.9 / (1 + math.exp(-2))
    np.testing.assert_allclose(std, [first, 0.1, 1.0, 0.55], rtol=1e-5)
    _, std = make_space(BOX, std_range=(0.25, 0.25)).distribution(raw)
    np.testing.assert_allclose(std, 0.25, rtol=1e-6)


def test_moments_of_draws_of_numbers_on_the_scale_of_the_environment():
    space, number = SPACES["box"], 40_000
    policy = space.distribution(outputs(space))
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (number, 4)), policy)
    draws = np.asarray(space.sample(jax.random.key(0), many))
    half = (HIGH - LOW) / 2
    mean = (LOW + HIGH) / 2 + half * np.reshape(policy.mean, (2, 2))
    std = half * np.reshape(policy.std, (2, 2))
    # Standard errors are std / 200 and std / 283.
    np.testing.assert_array_less(np.abs(draws.mean(0) - mean), std / 50)
    np.testing.assert_allclose(draws.std(0), std, rtol=0.02)
    correlation = np.corrcoef(draws.reshape(number, 4).T)
    np.testing.assert_allclose(correlation, np.eye(4), atol=0.025)
    np.testing.assert_allclose(space.mode(policy), mean, rtol=1e-5)


def test_log_density_and_entropy_of_numbers_are_those_of_normals_on_the_inner_scale():
    space = SPACES["box"]
    policy = space.distribution(outputs(space, 5))
    action = space.sample(jax.random.key(0), policy)
    mean, std = np.float64(policy.mean), np.float64(policy.std)
    x = np.float64(space.encode(action))
    density = np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    log_prob = np.log(density).sum(-1)
    np.testing.assert_allclose(space.log_prob(policy, action), log_prob, rtol=1e-4, atol=1e-4)
    entropy = np.sum(0.5 * np.log(2 * math.pi * math.e * std**2), axis=-1)
    np.testing.assert_allclose(space.entropy(policy), entropy, rtol=1e-5, atol=1e-5)


def test_draws_leave_the_bounds_and_are_clipped_to_the_nearest_action_there_is():
    space = SPACES["box"]
    policy = space.distribution(3 * outputs(space, 200))
    draws = np.asarray(space.sample(jax.random.key(0), policy))
    outside = (draws < LOW) | (draws > HIGH)
    assert 0.1 < outside.mean() < 0.9
    np.testing.assert_array_equal(space.clip(draws), np.clip(draws, LOW, HIGH).astype(np.float32))


def test_bounds_that_float32_does_not_have_are_kept_to():
    """0.1 in float32 is above 0.1."""
    spec = specs.BoundedArray((2,), np.float64, -0.1, 0.1)
    action = np.asarray(make_space(spec).clip(jnp.array([-5.0, 5.0])))
    assert np.float64(np.float32(0.1)) > 0.1
    spec.validate(action.astype(np.float64))
    np.testing.assert_allclose(action, [-0.1, 0.1], rtol=1e-6)


def test_a_draw_of_numbers_carries_gradients_to_means_and_stds():
    space = SPACES["box"]
    half = np.ravel(HIGH - LOW) / 2
    policy = space.distribution(outputs(space, 3))
    key = jax.random.key(0)
    action, pull = jax.vjp(lambda p: space.sample(key, p), policy)
    (gradient,) = pull(jnp.ones((3, 2, 2)))
    np.testing.assert_allclose(gradient.mean, np.tile(half, (3, 1)), rtol=1e-5)
    noise = (space.encode(action) - policy.mean) / policy.std
    np.testing.assert_allclose(gradient.std, noise * half, rtol=1e-4, atol=1e-5)


def test_a_number_that_cannot_be_chosen_is_what_it_must_be():
    space = make_space(specs.BoundedArray((2,), np.float32, [3.0, 0.0], [3.0, 1.0]))
    policy = space.distribution(outputs(space, 10))
    draws = space.clip(space.sample(jax.random.key(0), policy))
    np.testing.assert_array_equal(draws[:, 0], 3.0)
    for value in (space.encode(draws), space.log_prob(policy, draws)):
        assert np.all(np.isfinite(value))
    np.testing.assert_array_equal(space.encode(draws)[:, 0], 0.0)


def test_a_single_number_is_an_action_without_axes():
    space = make_space(specs.BoundedArray((), np.float32, 0.0, 4.0))
    policy = space.distribution(outputs(space, 6))
    action = space.sample(jax.random.key(0), policy)
    assert action.shape == space.log_prob(policy, action).shape == (6,)
    np.testing.assert_allclose(space.encode(jnp.array([1.0, 4.0])), [[-0.5], [1.0]])
    np.testing.assert_array_equal(space.zeros((2,)), [2.0, 2.0])


# What is refused.


@pytest.mark.parametrize("name", ["discrete", "multi_discrete"])
def test_choices_have_no_reparameterised_gradient(name):
    with pytest.raises(ValueError, match="actor_gradient='reparameterised' is not allowed"):
        make_space(SPECS[name], actor_gradient="reparameterised")
    for gradient in ("auto", "reinforce"):
        make_space(SPECS[name], actor_gradient=gradient)


@pytest.mark.parametrize("gradient", ["auto", "reinforce", "reparameterised"])
def test_numbers_have_every_gradient(gradient):
    assert make_space(BOX, actor_gradient=gradient).reparameterised


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(specs.Array((2,), np.float32), id="no bounds"),
        pytest.param(specs.BoundedArray((2,), np.float32, -np.inf, 1.0), id="no lower bound"),
        pytest.param(specs.BoundedArray((2,), np.float32, 0, [np.inf, 1]), id="no upper bound"),
        pytest.param(specs.BoundedArray((2,), np.int32, 1, 3), id="not from 0"),
        pytest.param(specs.BoundedArray((2,), np.int32, [0, -1], 3), id="not all from 0"),
        pytest.param(specs.BoundedArray((2, 2), np.int32, 0, 3), id="a table of choices"),
        pytest.param(
            specs.BoundedArray((), np.int32, 0, 3), id="a choice that is no DiscreteArray"
        ),
        pytest.param(specs.BoundedArray((2,), bool, False, True), id="truth values"),
        pytest.param({"a": DISCRETE}, id="a tree"),
        pytest.param((specs.BoundedArray((3, 3), np.float32, np.zeros((3, 3)), 1),), id="lines"),
        pytest.param(
            specs.BoundedArray((3, 3), np.float32, np.zeros((3, 3)), np.inf), id="more lines"
        ),
        pytest.param(None, id="nothing"),
    ],
)
def test_other_specs_are_refused_in_one_line(spec):
    with pytest.raises(ValueError, match="is not supported: DiscreteArray is, or Bound") as error:
        make_space(spec)
    assert "\n" not in str(error.value)
