"""The names of tasks: what is accepted, what is refused and how, and what stays unimported."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from acme_r2i import environments
from tests.faulty_environments import Numbers

SUITES = ", ".join(environments.SUITES)


def test_every_suite_lists_tasks_that_validate():
    for name in environments.list_tasks():
        assert environments.validate_name(name) == name


def test_list_tasks_of_one_suite():
    assert len(environments.list_tasks("bsuite")) == 468
    assert environments.list_tasks("bsuite")[0] == "bsuite:bandit/0"
    assert "popgym:RepeatPreviousEasy" in environments.list_tasks("popgym")
    assert "atari:pong" in environments.list_tasks("atari")
    assert "gym:CartPole-v1" in environments.list_tasks("gym")
    assert environments.list_tasks("import") == []
    assert environments.list_tasks() == [
        task for suite in environments.SUITES for task in environments.list_tasks(suite)
    ]


def test_an_experiment_is_short_for_its_first_setting():
    assert environments.validate_name("bsuite:memory_len") == "bsuite:memory_len/0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("popgim:RepeatPreviousEasy", "unknown suite 'popgim'; did you mean popgym?"),
        ("xyz:RepeatPreviousEasy", f"unknown suite 'xyz'; suites: {SUITES}"),
        (
            "popgym:RepeatPreviusEasy",
            "unknown task popgym:RepeatPreviusEasy; did you mean popgym:RepeatPreviousEasy",
        ),
        ("popgym:repeatpreviouseasy", "did you mean popgym:RepeatPreviousEasy"),
        ("popgym:Q", "unknown task popgym:Q; r2i envs popgym lists them"),
        ("bsuite:memry_len", "unknown task bsuite:memry_len; did you mean bsuite:memory_len"),
        ("bsuite:memry_len/9", "did you mean bsuite:memory_len/9"),
        (
            "bsuite:memory_len/23",
            "unknown task bsuite:memory_len/23; memory_len has the settings 0 to 22",
        ),
        ("bsuite:memory_len/-1", "memory_len has the settings 0 to 22"),
        ("bsuite:memory_len/01", "memory_len has the settings 0 to 22"),
        ("bsuite:memory_len/", "memory_len has the settings 0 to 22"),
        (
            "RepeatPreviousEasy",
            "a task's name is 'suite:task', got 'RepeatPreviousEasy'; "
            "did you mean popgym:RepeatPreviousEasy?",
        ),
        ("memory_len/3", "did you mean bsuite:memory_len/3?"),
        ("CartPole-v1", "did you mean gym:CartPole-v1?"),
        ("MsPacman", "did you mean atari:ms_pacman?"),
        ("atari:pomg", "unknown task atari:pomg; did you mean atari:pong"),
        ("gym:a b", "unknown task gym:a b; an id is Name-v0, namespace/Name-v0 or module:Name-v0"),
        ("import:module", "import:module is not a task's name, which has the form import:package."),
        ("import:module.py:f/g", "import:module.py:f/g is not a task's name"),
        ("nonsense", f"got 'nonsense'; suites: {SUITES}"),
        ("popgym:", "a task's name is 'suite:task', got 'popgym:'"),
        (":RepeatPreviousEasy", "a task's name is 'suite:task', got ':RepeatPreviousEasy'"),
        ("", "a task's name is 'suite:task', got ''"),
        (3, "a task's name is a string 'suite:task', got 3"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line_with_what_is_near(name, message):
    for function in (
        environments.validate_name,
        environments.make_environment,
        environments.task_reference,
        environments.reward_magnitude,
    ):
        with pytest.raises(ValueError) as caught:
            function(name)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_list_tasks_refuses_an_unknown_suite():
    with pytest.raises(ValueError, match="unknown suite 'bsuit'; did you mean bsuite"):
        environments.list_tasks("bsuit")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, None, "0"])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be an integer in"):
        environments.make_environment("bsuite:memory_len/0", seed=seed)


def test_an_unknown_option_is_refused():
    with pytest.raises(ValueError, match="suite popgym has no option 'frames'; its options: none"):
        environments.make_environment("popgym:RepeatPreviousEasy", frames=4)


def test_a_suite_says_whether_it_passes_options_on():
    assert environments.takes_any_option("gym") and environments.takes_any_option("import")
    assert environments.suite_options("gym") == environments.suite_options("import") == {}
    assert not environments.takes_any_option("atari")
    assert environments.suite_options("atari")["size"].default == 64


def test_a_suite_needs_no_more_than_its_tasks_and_a_maker(monkeypatch):
    toy = types.ModuleType("toy_suite")
    toy.INFO = environments.SuiteInfo("toys", (), "none", "none", "none")
    toy.tasks = lambda: ["numbers"]
    toy.resolve = str.lower
    toy.make = lambda task, /, *, seed: Numbers(seed=seed)
    monkeypatch.setitem(sys.modules, "toy_suite", toy)
    monkeypatch.setitem(environments.SUITES, "toy", "toy_suite")
    assert environments.list_tasks("toy") == ["toy:numbers"]
    assert environments.validate_name("toy:Numbers") == "toy:numbers"
    assert environments.make_environment("toy:numbers", seed=3).reset().observation[0] == 3
    assert environments.suite_info("toy").summary == "toys"
    assert environments.task_reference("toy:numbers") == environments.TaskReference()
    assert environments.suite_scores("toy") == environments.recording_options("toy") == ()
    assert environments.recorded_files("toy:numbers", {}) == []
    assert environments.restart_options("toy") == environments.suite_options("toy") == {}
    assert environments.episode_limit("toy:numbers") is None
    assert environments.reward_magnitude("toy:numbers") is None


def test_a_simulator_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "popgym", None)
    monkeypatch.setitem(sys.modules, "bsuite", None)
    with pytest.raises(environments.SimulatorMissingError, match="pip install popgym==1.0.7"):
        environments.make_environment("popgym:RepeatPreviousEasy")
    with pytest.raises(environments.SimulatorMissingError, match="pip install bsuite==0.3.6"):
        environments.make_environment("bsuite:memory_len/0")


def _run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout + result.stderr


def test_names_are_handled_without_importing_a_simulator():
    output = _run_python(
        "import sys\n"
        "from acme_r2i import environments as e\n"
        "for name in e.list_tasks(): e.validate_name(name); e.task_reference(name)\n"
        "for name in e.list_tasks(): e.reward_magnitude(name)\n"
        "heavy = {'ale_py', 'bsuite', 'dm_control', 'gym', 'gymnasium', 'memory_maze', 'mujoco'}\n"
        "heavy |= {'OpenGL', 'acme', 'jax', 'pandas', 'popgym'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert output == "[]\n"


def test_one_suite_does_not_import_the_other_and_none_prints():
    program = (
        "import sys\n"
        "from acme_r2i import environments as e\n"
        "e.make_environment('{}').reset()\n"
        "print(sorted({{'bsuite', 'dm_control', 'popgym'}} & set(sys.modules)))"
    )
    assert _run_python(program.format("popgym:RepeatPreviousEasy")) == "['popgym']\n"
    assert _run_python(program.format("bsuite:memory_len/0")) == "['bsuite']\n"
    assert _run_python(program.format("dmc:walker_walk")) == "['dm_control']\n"
