"""A cluster that is not there is told of at once."""

from __future__ import annotations

import socket

import pytest

from acme_r2i.launch.distributed import cluster
from acme_r2i.launch.errors import UsageError
from tests.launch.distributed.processes import options_of


@pytest.fixture
def nobody():
    """An address where nobody listens: the port is taken, and not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def join(tmp_path, address):
    with cluster.joined(options_of(tmp_path / "run", cluster=address)):
        pass


def test_nobody_answers(tmp_path, nobody):
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=f"^--cluster {nobody}: no Ray cluster answers there"):
        join(tmp_path, nobody)
    with pytest.raises(UsageError, match="^--cluster 127.0.0.1:99999: no Ray cluster answers"):
        join(tmp_path, "127.0.0.1:99999")


def test_nobody_answers_where_the_variable_says(tmp_path, nobody, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    with pytest.raises(UsageError, match=rf"auto \(of RAY_ADDRESS={nobody}\): no Ray cluster"):
        join(tmp_path, "auto")
