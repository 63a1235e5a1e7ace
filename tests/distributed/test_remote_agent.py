"""Checkpoints of nodes, with a real replay server that cannot write."""

import numpy as np
import pytest
import reverb

from acme_r2i.distributed import remote_agent
from acme_r2i.distributed.node_calls import NodeAwayError
from acme_r2i.replay import reverb_server, reverb_tables
from acme_r2i.runs.agent import LEARNER
from acme_r2i.runs.metrics import Counts
from acme_r2i.runs.run_folder import PARAMETERS

pytestmark = pytest.mark.integration

TABLE = reverb_tables.DEFAULT_TABLE


class PausedLearner:
    """A learner whose files are known."""

    paused = False

    def pause(self):
        self.paused = True
        return 7, {PARAMETERS: b"parameters", LEARNER: b"learner"}

    def resume(self):
        self.paused = False


class Setting:
    """An agent of a learner and a server, and the watch of its program."""

    def __init__(self, scratch, folder):
        table = reverb.Table(
            TABLE,
            sampler=reverb.selectors.Uniform(),
            remover=reverb.selectors.Fifo(),
            max_size=10,
            rate_limiter=reverb.rate_limiters.MinSize(1),
        )
        scratch.mkdir()
        folder.mkdir()
        self.server = reverb_server.start_server([table], checkpoints=scratch)
        self.learner, self.counts = PausedLearner(), Counts()
        self.failures_seen = iter(())
        self.folder = folder
        self.agent = remote_agent.RemoteAgent(
            self.learner, watch=self, run_folder=folder, counts=self.counts
        )
        self.agent.client = reverb.Client(f"localhost:{self.server.port}")
        self.agent.client.insert(np.zeros(2), {TABLE: 1.0})

    def is_away(self, node):
        return False

    def failures(self, node):
        assert node == "replay/0"
        return next(self.failures_seen, 0)


@pytest.fixture
def setting(tmp_path):
    made = Setting(tmp_path / "scratch", tmp_path / "checkpoint")
    yield made
    made.server.stop()


def break_disk(setting, tmp_path):
    """Leaves no folder to write in."""
    (tmp_path / "scratch").rename(tmp_path / "moved")
    (tmp_path / "scratch").write_text("a file")


def test_a_checkpoint_has_the_parts_of_all_nodes(setting):
    assert setting.agent.save(setting.folder) == {TABLE: 1}
    assert (setting.folder / PARAMETERS).read_bytes() == b"parameters"
    assert setting.counts.learner_steps == 7 and not setting.learner.paused


def test_a_running_server_that_cannot_write_is_an_error(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_agent, "_NOTICE_SECONDS", 0.3)
    break_disk(setting, tmp_path)
    with pytest.raises(OSError, match="Reverb cannot write its checkpoint"):
        setting.agent.save(setting.folder)
    assert not setting.learner.paused


def test_a_server_that_was_killed_and_answers_again_is_away(setting, tmp_path):
    break_disk(setting, tmp_path)
    # None has failed when it begins; the program sees it a little after the connection is lost.
    setting.failures_seen = iter([2, 2, 3])
    with pytest.raises(NodeAwayError, match="replay/0 has failed meanwhile"):
        setting.agent.save(setting.folder)
    assert not setting.learner.paused
