"""Wrong inputs are refused in one line, and leave all files as they were."""

from __future__ import annotations

import pathlib
import sys

import pytest

from acme_r2i.agents.common.config import CoreConfig
from acme_r2i.agents.r2i import presets
from acme_r2i.cli.main import main
from tests.cli.commands import R2D2, TASK, TINY, VISION, contents

ROOT = pathlib.Path(__file__).parents[2]

# What is wrong -> the line on stderr, whole or its beginning (where it ends in "...").
WRONG = {
    ("trian",): "unknown command 'trian'; did you mean train?",
    ("evalaute", "a run"): "unknown command 'evalaute'; did you mean evaluate?",
    ("x",): (
        "unknown command 'x'; commands: train, evaluate, sweep, report, envs, presets, imagine, "
        "export, plan"
    ),
    ("--versoin",): "unexpected argument '--versoin'; did you mean --version?",
    ("evaluate", "a run", "--epsiodes", "5"): (
        "unexpected argument '--epsiodes'; did you mean --episodes?"
    ),
    ("imagine", "a run", "--horizn=5"): (
        "unexpected argument '--horizn=5'; did you mean --horizon?"
    ),
    ("report", "a run", "--xyzzy"): "unexpected argument '--xyzzy'; see r2i report --help",
    ("imagine", "a run", "more"): "unexpected argument 'more'; see r2i imagine --help",
    ("evaluate", "nothing"): (
        "{here}/nothing holds no run: config.json: No such file or directory"
    ),
    ("--seed=3",): "unexpected argument '--seed=3'; see r2i --help",
    ("train",): "--env is needed, e.g. popgym:RepeatPreviousEasy",
    ("train", "--env"): "argument --env: expected one argument",
    ("train", "--env", "popgim:RepeatPreviousEasy"): (
        "unknown suite 'popgim'; did you mean popgym?"
    ),
    ("train", "--env", "popgym:RepeatPreviusEasy"): (
        "unknown task popgym:RepeatPreviusEasy; did you mean popgym:RepeatPreviousEasy, ..."
    ),
    ("train", "--env", "bsuite:memory_len/99"): (
        "unknown task bsuite:memory_len/99; memory_len has the settings 0 to 22"
    ),
    ("train", "--env", "RepeatPreviousEasy"): (
        "a task's name is 'suite:task', got 'RepeatPreviousEasy'; "
        "did you mean popgym:RepeatPreviousEasy?"
    ),
    ("train", *TASK, "--env-workers", "fork"): (
        "--env-workers='fork' is not allowed: it must be one of inline, threads, processes"
    ),
    ("train", *TASK, "--num-actors", "3"): (
        "--num-actors=3 is not allowed: the actors share 8 environments evenly, so it must be one "
        "of 1, 2, 4, 8; --num_environments sets their number"
    ),
    ("train", *TASK, "--num-actors", "0"): (
        "--num-actors=0 is not allowed: it must be in [1, 2**32)"
    ),
    ("train", *TASK, "--cluster", "local"): "--cluster goes with --num-actors, which is not given",
    ("train", *TASK, "--max-staleness", "3"): (
        "--max-staleness goes with --num-actors, which is not given"
    ),
    ("train", *TASK, *R2D2, "--num-actors", "2"): (
        "--num-actors goes with --agent r2i only; r2d2 acts and learns in one process"
    ),
    ("train", *TASK, "--num-actors", "2", "--cluster", "cloud"): (
        "--cluster='cloud' is not allowed: it must be local, auto, or HOST:PORT of a Ray cluster"
    ),
    ("train", *TASK, "--env-step-timeout", "0"): (
        "--env-step-timeout=0.0 is not allowed: it must be above 0"
    ),
    ("train", *TASK, "--env-step-timeout", "soon"): (
        "--env-step-timeout takes a finite number, auto or none, got 'soon'"
    ),
    ("train", *TASK, "--env-max-restarts", "-1"): (
        "--env-max-restarts=-1 is not allowed: it must be in [0, 2**32)"
    ),
    ("train", *TASK, "--env.size", "32"): (
        "suite bsuite has no option --env.size; its options: ..."
    ),
    ("train", *VISION, "--env.siz", "32"): (
        "suite bsuite_vision has no option --env.siz; did you mean --env.size?"
    ),
    ("train", *VISION, "--env.size", "big"): "--env.size takes a whole number, got 'big'",
    ("train", *VISION, "--env.size"): "--env.size needs a value",
    ("train", *VISION, "--env.size", "0"): "size=0 is not allowed: it must be above 0",
    ("train", *TASK, "--preset", "popgim"): "unknown preset 'popgim'; did you mean popgym?",
    ("train", *TASK, "--preset", "x"): (
        f"unknown preset 'x'; presets: {', '.join(presets.PRESETS)}"
    ),
    ("train", *TASK, "--preset", "cpu,popgim"): "unknown preset 'popgim'; did you mean popgym?",
    ("train", *TASK, "--preset", "dreamerv3"): (
        "preset 'dreamerv3' changes another, and cannot come first; first is one of "
        f"{', '.join(presets.WHOLE)}"
    ),
    ("train", *TASK, "--preset", "cpu,debug"): (
        "preset 'debug' sets everything, and would undo 'cpu' before it; what follows is one of "
        f"{', '.join(presets.CHANGES)}"
    ),
    ("train", *TASK, "--world_model.core.kind", "s6"): (
        "--world_model.core.kind='s6' is not allowed: it must be one of "
        f"{', '.join(CoreConfig.family)}"
    ),
    ("train", *TASK, "--world_model.core.kind", "gru", "--world_model.core.state_size", "8"): (
        "unknown field --world_model.core.state_size; did you mean ..."
    ),
    ("train", *TASK, "--agent", "r2d3"): "unknown agent 'r2d3'; did you mean r2d2?",
    ("train", *TASK, "--agent", "ppo"): "unknown agent 'ppo'; agents: r2i, r2d2, random",
    ("train", *TASK, "--core", "s5"): (
        "--core goes with --agent r2d2 only; the core of r2i is the field --world_model.core.kind"
    ),
    ("train", *TASK, *R2D2, "--core", "lstn"): "unknown core 'lstn'; did you mean lstm?",
    ("train", *TASK, *R2D2, "--core", "x"): (
        f"unknown core 'x'; cores: {', '.join(CoreConfig.family)}"
    ),
    ("train", *TASK, *R2D2, "--preset", "popgym"): "unknown preset 'popgym'; presets: cpu, debug",
    ("train", *TASK, *R2D2, "--preset", "cpu,debug"): "one preset is needed; presets: cpu, debug",
    ("train", *TASK, *R2D2, "--trace_lenght", "3"): (
        "unknown field --trace_lenght; did you mean --trace_length?"
    ),
    ("train", *TASK, *R2D2, "--behaviour.horizon", "3"): (
        "unknown field --behaviour.horizon; `r2i presets NAME` lists the fields of a preset"
    ),
    ("train", *TASK, *R2D2, "--trace_length", "8"): (
        "--trace_length=8 is not allowed: it must be at least replay.stride=16, or rows would "
        "never be learned from"
    ),
    ("train", *TASK, *R2D2, "--core", "gru", "--core.layers", "3"): (
        "unknown field --core.layers; ..."
    ),
    ("train", *TASK, *R2D2, "--core.initial_state", "learned"): "--core=S5Config(...",
    ("train", *TASK, "--horizon", "3"): (
        "unknown field --horizon; did you mean --behaviour.horizon?"
    ),
    ("train", *TASK, "--world_model.core.layrs", "3"): (
        "unknown field --world_model.core.layrs; did you mean --world_model.core.layers, ..."
    ),
    ("train", *TASK, "--envsteps", "3"): "unknown field --envsteps; did you mean --env-steps, ...",
    ("train", *TASK, "--xyzzy", "3"): (
        "unknown field --xyzzy; `r2i presets NAME` lists the fields of a preset"
    ),
    ("train", *TASK, "--replay", "3"): (
        "--replay is a group of fields: --replay.capacity_env_steps, --replay.min_env_steps, "
        "--replay.stride"
    ),
    ("train", *TASK, "--batch_size", "eight"): "--batch_size takes a whole number, got 'eight'",
    ("train", *TASK, "--batch_size", "0"): ("--batch_size=0 is not allowed: it must be above 0"),
    ("train", *TASK, "--batch_size", "--seed", "0"): "--batch_size needs a value",
    ("train", *TASK, "--tensorbord"): "--tensorbord needs a value; did you mean --tensorboard?",
    ("envs", "--jsn"): "--jsn needs a value; did you mean --json?",
    ("train", *TASK, "stray"): "unexpected argument 'stray'",
    ("train", *TASK, "--behaviour.policy_inputs", "state"): (
        "--behaviour.policy_inputs='state' is not allowed: it must be one of output_state, "
        "hidden_state, full_state"
    ),
    ("train", *TASK, "--world_model.core.dropout", "1"): (
        "--world_model.core.dropout=1.0 is not allowed: it must be in [0, 1)"
    ),
    ("train", *TASK, "--replay.stride", "33"): (
        "--sequence_length=32 is not allowed: it must be at least replay.stride=33, or rows would "
        "be left out of replay"
    ),
    ("train", *TASK, "--env-steps", "many"): "--env-steps takes a whole number, got 'many'",
    ("train", *TASK, "--env-steps", "0"): "--env-steps=0 is not allowed: it must be in [1, 2**32)",
    (
        "train",
        *TASK,
        "--env-steps",
        "-5",
    ): "--env-steps=-5 is not allowed: it must be in [1, 2**32)",
    ("train", *TASK, "--env-steps", "1023"): (
        "--env-steps=1023 is not allowed: it must be at least replay.min_env_steps=1024, before "
        "which nothing is learned"
    ),
    ("train", *TINY, "--num_environments", "50"): (
        "--env-steps=100 is not allowed: it must be at least 400, ..."
    ),
    ("train", *TINY, *R2D2, "--num_environments", "50"): (
        "--env-steps=100 is not allowed: it must be at least 450, ..."
    ),
    ("train", *TASK, "--seed", "-1"): "--seed=-1 is not allowed: it must be in [0, 2**32)",
    ("train", *TASK, "--seed", str(2**32)): (
        "--seed=4294967296 is not allowed: it must be in [0, 2**32)"
    ),
    ("train", *TASK, "--log-every", "0"): "--log-every=0 is not allowed: it must be in [1, 2**32)",
    ("train", *TASK, "--workdir", "a file"): "--workdir {here}/a file cannot be made: ...",
    (
        "train",
        *TASK,
        "--workdir",
        "a file/below",
    ): "--workdir {here}/a file/below cannot be made: ...",
    ("train", *TASK, "--workdir", "."): "--workdir ...",
    ("train", *TASK, "--workdir", "a run"): (
        "--workdir {here}/a run holds a run that cannot be resumed (bsuite:catch/0, preset cpu, "
        "seed 7, ended, no checkpoint), and a run is never overwritten: give another folder, or "
        "move or delete that one"
    ),
}

