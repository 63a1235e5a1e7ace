"""Joining a cluster: the folder of Ray, and errors for one that does not answer."""

from __future__ import annotations

import os
import socket

import pytest

from acme_r2i.cli.main import main
from acme_r2i.distributed import train
from acme_r2i.launchpad_ray import launching
from acme_r2i.runs import UsageError
from tests.distributed.processes import options_of

pytestmark = pytest.mark.integration


@pytest.fixture
def nobody():
    """An address where nobody listens: the port is taken, and not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def join(tmp_path, address):
    with train.joined(options_of(tmp_path / "run", cluster=address)):
        pass


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_rays_sockets_have_a_short_path(tmp_path, name, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for number, is_short in ((20, True), (35, True), (36, False), (90, False), (300, False)):
        monkeypatch.setenv(name, "/" + "x" * (number - 1))
        assert (launching.ray_folder() == {}) == is_short
    monkeypatch.setattr("os.access", lambda folder, mode: folder == "/var/tmp")
    assert launching.ray_folder() == {"_temp_dir": "/var/tmp/ray"}
    monkeypatch.setattr("os.access", lambda folder, mode: False)
    with pytest.raises(ValueError, match=f"^{name}=/x+ is too long .* at most 35 bytes$"):
        launching.ray_folder()


def test_a_long_tmpdir_has_a_ray(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    with train.joined(options_of(tmp_path / "run")) as ray:
        assert ray.is_initialized()


AWAY = """
import os
from acme_r2i.environments import make_environment

def make():
    os.chdir("/")
    return make_environment("bsuite:catch/0")
"""


def test_ray_starts_where_the_command_was_given(tmp_path, monkeypatch):
    """Nodes find the user's modules there, also where an environment changes the folder."""
    pytest.importorskip("ray")
    (tmp_path / "away_in_nodes.py").write_text(AWAY)
    monkeypatch.chdir(tmp_path)
    asked = []

    def joined(options):
        asked.append((os.getcwd(), options.workdir))
        raise UsageError("not now")

    monkeypatch.setattr(train, "joined", joined)
    typed = ["train", "--env", "import:away_in_nodes:make", "--preset", "debug"]
    assert main([*typed, "--num-actors", "1", "--workdir", "run"]) == 2
    assert asked == [(str(tmp_path), tmp_path / "run")]
    assert not (tmp_path / "run").exists()


def test_nobody_answers(tmp_path, nobody):
    pytest.importorskip("ray")
    with pytest.raises(
        UsageError, match=f"^TrainConfig.cluster {nobody}: no Ray cluster answers there"
    ):
        join(tmp_path, nobody)
    with pytest.raises(
        UsageError, match="^TrainConfig.cluster 127.0.0.1:99999: no Ray cluster answers"
    ):
        join(tmp_path, "127.0.0.1:99999")


def test_nobody_answers_where_the_variable_says(tmp_path, nobody, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    with pytest.raises(UsageError, match=rf"auto \(of RAY_ADDRESS={nobody}\): no Ray cluster"):
        join(tmp_path, "auto")
