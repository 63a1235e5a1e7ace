"""Runs that are ended and go on, as a user has them, in this process.

Episodes of the task have 4 steps. The preset learns once in 4 environment steps, from step 64 on.
"""

from __future__ import annotations

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess

import jax
import numpy as np
import pytest

from acme_r2i.cli.main import main
from acme_r2i.replay import reverb_server
from acme_r2i.runs import RunFailedError, loop, record
from acme_r2i.runs.agent import Agent
from tests.run_files import RunFiles

pytestmark = pytest.mark.integration

TASK = "bsuite:memory_len/2"
FIRST, STEPS_PER_UPDATE = 64, 4


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Every run here compiles the same programs; keeping them saves most of the time."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    former = [getattr(jax.config, name) for name in names]
    for name, value in zip(names, (str(tmp_path_factory.mktemp("jax")), 0.0), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in zip(names, former, strict=True):
        jax.config.update(name, value)


def train(folder, env_steps, *others):
    typed = ["--env", TASK, "--preset", "debug", "--log-every", "50", "--checkpoint-every", "100"]
    return main(["train", *typed, "--workdir", str(folder), "--env-steps", str(env_steps), *others])


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run that has come to its end; nobody changes it."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    assert train(folder, 330) == 0
    return folder


@pytest.fixture
def run(ended, tmp_path):
    return RunFiles(pathlib.Path(shutil.copytree(ended, tmp_path / "run")))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_has_checkpoints_with_all_that_was_learned(run):
    assert [path.name for path in run.checkpoints] == ["000000000300", "000000000330"]
    last = run.checkpoints[-1]
    assert {path.name for path in last.iterdir()} == {
        *("contents.json", "counters.json", "learner.npz", "parameters.npz", "replay")
    }
    assert (last / "parameters.npz").read_bytes() == (run.folder / "parameters.npz").read_bytes()
    counters = json.loads((last / "counters.json").read_text())
    assert counters["counts"]["env_steps"] == 330
    assert counters["counts"]["learner_steps"] == (330 - FIRST) // STEPS_PER_UPDATE
    # Two streams of 165 steps and 41 episodes; a sequence of 8 rows in every 4.
    assert 80 <= counters["replay_sizes"]["r2i"] <= 110


def test_a_run_that_is_done_is_not_trained_again(run, capsys):
    before = contents(run.folder)
    assert train(run.folder, 330) == 0
    assert capsys.readouterr().out.startswith(f"done before: {run.folder} holds this run")
    assert contents(run.folder) == before


def test_with_more_steps_it_goes_on(run, capsys):
    assert train(run.folder, 600, "--keep-checkpoints", "3") == 0
    output = capsys.readouterr().out
    assert "changed     env_steps was 330, is 600\n" in output
    assert "resumed     at env step 330, learner step 66, episode 8" in output
    assert "sequences in replay, from a checkpoint " in output
    run.assert_continuous()
    summary = run.json("summary.json")
    assert summary["env_steps"] == 600 and summary["interrupted"] is False
    assert summary["learner_steps"] == (600 - FIRST) // STEPS_PER_UPDATE
    # The ratio is kept on the way: no burst at the beginning.
    for line in run.metrics[:-1]:
        due = max(0, line["env_steps"] - FIRST) // STEPS_PER_UPDATE
        assert due - 1 <= line["learner_steps"] <= due
    assert [int(path.name) for path in run.checkpoints] == [400, 500, 600]
    (resumed,) = run.json("config.json")["resumes"]
    assert resumed["env_steps"] == 330 and resumed["changes"] == {"env_steps": [330, 600]}
    # The environments play other episodes than at first.
    returns = [episode[2] for episode in run.episodes]
    begun = next(n for n, episode in enumerate(run.episodes) if episode[0] > 330)
    assert returns[begun : begun + 40] != returns[:40]


def test_the_one_before_is_taken_if_the_newest_is_damaged(run, capsys):
    newest = run.checkpoints[-1]
    chunks = newest / "replay" / "chunks.tfrecord"
    os.truncate(chunks, chunks.stat().st_size // 2)
    (run.folder / "summary.json").unlink()  # as after a crash
    assert train(run.folder, 340) == 0
    output = capsys.readouterr().out
    assert f"checkpoint {newest} is damaged (replay/chunks.tfrecord has " in output
    assert "resumed     at env step 300, " in output
    run.assert_continuous()
    assert [int(path.name) for path in run.checkpoints] == [300, 340]


def test_a_replay_that_comes_back_smaller_is_an_error(run, capsys, monkeypatch):
    """As if Reverb had read less than there is, which no checksum would tell."""

    counts = reverb_server.item_counts
    monkeypatch.setattr(
        reverb_server, "item_counts", lambda client: {k: n - 1 for k, n in counts(client).items()}
    )
    before = contents(run.folder)
    assert train(run.folder, 600) == 2
    error = capsys.readouterr().err
    assert "replay table 'r2i' came back from" in error and "when it was saved" in error
    assert contents(run.folder) == before


@pytest.mark.parametrize("steps", [0, 40])
def test_a_run_that_was_ended_before_its_first_checkpoint_begins_again(
    steps, tmp_path, capsys, monkeypatch
):
    """Stopped while it compiles, or failed so that nothing could be saved."""
    folder, typed = tmp_path / "run", ("--agent", "random", "--log-every", "10")
    loop_run = loop.RunLoop.run

    def end_early(self, env_steps):
        loop_run(self, steps)
        if steps:
            raise RunFailedError("an action was not finite")
        return self.counts

    for number in (1, 2):
        monkeypatch.setattr(loop.RunLoop, "run", end_early)
        assert train(folder, 330, *typed) == (1 if steps else 0)
        summary = RunFiles(folder).json("summary.json")
        assert (summary["interrupted"], summary["env_steps"]) == (True, steps)
        # What a run has come to is never overwritten.
        assert (folder / "former").exists() == (steps > 0 and number > 1)
    monkeypatch.setattr(loop.RunLoop, "run", loop_run)
    capsys.readouterr()
    assert train(folder, 330, *typed) == 0
    assert "has no checkpoint yet, and starts again" in capsys.readouterr().out
    run = RunFiles(folder)
    run.assert_continuous()
    assert run.json("summary.json")["env_steps"] == 330
    assert len(run.json("config.json")["resumes"]) == 2
    if steps:
        for number in ("1", "2"):
            former = json.loads((folder / "former" / number / "summary.json").read_text())
            assert former["env_steps"] == steps


def assert_results_have_every_episode(episodes, results):
    """Each row of bsuite's file says of its episode what the runs' own logs do."""
    (path,) = results.glob("bsuite_id*.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert int(rows[-1]["episode"]) <= len(episodes)
    # A row is due at 1, 1.2, 1.4 ... times a power of ten.
    assert len(rows) == len({row["episode"] for row in rows}) >= 10 + 13
    for row in rows:
        number = int(row["episode"])
        assert int(row["steps"]) == sum(each[3] for each in episodes[:number])
        assert float(row["total_return"]) == sum(each[2] for each in episodes[:number])
        assert float(row["total_regret"]) == sum(1 - each[2] for each in episodes[:number])


@pytest.mark.parametrize("others", [0, 25])
@pytest.mark.parametrize("agent", ["random", pytest.param("r2i", marks=pytest.mark.slow)])
def test_bsuites_results_count_every_episode_of_a_run_that_was_killed(
    agent, others, tmp_path, monkeypatch
):
    """Also after those of another run, from which it was told to go on."""
    folder, results = tmp_path / "run", tmp_path / "results"
    typed = ("--env", "bsuite:catch/0", "--env.results_dir", str(results), "--agent", agent)
    typed += ("--num_environments", "1")
    if others:
        typed += ("--env.resume_results", "true")
        assert train(tmp_path / "other", 9 * others, *typed) == 0
        before = RunFiles(tmp_path / "other").episodes
        assert len(before) == others
    else:
        before = []
    keep = record.RunRecord.add_step

    def die(self, counts):
        """As SIGKILL ends it: nothing is written any more."""
        keep(self, counts)
        if counts.env_steps in deaths:
            deaths.remove(counts.env_steps)
            raise MemoryError

    monkeypatch.setattr(record.RunRecord, "add_step", die)
    # Before the first checkpoint, and after the second, with a row that is cut and one that is not.
    deaths = [93, 287]
    for _ in range(2):
        with pytest.raises(MemoryError):
            train(folder, 330, *typed)
    assert train(folder, 330, *typed) == 0
    assert train(folder, 1100, *typed) == 0
    run = RunFiles(folder)
    run.assert_continuous()
    assert_results_have_every_episode([*before, *run.episodes], results)
    sums = results / ".bsuite_id_-_catch-0.csv.sums"
    assert sums.read_text().count("\n") == 1 + others + len(run.episodes)


def test_results_that_are_missing_are_told_before_anything_is_written(tmp_path, capsys):
    folder, results = tmp_path / "run", tmp_path / "results"
    typed = ("--env", "bsuite:catch/0", "--env.results_dir", str(results), "--agent", "random")
    typed += ("--num_environments", "1")
    assert train(folder, 330, *typed) == 0
    shutil.move(results, tmp_path / "moved")
    before = contents(tmp_path)
    assert train(folder, 660, *typed) == 2
    assert "what was recorded by then is missing" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_sigterm_makes_a_checkpoint_and_the_run_goes_on(tmp_path, capfd, monkeypatch):
    folder = tmp_path / "run"
    add_step = record.RunRecord.add_step

    def terminate_in_time(self, counts):
        if counts.env_steps == 250:
            os.kill(os.getpid(), signal.SIGTERM)
        add_step(self, counts)

    monkeypatch.setattr(record.RunRecord, "add_step", terminate_in_time)
    assert train(folder, 100_000) == 143
    assert "SIGTERM: stopping the run" in capfd.readouterr().err
    run = RunFiles(folder)
    summary = run.json("summary.json")
    assert summary["interrupted"] is True and 250 <= summary["env_steps"] < 300
    assert int(run.checkpoints[-1].name) == summary["env_steps"]
    monkeypatch.setattr(record.RunRecord, "add_step", add_step)
    assert train(folder, 340, "--allow-config-change") == 0
    assert f"resumed     at env step {summary['env_steps']}, " in capfd.readouterr().out
    run.assert_continuous()
    assert run.json("summary.json")["env_steps"] == 340


@pytest.mark.slow
def test_updates_that_are_not_finite_are_kept_and_end_the_run(tmp_path, capsys, monkeypatch):
    """From the fifth update on, every batch has a reward that is no number."""
    init = Agent.__init__
    taken = []

    def poison(batches):
        for rows in batches:
            taken.append(rows)
            if len(taken) in (3, *range(5, 100)):
                rows.reward[0, 0] = np.nan
            yield rows

    def init_poisoned(self, *args, **options):
        init(self, *args, **options)
        self.learner._iterator = poison(self.learner._iterator)

    monkeypatch.setattr(Agent, "__init__", init_poisoned)
    folder = tmp_path / "run"
    assert train(folder, 330, "--max-skipped-updates", "4") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("r2i: error: 4 updates in a row were not finite, the last in ")
    assert "update 3 was not finite (model/reward_loss" in captured.out
    run = RunFiles(folder)
    kept = sorted(path.name for path in (folder / "trouble").iterdir())
    assert kept == [f"update_{n:09d}.npz" for n in (3, 5, 6, 7, 8)]
    with np.load(folder / "trouble" / kept[0]) as batch:
        assert np.isnan(batch["rows/reward"]).sum() == 1
        np.testing.assert_array_equal(batch["rows/observation"], taken[2].observation)
        assert np.isnan(batch["metrics/model/reward_loss"])
    summary = run.json("summary.json")
    assert summary["skipped_updates"] == 5 == run.metrics[-1]["learner/skipped_updates"]
    assert "4 updates in a row" in summary["failure"]
    with np.load(folder / "parameters.npz") as parameters:
        assert all(np.isfinite(array).all() for array in parameters.values())


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB, where whoever runs this may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_the_checkpoint_before_is_whole(small_disk, run, capfd):
    folder = small_disk / "run"
    shutil.copytree(run.folder, folder)
    shutil.rmtree(folder / "checkpoints" / "000000000300")
    with open(small_disk / "others", "wb") as others:
        free = shutil.disk_usage(small_disk).free
        others.write(bytes(free - 40_000))  # room for some of a checkpoint
    assert train(folder, 600) == 1
    error = capfd.readouterr().err
    assert error.startswith("r2i: error: the checkpoint of env step 400 cannot be written (")
    assert "No space left on device" in error and error.count("\n") == 1
    os.remove(small_disk / "others")
    assert train(folder, 600) == 0
    assert "resumed     at env step 330, " in capfd.readouterr().out
    RunFiles(folder).assert_continuous()


@pytest.mark.slow
def test_r2d2_goes_on_too(tmp_path, capsys):
    """Its learner is Acme's, and its state another."""
    folder, own = tmp_path / "run", ("--agent", "r2d2", "--core", "lstm", "--trace_length", "6")
    assert train(folder, 200, *own) == 0
    run = RunFiles(folder)
    before = run.json("summary.json")
    with np.load(folder / "parameters.npz") as file:
        parameters = dict(file)
    assert train(folder, 300, *own) == 0
    assert "resumed     at env step 200, " in capsys.readouterr().out
    run.assert_continuous()
    after = run.json("summary.json")
    assert after["learner_steps"] > before["learner_steps"] > 0
    with np.load(run.checkpoints[0] / "learner.npz") as early:
        assert int(early["steps"]) == before["learner_steps"]
    with np.load(run.checkpoints[-1] / "learner.npz") as late:
        assert int(late["steps"]) == after["learner_steps"]
    with np.load(folder / "parameters.npz") as file:
        assert all(np.any(file[name] != parameters[name]) for name in parameters if "/w" in name)
