"""Means of metrics over updates."""

from acme_r2i.agents.common.updates import Means


def test_means_are_over_the_updates_since_they_were_taken():
    means = Means()
    assert means.take() == {} and means.number == 0
    means.add({"a": 1.0, "b": 2.0})
    means.add({"a": 4.0, "b": -2.0})
    assert means.number == 2
    assert means.take() == {"a": 2.5, "b": 0.0}
    means.add({"a": 7.0})
    assert means.take() == {"a": 7.0}
    assert means.take() == {} and means.number == 0
