"""`--agent random`: a run like any other, of an agent that learns nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from acme_r2i.cli.main import main
from acme_r2i.runs.evaluation import read_evaluations
from tests.run_files import RunFiles

pytestmark = pytest.mark.integration

TASK = "bsuite:catch/0"


def train(folder, env_steps, *others):
    arguments = ["--agent", "random", "--env", TASK, "--workdir", str(folder), *others]
    return main(["train", *arguments, "--env-steps", str(env_steps)])


def test_it_is_trained_resumed_and_evaluated_like_others(tmp_path, capsys):
    folder = tmp_path / "run"
    recorded = ("--env.results_dir", str(tmp_path / "results"), "--evaluate-every", "900")
    assert train(folder, 900, *recorded) == 0
    first = RunFiles(folder).episodes
    assert train(folder, 1800, *recorded) == 0
    assert "resumed     at env step 900" in capsys.readouterr().out
    run = RunFiles(folder)
    run.assert_continuous()
    summary = run.json("summary.json")
    assert (summary["episodes"], summary["learner_steps"]) == (200, 0)
    # The second life plays on, with other actions in other episodes.
    again = [each[2] for each in run.episodes[100:]]
    assert run.episodes[:100] == first and again != [each[2] for each in first]
    # Chance is -0.6, and 0.08 the standard error of 100 such episodes.
    assert abs(summary["mean_return_last_100_episodes"] + 0.6) < 4 * 0.08
    assert main(["evaluate", str(folder), "--checkpoint", "latest"]) == 0
    evaluations = read_evaluations(folder)
    assert [each["env_steps"] for each in evaluations] == [900, 1800, 1800]
    assert abs(evaluations[-1]["mean_return"] + 0.6) < 4 * 0.08
    (file,) = (tmp_path / "results").glob("*.csv")
    assert file.read_text().splitlines()[-1].startswith("1800,200,")


def test_the_seed_decides_all_of_it(tmp_path):
    episodes = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert train(tmp_path / name, 300, "--seed", str(seed), "--preset", "debug") == 0
        episodes.append(RunFiles(tmp_path / name).episodes)
    assert episodes[0] == episodes[1] != episodes[2]


def test_acme_and_tensorflow_are_not_imported_for_it(tmp_path):
    arguments = ["train", "--agent", "random", "--env", TASK, "--env-steps", "50"]
    code = (
        "import json, sys; from acme_r2i.cli.main import main\n"
        f"assert main({[*arguments, '--workdir', str(tmp_path / 'run')]!r}) == 0\n"
        "print(json.dumps([x for x in ('acme', 'reverb', 'tensorflow') if x in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (("--preset", "popgym"), "unknown preset 'popgym'; presets: cpu, debug"),
        (
            ("--core", "gru"),
            "the core of random is none",
        ),
        (("--batch_size", "4"), "batch_size"),
    ],
)
def test_settings_of_other_agents_are_refused(tmp_path, capsys, others, message):
    assert train(tmp_path / "run", 300, *others) == 2
    assert message in capsys.readouterr().err
