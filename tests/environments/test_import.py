"""A user's own environments: modules in a folder, as users have them, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from dm_env import StepType, specs

from acme_r2i import environments

PRELUDE = """
import dm_env
import gymnasium
import numpy as np
from dm_env import specs


class Counter(dm_env.Environment):
    def __init__(self, seed=0, limit=3):
        self.seed, self.limit, self.actions = seed, limit, []

    def reset(self):
        self.time = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        self.actions.append(action)
        self.time += 1
        rest = (1.5, self.observe())
        return dm_env.truncation(*rest) if self.time == self.limit else dm_env.transition(*rest)

    def observe(self):
        return {"time": np.array([self.time], np.int64), "noise": np.zeros(2)}

    def observation_spec(self):
        return {
            "time": specs.BoundedArray((1,), np.int64, 0, 9),
            "noise": specs.Array((2,), np.float64),
        }

    def action_spec(self):
        return specs.DiscreteArray(4, np.int64)


class Toggle(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return int(self.np_random.integers(2)), {}

    def step(self, action):
        return action, 1.0, bool(action), False, {}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, empty; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def _write(folder, code, name="mine.py"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(PRELUDE + textwrap.dedent(code))


def _make(task, seed=0, **options):
    return environments.make_environment(f"import:{task}", seed=seed, **options)


def test_a_dm_env_environment_in_single_precision(folder):
    _write(folder, "def make(): return Counter()")
    environment = _make("mine:make")
    spec = environment.observation_spec()
    assert spec["time"] == specs.BoundedArray((1,), np.int32, 0, 9)
    assert spec["noise"] == specs.Array((2,), np.float32)
    assert environment.action_spec() == specs.DiscreteArray(4, np.int32)
    assert environment.reward_spec().dtype == environment.discount_spec().dtype == np.float32
    for step_type, discount in (
        (StepType.FIRST, None),
        (StepType.MID, 1.0),
        (StepType.MID, 1.0),
        (StepType.LAST, 1.0),
    ):
        first = step_type == StepType.FIRST
        timestep = environment.reset() if first else environment.step(np.int32(2))
        assert timestep.step_type == step_type
        assert timestep.discount == discount
        assert timestep.reward == (None if first else 1.5)
        assert first or isinstance(timestep.reward, np.float32)
        for name in spec:
            spec[name].validate(timestep.observation[name])


def test_actions_arrive_in_the_type_of_the_user_s_spec(folder):
    _write(folder, "def make(): return Counter()")
    environment = _make("mine:make")
    environment.reset()
    environment.step(np.int32(3))
    (action,) = environment.actions
    assert isinstance(action, np.int64)
    assert {3: "a key"}[action] == "a key"


def test_a_gymnasium_environment(folder):
    _write(folder, "def make(): return Toggle()")
    environment = _make("mine:make")
    assert environment.observation_spec().shape == (2,)
    assert environment.reset().first()
    assert environment.step(0).discount == 1.0
    assert environment.step(1).discount == 0.0


def test_a_class_is_a_function_too(folder):
    _write(folder, "")
    assert _make("mine:Toggle").observation_spec().shape == (2,)
    assert _make("mine:Counter", seed=8).seed == 8


def test_a_module_in_a_package(folder):
    _write(
        folder,
        "from pieces.limits import LIMIT\ndef make(): return Counter(0, LIMIT)",
        "pieces/a.py",
    )
    _write(folder, "LIMIT = 5", "pieces/limits.py")
    assert _make("pieces.a:make").limit == 5


def test_the_seed_is_passed_to_those_who_take_it(folder):
    _write(
        folder,
        """
        def with_seed(seed): return Counter(seed)
        def without(): return Counter(-1)
        def with_any(**options): return Counter(options.get("seed", -1))
        """,
    )
    assert _make("mine:with_seed", seed=7).seed == 7
    assert _make("mine:without", seed=7).seed == -1
    assert _make("mine:with_any", seed=7).seed == -1


def test_episodes_of_a_gymnasium_environment_are_seeded(folder):
    _write(folder, "def make(): return Toggle()")

    def starts(seed):
        environment = _make("mine:make", seed)
        return [int(environment.reset().observation.argmax()) for _ in range(30)]

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)
    assert set(starts(1)) == {0, 1}


def test_options_are_the_function_s_own(folder):
    _write(folder, "def make(seed, *, limit=2): return Counter(seed, limit)")
    assert _make("mine:make").limit == 2
    assert _make("mine:make", limit=6).limit == 6
    with pytest.raises(ValueError, match="cannot be called: got an unexpected .* 'size'"):
        _make("mine:make", size=6)


@pytest.mark.parametrize(
    ("code", "task", "message"),
    [
        ("", "nowhere:make", "there is no module nowhere in "),
        ("", "mine.parts:make", "there is no module mine.parts in <module 'mine' from "),
        ("", "mine:make", "has no 'make'"),
        ("make = 3", "mine:make", "import:mine:make is of type int, which cannot be called"),
        (
            "import nowhere",
            "mine:make",
            "importing mine failed with ModuleNotFoundError: No module named 'nowhere' (mine.py, ",
        ),
        (
            "def make(:",
            "mine:make",
            "importing mine failed with SyntaxError: invalid syntax (mine.",
        ),
        ("1 / 0", "mine:make", "importing mine failed with ZeroDivisionError"),
        (
            "def make(size): return Counter()",
            "mine:make",
            "import:mine:make(size) cannot be called: missing a required argument: 'size'",
        ),
        (
            "def make(): raise RuntimeError('no\\nluck')",
            "mine:make",
            "import:mine:make failed with RuntimeError: no luck (mine.py, line ",
        ),
        (
            "def make(): pass",
            "mine:make",
            "import:mine:make returned something of type NoneType; a dm_env.Environment or a gymna",
        ),
        ("make = dict", "mine:make", "import:mine:make has no signature to call it by"),
        (
            "def make(): raise RuntimeError('x' * 9000)",
            "mine:make",
            "... (mine.py, line ",
        ),
        (
            "class Silent(Exception):\n    def __str__(self): return 1 / 0\n"
            "def make(): raise Silent",
            "mine:make",
            "import:mine:make failed with Silent: (its message cannot be had: ZeroDivisionError)",
        ),
        (
            "def make():\n    made = Toggle()\n    made.reset = lambda: (0, {})\n    return made",
            "mine:make",
            "import:mine:make: its reset() takes no seed; gymnasium's interface is reset(*, seed=N",
        ),
        (
            "def make(): return Toggle",
            "mine:make",
            "import:mine:make returned something of type type; a dm_env.Environment or a gymnasium",
        ),
        (
            "import gym\ndef make(): return gym.make('CartPole-v1')",
            "mine:make",
            "returned an environment of the old gym, of type gym.wrappers.",
        ),
        (
            "class Wrong(Counter):\n    def action_spec(self): return [specs.DiscreteArray(2)]",
            "mine:Wrong",
            "import:mine:Wrong: action_spec() of its environment is of type list; a dm_env.specs.",
        ),
        (
            "class Wrong(Counter):\n    def observation_spec(self): return {'a': {'b': 3}}",
            "mine:Wrong",
            "observation_spec()['a']['b'] of its environment is of type int; a dm_env.specs.Array",
        ),
    ],
)
def test_what_is_wrong_is_one_line(folder, code, task, message):
    _write(folder, code)
    with pytest.raises(ValueError) as caught:
        _make(task)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_name_is_checked_without_importing_anything(folder):
    _write(folder, "1 / 0")
    assert environments.validate_name("import:mine:make") == "import:mine:make"


def test_training_on_what_cannot_be_made_is_one_line_and_writes_nothing(folder):
    _write(folder, "def make(): pass")
    result = subprocess.run(
        [  # -P: the folder is not on the path, as with the command r2i
            *(sys.executable, "-P", "-m", "acme_r2i", "train", "--env", "import:mine:make"),
            *("--preset", "debug", "--workdir", "run"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == (
        "r2i: error: import:mine:make returned something of type NoneType; a dm_env.Environment "
        "or a gymnasium.Env is needed\n"
    )
    assert not (folder / "run").exists()
