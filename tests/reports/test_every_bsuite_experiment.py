"""Each of bsuite's experiments, at random and by a tiny R2I: the report's scores are bsuite's."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import pandas as pd
import pytest
from bsuite.experiments import summary_analysis
from bsuite.logging import csv_load
from bsuite.utils import datasets
from jax.experimental.compilation_cache import compilation_cache

from acme_r2i.cli.main import main
from acme_r2i.environments.bsuite import EXPERIMENTS
from acme_r2i.reports import bsuite
from acme_r2i.reports.collection import find_runs, group_runs
from acme_r2i.sweeps.definition import read_sweep

pytestmark = pytest.mark.integration

SWEEP = pathlib.Path(__file__).parents[2] / "experiments/sweeps/bsuite_every_experiment.py"
# Whose first score takes longer: an episode has up to 1,001 steps, or 100 episodes are needed.
LONG = ("cartpole", "mountain_car", "deep_sea_stochastic")
MNIST = [name for name in EXPERIMENTS if name.startswith("mnist")]


@pytest.fixture
def compiled_once(tmp_path):
    """Runs on observations of the same shape share what they compile."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(tmp_path / "jax"), 0.0), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def digits(monkeypatch):
    """Images for mnist, whose own would be downloaded."""
    rng = np.random.default_rng(0)
    sets = [
        (rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n)) for n in (500, 100)
    ]
    monkeypatch.setattr(datasets, "load_mnist", lambda *directory: sets)


def env_steps(run):
    """Steps of a run: of R2I as few as give it some updates and bsuite something to score.

    bsuite scores mnist by the last of 10,000 episodes of a step, which the random agent takes.
    """
    if run.variant == "random":
        return 10_000 if "mnist" in run.env else 2000
    return 1100 if run.env.partition(":")[2].startswith(LONG) else 150


def is_played(run):
    """R2I, whose compiling takes nearly all of the time, plays all first settings and some last."""
    last_ones = ("bsuite:bandit/19", "bsuite:catch/19", "bsuite:memory_len/22")
    return run.variant == "random" or run.env.endswith("/0") or run.env in last_ones


@pytest.mark.slow
def test_scores_of_every_experiment_are_bsuites_own(tmp_path, monkeypatch, compiled_once, digits):
    out = tmp_path / "runs"
    runs = [run for run in read_sweep(SWEEP) if is_played(run)]
    for run in runs:
        arguments = ["--env-steps", str(env_steps(run)), "--workdir", str(out / run.name)]
        arguments = [*run.arguments(out / run.name), *arguments, "--checkpoint-every", "none"]
        assert main(["train", *arguments]) == 0, run.name

    groups = group_runs(list(find_runs([out])))
    scores = bsuite.score(groups)
    assert set(scores) == {"random cpu", "R2I debug"}
    # bsuite scores deep_sea by a function that pandas has no more.
    monkeypatch.setattr(
        pd.Series, "append", lambda self, other: pd.concat([self, other]), raising=False
    )
    found = {}
    for label, variant in (("random cpu", "random"), ("R2I debug", "r2i")):
        folders = [str(out / run.name / "bsuite") for run in runs if run.variant == variant]
        frame, _ = csv_load.load_bsuite(folders)
        theirs = summary_analysis.bsuite_score(frame).dropna(subset=["score"])
        tags = summary_analysis.ave_score_by_tag(theirs, []).set_index("tag").score
        ours = scores[label]
        unscored = set() if variant == "random" else set(MNIST)
        assert set(ours.by_experiment) == set(EXPERIMENTS) - unscored and set(ours.ids) == set(
            EXPERIMENTS
        )
        assert ours.by_experiment == pytest.approx(theirs.set_index("bsuite_env").score.to_dict())
        assert ours.by_tag == pytest.approx(tags.dropna().to_dict())
        assert sum(ours.ids.values()) == len(folders)
        found[label] = ours.by_experiment
    # They are scores of something: not all 0, and not those of the other agent.
    assert all(0 < max(each.values()) <= 1 for each in found.values())
    assert found["random cpu"] != found["R2I debug"]
