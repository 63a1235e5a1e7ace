"""The world model: one function in two forms, resets that are walls, and where losses reach.

The contract is the end of R2I's list of faults: for random sequences, resets anywhere and a
non-zero learned initial state, `observe` is the fold of `observe_step` in outputs, hidden states
and gradients.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acme_r2i.agents.common.config import (
    CNNConfig,
    CoreConfig,
    GRUConfig,
    HybridConfig,
    LSTMConfig,
    MLPConfig,
    S4Config,
    S4DConfig,
    S5Config,
)
from acme_r2i.agents.r2i import presets
from acme_r2i.agents.r2i.config import (
    CategoricalConfig,
    GaussianConfig,
    LossScales,
    WorldModelConfig,
)
from acme_r2i.agents.r2i.model_losses import weighted_sum, world_model_losses
from acme_r2i.agents.r2i.networks import R2INetworks, make_networks
from acme_r2i.agents.r2i.types import ActorState, state_features
from acme_r2i.networks import distributions
from acme_r2i.replay.rows import Row
from tests.helpers import assert_close, random_like, random_params, soft

BATCH, LENGTH, FEATURES, ACTIONS, STATE_SIZE = 2, 7, 3, 3, 4
SIZES = dict(layers=1, width=6, state_size=STATE_SIZE)


def make_core(**options) -> CoreConfig:
    return S5Config(layers=2, width=6, state_size=STATE_SIZE, n_blocks=1, **options)


def make_hybrid() -> CoreConfig:
    """Its window is shorter than a sequence."""
    return HybridConfig(**SIZES, n_blocks=1, window=4, heads=2, head_size=2)


S5_CORES = {
    "bilinear": make_core(discretisation="bilinear"),
    "zoh": make_core(discretisation="zoh"),
    "bilinear, conj_sym": make_core(discretisation="bilinear", conj_sym=True),
    "zoh, conj_sym": make_core(discretisation="zoh", conj_sym=True),
}
# What the model is made of beside an S5 core; the cores have a conformance suite of their own.
VARIANTS = {
    **{name: dict(core=core) for name, core in S5_CORES.items()},
    "hybrid": dict(core=make_hybrid()),
    "recurrent": dict(representation="recurrent"),
    "lstm": dict(core=LSTMConfig()),
    "recurrent, gru": dict(representation="recurrent", core=GRUConfig(width=6)),
    "gaussian": dict(latent=GaussianConfig(stoch=3)),
}
# Every core, and a representation that sees h, for heads that see x.
HEADS = {
    "s5": dict(core=make_core(discretisation="bilinear", conj_sym=True)),
    "s5, zoh": dict(core=S5_CORES["zoh"]),
    "s4d": dict(core=S4DConfig(**SIZES, discretisation="bilinear")),
    "s4d, zoh": dict(core=S4DConfig(**SIZES, discretisation="zoh")),
    "s4": dict(core=S4Config(**SIZES)),
    "gru": dict(core=GRUConfig(width=6)),
    "lstm": dict(core=LSTMConfig()),
    "hybrid": dict(core=make_hybrid()),
    "recurrent": dict(representation="recurrent"),
}
# A row of resets for each of the two sequences.
RESETS = {
    "none": ([], []),
    "first": ([0], []),
    "last": ([LENGTH - 1], [0, LENGTH - 1]),
    "middle": ([3], [1]),
    "adjacent": ([2, 3], [0, 1, 2]),
    "all": (range(LENGTH), [5]),
}


def make_config(**changes) -> WorldModelConfig:
    mlp = MLPConfig(1, 8)
    sizes = dict(
        latent=CategoricalConfig(stoch=2, classes=3),
        deter=5,
        core=make_core(),
        encoder=mlp,
        decoder=mlp,
        prior=mlp,
        reward=mlp,
        continue_prob=mlp,
        reward_bins=5,
    )
    return WorldModelConfig(**{**sizes, **changes})


VECTOR, CHOICE = specs.Array((FEATURES,), np.float32), specs.DiscreteArray(ACTIONS)


def make_model(
    config: WorldModelConfig, observation=VECTOR, action=CHOICE
) -> tuple[R2INetworks, dict]:
    """The agent's networks, and random parameters of a stable system."""
    whole = dataclasses.replace(presets.debug(), world_model=config)
    networks = make_networks(whole, observation, action)
    shapes = jax.eval_shape(networks.init, jax.random.key(0)).world_model
    return networks, random_params(shapes, 0)


