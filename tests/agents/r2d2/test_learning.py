"""Around Acme's learner: means of its metrics, and batches that end without a complaint."""

import threading

import pytest

from acme_r2i.agents.r2d2.learning import EndingIterator, FinitePriorities, MeanLogger


def test_metrics_are_means_since_they_were_taken():
    logger = MeanLogger()
    assert logger.take() == {}
    logger.write({"loss": 1.0, "steps": 1})
    logger.write({"loss": 4.0, "steps": 2})
    assert logger.take() == {"q/loss": 2.5}
    assert logger.take() == {}


def test_batches_are_passed_on_and_so_are_errors():
    def fail():
        yield 1
        raise RuntimeError("the server is gone")

    batches = EndingIterator(fail)
    assert next(batches) == 1
    with pytest.raises(RuntimeError, match="gone"):
        next(batches)


def test_nothing_is_begun_before_the_first_batch():
    begun = []
    batches = EndingIterator(lambda: begun.append(1) or iter([3]))
    assert not begun
    assert next(batches) == 3 and begun == [1]


def test_whoever_waits_when_it_is_closed_goes_on_to_wait():
    release, ended = threading.Event(), []

    def wait():
        release.wait()
        raise RuntimeError("the server is gone")
        yield

    batches = EndingIterator(wait)
    reader = threading.Thread(target=lambda: ended.append(next(batches)), daemon=True)
    reader.start()
    batches.close()
    release.set()
    reader.join(timeout=0.2)
    assert reader.is_alive() and not ended


def test_losses_that_are_not_finite_are_in_no_mean():
    logger = MeanLogger()
    for loss in (1.0, float("nan"), 3.0, float("inf")):
        logger.write({"loss": loss})
    assert logger.take() == {"q/loss": 2.0}


def test_only_finite_priorities_reach_replay():
    class Client:
        def mutate_priorities(self, table, updates):
            self.table, self.updates = table, updates

    client = Client()
    FinitePriorities(client).mutate_priorities("t", {1: 0.5, 2: float("nan"), 3: float("inf")})
    assert (client.table, client.updates) == ("t", {1: 0.5})
