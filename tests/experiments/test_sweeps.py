"""Every sweep that is kept can be run: its tasks, presets and fields are there."""

from __future__ import annotations

import json
import pathlib

import pytest

from acme_r2i.cli.main import main
from acme_r2i.reports.runs import read_run
from acme_r2i.runs.train_config import make_settings
from acme_r2i.sweeps.definition import read_sweep
from experiments import model_family
from tests.reports.folders import write_run

FOLDER = pathlib.Path(__file__).parents[2] / "experiments" / "sweeps"
# Tasks, variants and seeds; those of the paper's benchmarks are the paper's.
SIZES = {
    "ablations.toml": (1, 7, 3),
    "atari100k.py": (26, 2, 3),
    "bsuite_discounting_chain.toml": (20, 2, 5),
    "bsuite_every_experiment.py": (46, 2, 1),
    "bsuite_memory_len.toml": (23, 2, 5),
    "control_catch.toml": (1, 2, 3),
    "control_images.toml": (3, 2, 2),
    "control_vectors.toml": (4, 2, 3),
    "discounting_chain.py": (2, 5, 3),
    "dmc_proprio.toml": (18, 2, 3),
    "dmc_vision.toml": (20, 2, 3),
    "head_inputs.toml": (3, 4, 5),
    "imagination_starts.toml": (1, 4, 2),
    "imagination_starts_memory_len.toml": (1, 3, 2),
    "memory.toml": (8, 1, 5),
    "memory_further.toml": (5, 1, 1),
    "memory_lengths.toml": (1, 3, 1),
    "memory_length.py": (3, 6, 3),
    "memory_maze.toml": (4, 2, 3),
    "model_family.toml": (1, 10, 1),
    "plateau.toml": (1, 5, 5),
    "popgym.toml": (9, 2, 3),
    "popgym_easy.py": (4, 4, 3),
    "popgym_medium.py": (1, 2, 3),
    "repeat_previous_easy.toml": (1, 1, 5),
    "sequence_length.py": (1, 6, 3),
}


def test_every_sweep_is_counted():
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_a_sweep_can_be_run(name, capsys):
    runs = read_sweep(FOLDER / name)
    found = [len({getattr(run, key) for run in runs}) for key in ("env", "variant", "seed")]
    assert tuple(found) == SIZES[name]
    # One seed: the settings are the same for all.
    assert main(["sweep", str(FOLDER / name), "--dry-run", "--only", "*-seed0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == SIZES[name][0] * SIZES[name][1]


def test_variants_of_the_model_family_are_what_they_are_called():
    for run in read_sweep(FOLDER / "model_family.toml"):
        values = dict(run.options)
        agent, core, preset = (values.pop(key, None) for key in ("agent", "core", "preset"))
        values.pop("env-steps")
        config, _ = make_settings(
            preset,
            run.env,
            values,
            agent=agent or "r2i",
            core=core,
        )
        settings = config if agent else config.world_model
        assert settings.core.kind in run.variant
        if not agent:
            recurrent = settings.representation == "recurrent"
            assert recurrent == run.variant.endswith("recurrent")


def test_the_model_familys_table(tmp_path):
    returns = [0.5] * 100 + [1.0] * 95
    folder = write_run(tmp_path / "one", returns, fields=["--world_model.core.kind", "gru"])
    run = read_run(folder)
    run.summary["mean_return_last_100_episodes"] = run.final
    cells = dict(zip(model_family.HEADER, model_family.row(run), strict=True))
    assert cells["agent, core"] == "R2I, GRU"
    assert cells["representation"] == "non-recurrent"
    assert cells["last 100 episodes"] == cells["best 100 episodes"] == "0.975"
    # The mean of the last 100 is 0.9 with 80 ones among them, after 180 episodes of 50 steps.
    assert cells["steps to 0.9"] == 9000
    assert cells["ms per update"] == "500"


def test_the_model_familys_command_prints_finished_runs(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "one", [1.0] * 100)
    write_run(tmp_path / "two", [1.0] * 100, ended=False)
    summary = tmp_path / "one" / "summary.json"
    known = json.loads(summary.read_text())
    summary.write_text(json.dumps({**known, "mean_return_last_100_episodes": 1.0}))
    monkeypatch.setattr("sys.argv", ["model_family", str(tmp_path)])
    model_family.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("| R2I, S5 | non-recurrent |")