def flags(sequences) -> np.ndarray:
    is_first = np.zeros((BATCH, LENGTH), bool)
    for row, times in zip(is_first, sequences, strict=True):
        row[list(times)] = True
    return is_first


def random_sequence(seed: int):
    """Observations and actions."""
    random = np.random.default_rng(seed)
    observation = random.normal(size=(BATCH, LENGTH, FEATURES)).astype(np.float32)
    return observation, random.integers(0, ACTIONS, (BATCH, LENGTH)).astype(np.int32)


class Model:
    """A model's two forms, each giving latents and their gradients, compiled."""

    def __init__(self, config: WorldModelConfig):
        self.config = config
        self.networks, self.params = make_model(config)
        self.functions = self.networks.model
        shapes = jax.eval_shape(
            lambda params: self.functions.initial_state(params, BATCH), self.params
        )
        self.state: ActorState = random_like(shapes, 1, below=ACTIONS)
        self.observe = jax.jit(jax.grad(self._observe, argnums=(0, 1), has_aux=True))
        self.fold = jax.jit(jax.grad(self._fold, argnums=(0, 1), has_aux=True))

    def _observe(self, params, latent, previous_action, key, observation, action, is_first):
        observed = self.functions.observe(
            params, key, observation, action, is_first, ActorState(latent, previous_action)
        )
        return soft(observed.latent), observed

    def _fold(self, params, latent, previous_action, key, observation, action, is_first):
        def step(state, element):
            key, observation, action, is_first = element
            latent = self.functions.observe_step(params, key, observation, is_first, state)
            return ActorState(latent, action), latent

        swap = lambda x: jnp.swapaxes(x, 0, 1)  # noqa: E731
        elements = jax.random.split(key, LENGTH), swap(observation), swap(action), swap(is_first)
        _, latents = jax.lax.scan(step, ActorState(latent, previous_action), elements)
        latents = jax.tree.map(swap, latents)
        return soft(latents), latents

    def run(self, form, observation, action, is_first, state=None):
        """((gradients by params and by the latent carried in), what the form returns)."""
        latent, previous_action = state or self.state
        key = jax.random.key(7)
        return form(self.params, latent, previous_action, key, observation, action, is_first)

    def latent(self, observation, action, is_first, state=None):
        """The posterior states of `observe`."""
        return self.run(self.observe, observation, action, is_first, state)[1].latent


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    return Model(make_config(**VARIANTS[request.param]))


@pytest.fixture
def s5_model(model):
    """For what follows from the equations of an SSM, or from z not depending on h."""
    if model.config.core.kind != "s5" or model.config.representation == "recurrent":
        pytest.skip("another core or representation")
    return model


@pytest.fixture(scope="module")
def any_model():
    """For what does not depend on the variant."""
    return Model(make_config())


def assert_same_after(latent, other, time, sequence=0):
    """Bit for bit the same from `time` on, and everywhere different in h before it."""
    for a, b in zip(jax.tree.leaves(latent), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a[sequence, time:], b[sequence, time:])
    assert np.all(np.asarray(latent.deter != other.deter)[sequence, :time].any(-1))


# The two forms.

CASES = [pytest.param(flags(times), id=name) for name, times in RESETS.items()] + [
    pytest.param(np.random.default_rng(seed).random((BATCH, LENGTH)) < 0.4, id=f"random {seed}")
    for seed in range(4)
]


@pytest.mark.parametrize("is_first", CASES)
def test_observe_is_the_fold_of_observe_step(model, is_first):
    """Outputs, hidden states, and gradients by parameters and by the state carried in."""
    sequence = random_sequence(0)
    gradients, observed = model.run(model.observe, *sequence, is_first)
    expected_gradients, latent = model.run(model.fold, *sequence, is_first)
    if latent.stoch.ndim == 4:  # the same classes, exactly
        np.testing.assert_array_equal(observed.latent.stoch.argmax(-1), latent.stoch.argmax(-1))
    assert_close(observed.latent, latent)
    assert_close(gradients, expected_gradients)
    learned = [
        gradient
        for module in gradients[0].values()
        for name, gradient in module.items()
        if name.startswith("initial")
    ]
    # A window begins empty, which is not learned.
    hidden = latent.hidden[:-1] if model.config.core.kind == "hybrid" else latent.hidden
    assert len(learned) == len(jax.tree.leaves(hidden))
    assert all(np.any(gradient) == is_first.any() for gradient in learned)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", ["hidden_state", "full_state"])