# These come to light only once a simulator or JAX has been imported.
WRONG_LATER = {
    ("train", *TINY, "--behaviour.actor_gradient", "reparameterised"): (
        "behaviour.actor_gradient='reparameterised' is not allowed with discrete actions: ..."
    ),
    ("train", *TINY, "--world_model.vector_keys", "position"): (
        "no observation is chosen: of observation, no image matches image_keys='.*' and ..."
    ),
    ("train", *R2D2, "--env", "popgym:PositionOnlyPendulumEasy"): "action spec BoundedArray(...",
}


def assert_refused(arguments, message, here, capsys):
    message = message.replace("{here}", str(here))
    before = contents(here)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    line = captured.err.removesuffix("\n")
    if message.endswith("..."):
        assert line.startswith(f"r2i: error: {message.removesuffix('...')}")
    else:
        assert line == f"r2i: error: {message}"
    assert contents(here) == before


@pytest.mark.parametrize(("arguments", "message"), WRONG.items())
def test_wrong_inputs_are_refused(arguments, message, here, capsys):
    assert_refused(arguments, message, here, capsys)


@pytest.mark.parametrize(("arguments", "message"), WRONG_LATER.items())
def test_what_does_not_fit_the_environment_is_refused(arguments, message, here, capsys):
    assert_refused(arguments, message, here, capsys)


def test_a_missing_simulator_is_named(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "popgym", None)
    monkeypatch.setitem(sys.modules, "popgym.envs", None)
    message = "suite popgym cannot be imported (pip install popgym==1.0.7): ..."
    assert_refused(["train", "--env", "popgym:RepeatPreviousEasy"], message, here, capsys)
