"""Evaluations of runs: what they come to, how they are kept, and what cannot be evaluated."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading

import imageio.v3
import numpy as np
import pytest
from PIL import Image

from acme_r2i import environments
from acme_r2i.cli.evaluate import evaluation_lines
from acme_r2i.cli.main import main
from acme_r2i.runs import UsageError, evaluation, files, playing, policies, run_folder
from acme_r2i.runs.checkpoints import Checkpoints
from acme_r2i.runs.environment_pool import environment_seeds
from acme_r2i.runs.evaluation import EvaluateConfig, Evaluation, bootstrap_interval
from acme_r2i.runs.policies import save_parameters
from tests.helpers import write_run

pytestmark = pytest.mark.integration

TASK = "bsuite:catch/0"
HOW = EvaluateConfig(episodes=5, mode="sampled", seed=3, num_environments=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "catch"
    params = write_run(folder, TASK, preset="debug", seed=0)
    files.write_json(folder / run_folder.SUMMARY, {"env_steps": 700, "learner_steps": 30})
    for env_steps in (300, 1200):
        kept = folder / "checkpoints" / f"{env_steps:012}"
        kept.mkdir(parents=True)
        save_parameters(kept, params)
        files.write_json(kept / "counters.json", {"counts": {"learner_steps": env_steps // 10}})
    return folder


@pytest.fixture(scope="module")
def result(folder):
    run = policies.read_run(folder)
    return evaluation.evaluate_run(run, policies.find_parameters(folder), HOW)


def test_what_an_evaluation_says(result):
    assert (result.env_steps, result.learner_steps, result.parameters) == (700, 30, "final")
    assert result.episodes == len(result.returns) == 5 and result.lengths == [9] * 5
    assert set(result.returns) <= {-1.0, 1.0}  # Catch: the ball is caught, or it is not
    assert result.mean_return == np.mean(result.returns)
    assert result.stderr == pytest.approx(np.std(result.returns, ddof=1) / np.sqrt(5))
    assert (result.mode, result.seed, result.num_environments) == ("sampled", 3, 2)
    assert result.env_steps_per_second == pytest.approx(45 / result.wall_seconds, rel=0.01)


def test_the_same_seed_plays_the_same_episodes(folder, result):
    run, kept = policies.read_run(folder), policies.find_parameters(folder)
    again = evaluation.evaluate_run(run, kept, HOW)
    assert again.returns == result.returns
    # Environment by environment: more episodes of one do not change those before.
    more = evaluation.evaluate_run(run, kept, dataclasses.replace(HOW, episodes=7))
    assert more.returns[:3] == result.returns[:3] and more.returns[4:6] == result.returns[3:]


def test_environments_are_not_those_of_a_run():
    for number in (1, 4):
        how = EvaluateConfig(10, num_environments=number)
        assert len(set(how.environment_seeds)) == number
        assert not set(how.environment_seeds) & set(environment_seeds(0, 100))
    assert len(dataclasses.replace(how, episodes=2).environment_seeds) == 2


def test_the_interval_of_the_mean():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert bootstrap_interval(values) == (low, high)
    wider = bootstrap_interval(values, level=0.99)
    assert wider[0] < low and high < wider[1]
    # By hand: the mean of two draws of (0, 1) is 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    assert bootstrap_interval(np.array([0.0, 1.0])) == (0.0, 1.0)
    assert bootstrap_interval(np.array([0.0, 1.0]), level=0.4) == (0.5, 0.5)
    assert bootstrap_interval(np.ones(7)) == (1.0, 1.0)
    assert bootstrap_interval(np.ones(1)) == (None, None)


def test_the_command(folder, capsys):
    arguments = ["evaluate", str(folder), "--episodes", "3", "--mode", "sampled"]
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [field.name for field in dataclasses.fields(Evaluation)] == list(shown)
    assert main([*arguments, "--checkpoint", "latest", "--num-environments", "1"]) == 0
    text = capsys.readouterr().out
    assert "1 environment," in text and "after 1,200 env steps" in text
    final, checkpoint = evaluation.read_evaluations(folder)
    assert final == shown and final["parameters"] == "final"
    assert (checkpoint["env_steps"], checkpoint["learner_steps"]) == (1200, 120)
    # A line that a full disk cut short does not hide the others.
    with open(folder / evaluation.EVALUATIONS, "a") as file:
        file.write('{"env_steps": 1, "ret')
    assert len(evaluation.read_evaluations(folder)) == 2


def test_the_table_has_the_references_beside_it(folder):
    run = policies.read_run(folder)
    one = Evaluation(
        env_steps=700,
        learner_steps=30,
        episodes=2,
        mean_return=0.5,
        stderr=0.25,
        interval_95=(0.25, 0.75),
        returns=[0.25, 0.75],
        lengths=[9, 12],
        mode="greedy",
        seed=0,
        num_environments=2,
        parameters="final",
        wall_seconds=0.5,
        env_steps_per_second=42.0,
        date="",
    )
    name = "popgym:RepeatPreviousEasy"
    text = "\n".join(evaluation_lines(run, one, environments.task_reference(name)))
    for words in (
        "r2i, preset debug, seed 0",
        "2 episodes of 9 to 12 steps, greedy actions",
        "0.5 s (42 steps/s)",
        "0.500  standard error 0.250, 95% interval 0.250 to 0.750",
        "chance          -0.500  exact",
        "solved from      0.900",
        "R2I              0.810  Samsami",
    ):
        assert words in text
    alone = dataclasses.replace(one, episodes=1, stderr=None, interval_95=(None, None))
    assert "one episode says nothing" in "\n".join(
        evaluation_lines(run, alone, environments.task_reference(TASK))
    )


def test_what_is_played_is_not_recorded_among_the_runs_results(tmp_path, capsys):
    results = tmp_path / "results"
    environments.make_environment(TASK, results_dir=str(results)).close()  # the run's file
    options = {"results_dir": str(results), "resume_results": True}
    folder = tmp_path / "run"
    write_run(folder, TASK, env_options=options)
    assert json.loads((folder / "config.json").read_text())["env_options"] == options
    (file,) = results.glob("*.csv")
    before = file.read_bytes()
    arguments = ["evaluate", str(folder), "--episodes", "2", "--num-environments", "1"]
    assert main(arguments) == 0
    assert file.read_bytes() == before and list(results.glob("*.csv")) == [file]
    # By hand it is.
    other = tmp_path / "other"
    assert main([*arguments, "--env.results_dir", str(other)]) == 0
    assert (other / file.name).read_text().count("\n") == 3  # a header, and two episodes
    assert file.read_bytes() == before
    assert main([*arguments, "--env.size", "3"]) == 2
    assert "suite bsuite has no option --env.size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere holds no run: config.json"),
        (("{run}", "--episodes", "0"), "--episodes=0 is not allowed: it must be in [1, 2**32)"),
        (("{run}", "--mode", "best"), "--mode='best' is not allowed: it must be one of greedy, "),
        (
            ("{run}", "--checkpoint", "5"),
            "--checkpoint=5 is not allowed: {run} has the checkpoints 300, 1200",
        ),
        (("{run}", "--checkpoint", "last"), "has the checkpoints 300, 1200"),
        (
            ("{unfinished}",),
            "it has the checkpoints 300, 1200: --checkpoint=latest reads the newest",
        ),
        (("{empty}",), "{empty} has no parameters.npz, which a run writes when it ends"),
        (
            ("{empty}", "--checkpoint", "latest"),
            "--checkpoint=latest is not allowed: {empty} has no checkpoints",
        ),
        (("{strange}",), "there is no agent 'ppo'; agents: r2i, r2d2, random"),
        (
            ("{run}", "--video", "a.png"),
            "--video={here}/a.png is not allowed: it must end in .gif or",
        ),
        (("{run}", "--video", "no/a.gif"), "--video={here}/no/a.gif: there is no folder"),
        (("{run}", "--video", "a.gif"), "a video needs a task that shows images or that MuJoCo"),
        (("{run}", "--batch_size", "3"), "unexpected argument '--batch_size'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    arguments, message, folder, tmp_path, capsys, monkeypatch
):
    unfinished, empty, strange = (tmp_path / name for name in ("unfinished", "empty", "strange"))
    shutil.copytree(folder, unfinished)
    (unfinished / "parameters.npz").unlink()
    empty.mkdir()
    shutil.copy(folder / "config.json", empty)
    strange.mkdir()
    config = json.loads((folder / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps({**config, "agent": "ppo"}))
    names = {
        "here": tmp_path,
        "run": folder,
        "unfinished": unfinished,
        "empty": empty,
        "strange": strange,
    }
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *(each.format(**names) for each in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("r2i: error: ") and error.count("\n") == 1
    assert message.format(**names) in error


def test_a_video_shows_every_row_of_the_first_episodes(tmp_path, capsys):
    folder = tmp_path / "run"
    write_run(folder, "bsuite_vision:catch/0", env_options={"size": 16})
    video = tmp_path / "catch.gif"
    arguments = ["--episodes", "3", "--num-environments", "1", "--video", str(video)]
    assert main(["evaluate", str(folder), *arguments, "--video-episodes", "2"]) == 0
    capsys.readouterr()
    with Image.open(video) as image:
        assert image.size == (256, 256)
        shown = 0
        for index in range(image.n_frames):
            image.seek(index)
            shown += image.info["duration"]  # frames that are alike are put together
        assert shown == 2 * 10 * 50


def test_an_mp4_has_the_frames_at_their_speed(tmp_path):
    grey = np.linspace(20, 235, 30).astype(np.uint8)
    frames = [np.full([10, 12, 1], value) for value in grey]
    playing.write_video(tmp_path / "a.mp4", frames)
    read = imageio.v3.imread(tmp_path / "a.mp4")
    assert read.shape == (30, 250, 300, 3)
    assert np.abs(read.mean(axis=(1, 2, 3)) - grey).max() < 4
    assert imageio.v3.immeta(tmp_path / "a.mp4")["fps"] == 20


def test_the_latest_checkpoint_of_a_run_that_replaces_its_checkpoints(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(folder / "config.json", run)
    keeper, stop = Checkpoints(run, keep=1), threading.Event()

    def write(env_steps):
        def fill(at):
            shutil.copy(folder / "parameters.npz", at)
            files.write_json(at / "counters.json", {"counts": {"learner_steps": env_steps}})

        keeper.write(env_steps, fill)

    def replace():
        for env_steps in range(2, 2000):
            if stop.is_set():
                return
            write(env_steps)

    write(1)
    first = policies.find_parameters(run, "latest")
    thread = threading.Thread(target=replace)
    thread.start()
    try:
        found = [policies.find_parameters(run, "latest") for _ in range(300)]
    finally:
        stop.set()
        thread.join()
    steps = [each.env_steps for each in found]
    assert steps == sorted(steps) and steps[0] < steps[-1]
    assert [each.learner_steps for each in found] == steps
    # They can be read when their checkpoints are gone.
    assert not first.folder.exists()
    content = (folder / "parameters.npz").read_bytes()
    assert first.file.read() == content and found[-1].file.read() == content
    how = EvaluateConfig(episodes=2, num_environments=1)
    assert evaluation.evaluate_run(policies.read_run(run), first, how).env_steps == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"counts": 3}'])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    checkpoint = tmp_path / "checkpoints" / "000000000007"
    checkpoint.mkdir(parents=True)
    (checkpoint / "parameters.npz").touch()
    (checkpoint / "counters.json").write_text(content)
    with pytest.raises(UsageError, match="000000000007 is damaged: counters.json cannot be read"):
        policies.find_parameters(tmp_path, "latest")


def test_checkpoints_that_go_all_the_time_are_told_of_in_a_line(folder, monkeypatch):
    def gone(*arguments):
        raise FileNotFoundError

    monkeypatch.setattr(policies, "_open", gone)
    with pytest.raises(UsageError, match="is replacing its checkpoints"):
        policies.find_parameters(folder, "latest")