@pytest.mark.parametrize("name", HEADS)
def test_heads_see_the_same_in_both_forms(name, inputs):
    """Reward, continue and decoder, whatever the core and the discretisation."""
    model = Model(make_config(**HEADS[name], head_inputs=inputs))
    observe, fold = jax.jit(model._observe), jax.jit(model._fold)  # no gradients to compile

    def heads(latent):
        features = state_features(latent, inputs)
        functions, params = model.functions, model.params
        return functions.decode(params, features), functions.predict(params, features)

    for times in RESETS.values():
        _, observed = model.run(observe, *random_sequence(0), flags(times))
        _, latent = model.run(fold, *random_sequence(0), flags(times))
        assert_close(heads(observed.latent), heads(latent))


def test_two_chunks_with_the_carried_state_are_one(any_model):
    """With z certain, so that the keys (which differ) decide nothing."""
    latent = dataclasses.replace(any_model.config.latent, unimix=0.0)
    networks, _ = make_model(dataclasses.replace(any_model.config, latent=latent))
    params = jax.tree.map(np.copy, any_model.params)
    params["world_model/~/posterior/~/output"]["w"] *= 1e4
    observe = jax.jit(lambda *args: networks.model.observe(params, jax.random.key(0), *args).latent)
    head, tail = random_sequence(0), random_sequence(1)
    whole = [np.concatenate(parts, axis=1) for parts in zip(head, tail, strict=True)]
    is_first = np.random.default_rng(3).random((BATCH, 2 * LENGTH)) < 0.2
    expected = observe(*whole, is_first, any_model.state)
    first = observe(*head, is_first[:, :LENGTH], any_model.state)
    carried = ActorState(jax.tree.map(lambda x: x[:, -1], first), head[1][:, -1])
    second = observe(*tail, is_first[:, LENGTH:], carried)
    joined = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), first, second)
    assert_close(joined, expected)


@pytest.mark.parametrize("core", [make_core(), make_hybrid()], ids=lambda core: core.kind)
def test_a_step_of_imagination_is_a_step_of_observation_but_for_z(core):
    """The same h and x; z is drawn from the prior given h."""
    model = Model(make_config(core=core))

    @jax.jit
    def steps(state):
        key = jax.random.key(3)
        imagined = model.functions.imagine_step(model.params, key, state)
        observed = model.functions.observe_step(
            model.params, key, jnp.zeros((BATCH, FEATURES)), jnp.zeros(BATCH, bool), state
        )
        prior = model.functions.observe(
            model.params,
            key,
            jnp.zeros((BATCH, 1, FEATURES)),
            jnp.zeros((BATCH, 1), jnp.int32),
            jnp.zeros((BATCH, 1), bool),
            state,
        ).prior[:, 0]
        return imagined, observed, distributions.sample_one_hot(key, prior)

    imagined, observed, from_prior = steps(model.state)
    np.testing.assert_array_equal(imagined.stoch.argmax(-1), from_prior.argmax(-1))
    assert_close(imagined._replace(stoch=observed.stoch), observed)


