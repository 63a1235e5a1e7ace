"""Runs come from processes of their own; what is done is not done again, what fails is said."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal

import pytest

from acme_r2i.cli.main import main
from acme_r2i.reports import collection
from acme_r2i.runs import UsageError, files
from acme_r2i.runs.checkpoints import Checkpoint, Start
from acme_r2i.sweeps import overview
from acme_r2i.sweeps.runner import Runner, State

pytestmark = pytest.mark.integration

SWEEP = """
envs = ["popgym:RepeatPreviousEasy"]
[options]
preset = "debug"
env-steps = 120
[variants.good]
[variants.bad]
behaviour.actor_gradient = "reparameterised"
[variants.cut]
"""


def test_a_failed_run_does_not_stop_the_others(tmp_path, capsys):
    file, out = tmp_path / "three.toml", tmp_path / "out"
    file.write_text(SWEEP)
    name = "popgym_RepeatPreviousEasy-{}-seed0"
    cut = out / name.format("cut")
    cut.mkdir(parents=True)
    (cut / "config.json").write_text("{}")
    arguments = ["sweep", str(file), "--out", str(out), "--pin", "--parallel", "1"]
    assert main(arguments) == 1
    lines = capsys.readouterr().out
    assert f"{name.format('good')}: done" in lines
    assert f"{name.format('bad')}: failed (exit code 2, see " in lines
    assert "is not allowed with discrete actions" in lines
    assert f"{name.format('cut')}: left alone (" in lines
    assert list(cut.iterdir()) == [cut / "config.json"]

    log = (out / f"{name.format('good')}.log").read_bytes()
    assert main([*arguments, "--only", "*good*"]) == 0
    assert f"{name.format('good')}: done (already done)" in capsys.readouterr().out
    assert (out / f"{name.format('good')}.log").read_bytes() == log

    (run,) = collection.find_runs([out / name.format("good")])
    assert (run.variant, run.state, run.env_steps) == ("good", "done", 120)
    assert overview.standing(run.folder) == overview.Standing(120, 120, pytest.approx(run.final))


def test_what_was_done_with_other_settings_is_not_taken_for_done(tmp_path, capsys):
    file, out = tmp_path / "one.toml", tmp_path / "out"
    file.write_text('envs = ["popgym:RepeatPreviousEasy"]\n[options]\npreset = "debug"\n')
    name = "popgym_RepeatPreviousEasy-seed0"
    arguments = ["sweep", str(file), "--out", str(out), "--env-steps"]
    assert main([*arguments, "120"]) == 0
    config = (out / name / "config.json").read_bytes()
    capsys.readouterr()

    assert main([*arguments, "120", "--batch_size", "3"]) == 1
    lines = capsys.readouterr().out
    assert f"{name}: left alone (--workdir holds a run with other settings, " in lines
    assert "batch_size was 4, is 3" in lines
    assert (out / name / "config.json").read_bytes() == config

    # More steps are the same run, which goes on; fewer were taken with them.
    assert main([*arguments, "160"]) == 0
    assert "resumes from its checkpoint" in capsys.readouterr().out
    (run,) = collection.find_runs([out / name])
    assert run.env_steps == 160
    assert main([*arguments, "120"]) == 0
    assert "done (already done)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_stopped_sweep_ends_its_runs_and_starts_no_other(tmp_path):
    common = ["--env", "popgym:RepeatPreviousEasy", "--preset", "debug", "--env-steps", "4000000"]
    runner = Runner({"first": common, "second": common}, tmp_path, parallel=1)

    def is_learning():
        return (overview.standing(tmp_path / "first").env_steps or 0) > 0

    runner.run(should_stop=is_learning)
    assert [job.state for job in runner.jobs.values()] == [State.STOPPED, State.NOT_STARTED]
    assert not (tmp_path / "second").exists()
    assert not runner.whole and runner.ended


def test_a_run_that_is_stopped_while_it_loads_is_stopped(tmp_path):
    runner = Runner({"only": ["--env", "popgym:RepeatPreviousEasy"]}, tmp_path)
    runner.run(should_stop=lambda: runner.jobs["only"].state is State.RUNNING)
    assert runner.jobs["only"].state is State.STOPPED


def test_a_killed_run_is_failed(tmp_path):
    runner = Runner({"only": ["--env", "popgym:RepeatPreviousEasy"]}, tmp_path)
    killed = []

    def kill():
        for process, _ in runner._processes.values():
            if not killed:
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)

    runner.run(on_poll=kill)
    assert killed and runner.jobs["only"].state is State.FAILED
    assert runner.jobs["only"].note.startswith("signal SIGKILL, see ")


@pytest.mark.parametrize(
    ("start", "state", "note"),
    [
        ({}, State.WAITING, ""),
        ({"restart_count": 1}, State.WAITING, "begins again"),
        (
            {"restart_count": 1, "checkpoint": Checkpoint("x", 5)},
            State.WAITING,
            "from its checkpoint",
        ),
        ({"restart_count": 1, "finished": True}, State.DONE, "already done"),
    ],
)
def test_what_is_to_be_done_is_told_by_where_a_run_would_begin(tmp_path, start, state, note):
    look = lambda arguments: Start(**start)  # noqa: E731
    job = Runner({"run": []}, tmp_path, look=look).jobs["run"]
    assert job.state is state and note in job.note and bool(job.note) == bool(note)


@pytest.mark.parametrize(
    "left",
    ["killed", "stopped"],
)
def test_a_run_that_ended_before_its_first_checkpoint_begins_again(tmp_path, capsys, left):
    file, out = tmp_path / "one.toml", tmp_path / "out"
    file.write_text(
        'envs = ["bsuite:catch/0"]\n[options]\nagent = "random"\nenv-steps = 20\n'
        "num_environments = 1\ncheckpoint-every = 20\n"
    )
    run = out / "bsuite_catch_0-seed0"
    assert main(["sweep", str(file), "--out", str(out)]) == 0
    shutil.rmtree(run / "checkpoints")
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").unlink()
    if left == "stopped":
        files.write_json(run / "summary.json", {**summary, "interrupted": True})
    capsys.readouterr()
    assert main(["sweep", str(file), "--out", str(out)]) == 0
    assert f"{run.name}: running (begins again" in capsys.readouterr().out
    assert json.loads((run / "summary.json").read_text())["interrupted"] is False


def test_a_log_that_cannot_be_written_fails_its_run_alone(tmp_path):
    (tmp_path / "first.log").mkdir()
    arguments = ["--env", "bsuite:catch/0", "--agent", "random", "--env-steps", "20"]
    runner = Runner({"first": arguments, "second": arguments}, tmp_path)
    runner.run()
    assert [job.state for job in runner.jobs.values()] == [State.FAILED, State.DONE]
    assert "first.log" in runner.jobs["first"].note


def test_more_pinned_runs_than_cores_are_refused(tmp_path):
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(UsageError, match=f"{cores + 1} runs at a time cannot be pinned"):
        Runner({}, tmp_path, parallel=cores + 1, pin=True)


def test_the_table_has_state_steps_and_return(tmp_path):
    for name in ("ended", "halfway"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"env_steps": 2000}))
        line = {"env_steps": 1000, "episode/mean_return_last_100": 0.25}
        text = f'{json.dumps(line)}\n{{"env_st'  # what is being written
        (tmp_path / name / "metrics.jsonl").write_text(text)
    runner = Runner({"ended": [], "halfway": [], "later": []}, tmp_path)
    runner.jobs["ended"].state = State.DONE
    runner.jobs["halfway"].state = State.RUNNING
    import rich.console

    screen = rich.console.Console(file=io.StringIO(), width=100)
    screen.print(overview.Overview(runner.jobs, io.StringIO()).table())
    lines = [line.split() for line in screen.file.getvalue().splitlines()]
    assert lines[1:] == [
        ["halfway", "running", "1,000", "(50%)", "0.250"],
        ["later", "waiting"],
        ["ended", "done", "1,000", "(50%)", "0.250"],
        ["1", "waiting,", "1", "running,", "1", "done"],
    ]
