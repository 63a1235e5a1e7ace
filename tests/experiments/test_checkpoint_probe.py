"""The probe of checkpoints: its targets by hand, its files, and a real run from start to figure."""

from __future__ import annotations

import numpy as np
import pytest

from acme_r2i.cli.main import main as r2i
from experiments import checkpoint_probe
from experiments.checkpoint_probe import Probed, asked_for


def one_hots(suits):
    return np.eye(4)[np.array(suits)]


def test_the_first_observation_is_asked_for_at_every_row():
    targets, delay = asked_for(one_hots([[2, 0, 1], [3, 1, 1]]), None)
    assert delay == 0
    np.testing.assert_array_equal(targets.argmax(-1)[0], [targets.argmax(-1)[0, 0]] * 3)
    assert targets.argmax(-1)[0, 0] != targets.argmax(-1)[1, 0]
    assert targets.shape == (2, 3, 2)  # two first suits were seen


def test_an_observation_of_some_rows_before_is_asked_for():
    suits = [[2, 0, 1], [3, 1, 1]]
    targets, delay = asked_for(one_hots(suits), 2)
    assert delay == 2
    seen = {}
    for suit, target in zip(np.ravel(suits), targets.argmax(-1).ravel(), strict=True):
        assert seen.setdefault(suit, target) == target
    assert len(set(seen.values())) == 4


def test_files_hold_what_was_probed(tmp_path):
    found = [Probed("popgym:RepeatFirstEasy", "memory", 3, 6000, "x", 0.9703)]
    checkpoint_probe.write(found, tmp_path / "probe.csv")
    assert checkpoint_probe.read(tmp_path / "probe.csv") == found


@pytest.mark.integration
def test_a_sweeps_checkpoints_are_probed_and_drawn(tmp_path):
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(
        'envs = ["bsuite:memory_len/18"]\nseeds = [2]\n[options]\npreset = "debug"\n'
        "env-steps = 200\ncheckpoint-every = 100\nkeep-checkpoints = 3\n[variants.memory]\n"
    )
    assert r2i(["sweep", str(sweep), "--out", str(tmp_path / "runs")]) == 0
    out, figure = tmp_path / "probe.csv", tmp_path / "probe.png"
    options = ["--episodes", "8", "--out", str(out), "--figure", str(figure)]
    checkpoint_probe.main([str(tmp_path / "runs"), *options])
    found = checkpoint_probe.read(out)
    assert {(each.env_steps, each.read_from) for each in found} == {
        (steps, read_from) for steps in (100, 200) for read_from in ("x", "h")
    }
    assert all((each.variant, each.seed) == ("memory", 2) for each in found)
    assert all(0 <= each.accuracy <= 1 for each in found)
    assert figure.read_bytes().startswith(b"\x89PNG")