def test_a_continuous_action_beyond_its_bounds_is_the_one_at_them():
    """Each number on its own; those within count as they are, to h and x."""
    box = specs.BoundedArray((2,), np.float32, [-1.0, 2.0], [1.0, 6.0])
    # No norm behind the action, which would hide how large it is.
    core = make_core(input_layer="linear", output_layer="linear")
    networks, params = make_model(make_config(core=core), VECTOR, box)
    state = random_like(jax.eval_shape(lambda: networks.initial_actor_state(5)), 1)
    action = np.array([[0.5, 6.0], [0.5, 60.0], [0.5, 5.9], [-1.0, 3.0], [-7.0, 3.0]], np.float32)
    same = jax.tree.map(
        lambda x: np.broadcast_to(x[:1], x.shape), state._replace(action=action[:1])
    )
    latent = jax.jit(networks.model.imagine_step)(
        params, jax.random.key(0), same._replace(action=action)
    )
    for leaf in (latent.deter, *latent.hidden):
        np.testing.assert_allclose(leaf[0], leaf[1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(leaf[3], leaf[4], rtol=1e-5, atol=1e-6)
        assert np.abs(leaf[0] - leaf[2]).max() > 1e-3
        assert np.abs(leaf[0] - leaf[3]).max() > 1e-2


# Resets.


@pytest.mark.parametrize("time", [1, 3, LENGTH - 1])
def test_nothing_before_a_reset_changes_anything_after_it(model, time):
    """Observations, actions and the carried state, exactly."""
    is_first = flags([[time], []])
    observation, action = random_sequence(0)
    other_observation, other_action = random_sequence(1)
    before = np.arange(LENGTH) < time
    other_state = random_like(model.state, 5, below=ACTIONS)
    latent = model.latent(observation, action, is_first)
    perturbed = model.latent(
        np.where(before[:, None], other_observation, observation),
        np.where(before, other_action, action),
        is_first,
        other_state,
    )
    assert_same_after(latent, perturbed, time)


def test_fault_1_a_reset_does_not_take_effect_a_step_early(model):
    sequence = random_sequence(0)
    without = model.latent(*sequence, flags([[], []]))
    latent = model.latent(*sequence, flags([[3], []]))
    for a, b in zip(jax.tree.leaves(latent), jax.tree.leaves(without), strict=True):
        np.testing.assert_allclose(a[0, :3], b[0, :3], rtol=1e-5, atol=1e-6)
    assert np.all(np.any(latent.deter[0, 3:] != without.deter[0, 3:], axis=-1))


def test_fault_2_the_initial_state_is_added_once(s5_model):
    """Of the first layer, which is linear in it: x_t moves by Lambda_bar^(t + 1) x_init."""
    sequence, none = random_sequence(0), flags([[], []])
    first, *others = s5_model.state.latent.hidden
    emptied = s5_model.state._replace(
        latent=s5_model.state.latent._replace(hidden=(np.zeros_like(first), *others))
    )
    difference = (
        s5_model.latent(*sequence, none).hidden[0]
        - s5_model.latent(*sequence, none, emptied).hidden[0]
    )
    ssm = next(module for name, module in s5_model.params.items() if name.endswith("s5_0"))
    Lambda = ssm["Lambda_re"] + 1j * ssm["Lambda_im"].astype(complex)
    z = Lambda * np.exp(ssm["log_step"])
    zoh = s5_model.config.core.discretisation == "zoh"
    Lambda_bar = np.exp(z) if zoh else (1 + z / 2) / (1 - z / 2)
    expected = Lambda_bar ** np.arange(1, LENGTH + 1)[:, None] * first[:, None]
    np.testing.assert_allclose(difference, expected, rtol=1e-4, atol=1e-5)


def test_fault_3_the_previous_z_does_not_leak_into_a_first_step(s5_model):
    """h of a first step has seen nothing: it is one and the same, wherever the step is."""
    is_first = flags([[0, 2, 3, 6], [1, 5]])
    deter = np.asarray(s5_model.latent(*random_sequence(0), is_first).deter)
    firsts = deter[is_first]
    np.testing.assert_allclose(firsts, np.tile(firsts[0], (len(firsts), 1)), rtol=1e-5, atol=1e-6)
    others = deter[~is_first]
    assert np.all(np.abs(others - firsts[0]).max(-1) > 1e-3)
    # The step form says the same.
    _, folded = s5_model.run(s5_model.fold, *random_sequence(0), is_first)
    np.testing.assert_allclose(folded.deter[is_first][0], firsts[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("core", [make_core(), GRUConfig(width=6)], ids=lambda core: core.kind)
@pytest.mark.parametrize("initial_stoch", ["prior", "zeros"])
def test_z_before_an_episode(core, initial_stoch):
    """The mode of the prior of h before it, tanh of a GRU's parameter and zeros of S5; or zeros."""
    networks, params = make_model(make_config(core=core, initial_stoch=initial_stoch))
    state = networks.model.initial_state(params, 1).latent
    prior = lambda name: params[f"world_model/~/prior/~/{name}"]  # noqa: E731
    h = np.tanh(params["world_model/~/core"]["initial"]) if core.kind == "gru" else np.zeros(5)
    np.testing.assert_allclose(state.deter[0], h, rtol=1e-5, atol=1e-7)
    x = h @ prior("linear_0")["w"]
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-3)
    x = prior("norm_0")["scale"] * x + prior("norm_0")["offset"]
    logits = (x / (1 + np.exp(-x))) @ prior("output")["w"] + prior("output")["b"]
    mode = np.eye(3)[logits.reshape(2, 3).argmax(-1)]
    expected = mode if initial_stoch == "prior" else np.zeros((2, 3))
    np.testing.assert_array_equal(state.stoch[0], expected)


# Losses.

NAMES = tuple(field.name for field in dataclasses.fields(LossScales))


@pytest.fixture(scope="module", params=["output_state", "full_state"])
def losses(request):
    """rows -> (gradient of every loss by the parameters, losses, observed, decoded, predictions).

    Without free nats, so that KLs are what they are.
    """
    config = dataclasses.replace(make_config(), free_nats=0.0, head_inputs=request.param)
    networks, params = make_model(config)
    model = networks.model

    def values(params, rows):
        result, observed = world_model_losses(
            model, networks.observations, config, params, jax.random.key(1), rows
        )
        features = state_features(observed.latent, config.head_inputs)
        heads = model.decode(params, features).vector, model.predict(params, features)
        return result, (result, observed, *heads)

    jacobian = jax.jit(jax.jacrev(values, has_aux=True))
    return lambda rows: jacobian(params, rows)


def random_rows(seed: int, is_first) -> Row:
    random = np.random.default_rng(seed)
    observation, action = random_sequence(seed)
    return Row(
        observation=observation,
        action=action,
        reward=random.normal(size=(BATCH, LENGTH)).astype(np.float32),
        discount=(random.random((BATCH, LENGTH)) < 0.7).astype(np.float32),
        is_first=is_first,
        is_last=np.zeros((BATCH, LENGTH), bool),
    )


def reached(gradient) -> set[str]:
    """Parts of the model that have a gradient different from zero."""
    return {
        name.split("/~/")[1]
        for name, module in gradient.items()
        if any(np.any(leaf) for leaf in module.values())
    }


def test_losses_have_the_names_of_their_scales(losses):
    gradients, (values, *_) = losses(random_rows(0, flags([[3], [0]])))
    assert set(values) == set(gradients) == set(NAMES)


def test_losses_by_hand(losses):
    rows = random_rows(0, flags([[3], [0]]))
    _, (values, observed, decoded, predictions) = losses(rows)
    target = np.sign(rows.observation) * np.log1p(np.abs(rows.observation))
    squares = np.sum((np.asarray(decoded) - target) ** 2, axis=-1)
    assert values["observation"] == pytest.approx(squares.mean(), rel=1e-5)

    # The reward's five bins are 10 apart: on [0, 10] the upper one's share is symlog(r) / 10.
    symlog = np.sign(rows.reward) * np.log1p(np.abs(rows.reward))
    two_hot = np.maximum(0, 1 - np.abs(symlog[..., None] - np.linspace(-20, 20, 5)) / 10)
    cross = -np.sum(two_hot * np.asarray(jax.nn.log_softmax(predictions.reward)), axis=-1)
    assert values["reward"] == pytest.approx(cross.mean(), rel=1e-4)

    continues = 1 / (1 + np.exp(-np.asarray(predictions.continue_prob, np.float64)))
    likelihood = np.where(rows.discount == 1, continues, 1 - continues)
    assert values["continue_prob"] == pytest.approx(-np.log(likelihood).mean(), rel=1e-4)

    p, q = np.asarray(observed.posterior), np.asarray(observed.prior)
    kl = np.sum(np.exp(p) * (p - q), axis=(-2, -1)).mean()
    assert values["dynamics"] == pytest.approx(kl, rel=1e-4)
    assert values["representation"] == pytest.approx(kl, rel=1e-4)


def test_the_sum_of_losses_has_their_weights():
    config = make_config(loss_scales=LossScales(2.0, 3.0, 5.0, 7.0, 11.0))
    values = dict(zip(NAMES, jnp.array([1.0, 0.1, 0.01, 0.001, 0.0001]), strict=True))
    assert weighted_sum(values, config) == pytest.approx(2.3581, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [(0.5, 3.0 / 0.5), (0.02, 3.0 / 0.02), (0.01, 3.0 / 0.01), (0.0001, 3.0 / 0.01)],
)
def test_a_balanced_reward_has_one_gradient_whatever_its_share_down_to_the_floor(loss, gradient):
    """That of the logarithm of the loss; one that is always predicted gets no more weight."""
    config = make_config(loss_scales=LossScales(reward=3.0), reward_loss_floor=0.01)
    others = dict.fromkeys(NAMES, jnp.ones([]))
    slope = jax.grad(lambda x: weighted_sum({**others, "reward": x}, config))(jnp.array(loss))
    assert slope == pytest.approx(gradient, rel=1e-5)
    slopes = jax.grad(lambda x: weighted_sum({**x, "reward": jnp.ones([])}, config))(others)
    assert slopes["observation"] == 1 and slopes["dynamics"] == 0.5  # theirs stay


def test_the_loss_of_an_image_is_its_squared_error_beside_the_vectors():
    """Summed over all pixels, in [-1/2, 1/2], and over the vector on the symlog scale."""
    spec = {"eye": specs.BoundedArray((8, 8, 2), np.uint8, 0, 255), "touch": VECTOR}
    config = make_config(cnn=CNNConfig(2))
    networks, params = make_model(config, spec)
    random = np.random.default_rng(0)
    eye = random.integers(0, 256, (BATCH, LENGTH, 8, 8, 2)).astype(np.uint8)
    rows = random_rows(0, flags([[3], []]))
    touch = rows.observation
    rows = rows._replace(observation={"eye": eye, "touch": touch})

    @jax.jit
    def run(params, rows):
        values, observed = world_model_losses(
            networks.model, networks.observations, config, params, jax.random.key(1), rows
        )
        features = state_features(observed.latent, config.head_inputs)
        return values, networks.model.decode(params, features)

    values, decoded = run(params, rows)
    assert decoded.image.shape == eye.shape and decoded.vector.shape == touch.shape
    pixels = np.sum((np.asarray(decoded.image) - (eye / 255 - 0.5)) ** 2, axis=(-3, -2, -1))
    symlog = np.sign(touch) * np.log1p(np.abs(touch))
    vector = np.sum((np.asarray(decoded.vector) - symlog) ** 2, axis=-1)
    assert min(pixels.mean(), vector.mean()) > 0.1
    assert values["observation"] == pytest.approx((pixels + vector).mean(), rel=1e-4)


def test_a_sequence_starts_from_the_initial_state_wherever_it_was_cut(losses):
    rows = random_rows(0, flags([[3], []]))
    marked = rows._replace(is_first=flags([[0, 3], [0]]))
    for a, b in zip(jax.tree.leaves(losses(rows)), jax.tree.leaves(losses(marked)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_representation_loss_reaches_the_posterior_only(losses):
    """Exact zeros for the prior, the core and all heads: the prior is frozen, h is not seen."""
    gradients, _ = losses(random_rows(0, flags([[3], [0]])))
    assert reached(gradients["representation"]) == {"encoder", "posterior"}


def test_the_dynamics_loss_reaches_the_posterior_through_earlier_z_only(losses):
    """Where every step is a first one no z comes in, and the encoder's gradient is exactly 0."""
    gradients, _ = losses(random_rows(0, flags([range(LENGTH), range(LENGTH)])))
    assert reached(gradients["dynamics"]) == {"core", "prior"}
    gradients, _ = losses(random_rows(0, flags([[], []])))
    assert reached(gradients["dynamics"]) == {"core", "prior", "encoder", "posterior"}


@pytest.mark.parametrize(
    ("loss", "head"),
    [("observation", "decoder"), ("reward", "reward"), ("continue_prob", "continue_prob")],
)
def test_a_prediction_loss_reaches_its_own_head_and_not_the_prior(losses, loss, head):
    gradients, _ = losses(random_rows(0, flags([[3], []])))
    assert reached(gradients[loss]) == {"encoder", "posterior", "core", head}


def test_free_nats_stop_the_gradient_of_small_divergences(any_model):
    free = 1e3
    config = dataclasses.replace(any_model.config, free_nats=free)
    rows = random_rows(0, flags([[3], []]))

    @jax.jit
    @jax.value_and_grad
    def divergences(params, rows):
        values, _ = world_model_losses(
            any_model.functions,
            any_model.networks.observations,
            config,
            params,
            jax.random.key(1),
            rows,
        )
        return values["dynamics"] + values["representation"]

    value, gradient = divergences(any_model.params, rows)
    assert value == pytest.approx(2 * free, rel=1e-6)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_no_class_is_less_likely_than_the_uniform_mixture_makes_it(losses):
    """So that divergences are bounded: here at most 2 log(300) nats."""
    _, (_, observed, *_) = losses(random_rows(0, flags([[], []])))
    for log_probs in (observed.posterior, observed.prior):
        np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, rtol=1e-5)
        assert np.all(log_probs >= math.log(0.01 / 3) - 1e-4)
