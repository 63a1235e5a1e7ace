"""Parameters fetched while acting, with a bound on their age."""

import concurrent.futures

from acme_r2i.distributed.actor_node import FETCH_SECONDS, BoundedParameters


class Learner:
    """Answers at once, or on a call of ``answer``."""

    def __init__(self):
        self.steps = 0
        self.asked = []
        self.answers_at_once = True
        self.futures = self

    def get_parameters(self, steps):
        future = concurrent.futures.Future()
        self.asked.append((steps, future))
        if self.answers_at_once:
            self.answer()
        return future

    def answer(self):
        steps, future = self.asked[-1]
        future.set_result((self.steps, None if steps == self.steps else f"of {self.steps}"))


def make(max_staleness=8):
    learner, now = Learner(), [0.0]
    parameters = BoundedParameters(learner, max_staleness, place=str.upper, clock=lambda: now[0])
    return learner, parameters, now


def test_the_first_are_waited_for():
    learner, parameters, _ = make()
    assert (parameters.params, parameters.steps, len(learner.asked)) == ("OF 0", 0, 1)


def test_nothing_is_asked_for_while_there_is_nothing_newer():
    learner, parameters, now = make()
    now[0] += 10 * FETCH_SECONDS
    parameters.update()
    assert len(learner.asked) == 1


def test_half_the_bound_asks_and_goes_on_acting():
    learner, parameters, _ = make(max_staleness=8)
    learner.answers_at_once = False
    learner.steps = parameters.newest = 3
    parameters.update()
    assert len(learner.asked) == 1
    learner.steps = parameters.newest = 4
    parameters.update()
    parameters.update()
    assert len(learner.asked) == 2 and parameters.params == "OF 0" and not parameters.waits
    learner.answer()
    parameters.update()
    assert (parameters.params, parameters.steps, parameters.staleness) == ("OF 4", 4, 0)


def test_one_update_is_fetched_after_a_second():
    learner, parameters, now = make()
    learner.steps = parameters.newest = 1
    now[0] += FETCH_SECONDS
    parameters.update()
    parameters.update()
    assert parameters.params == "OF 1"


def test_beyond_the_bound_it_waits():
    learner, parameters, _ = make(max_staleness=8)
    learner.steps = parameters.newest = 9
    parameters.update()
    assert (parameters.params, parameters.staleness) == ("OF 9", 0)


def test_a_learner_that_went_back_is_followed():
    learner, parameters, now = make()
    learner.steps = parameters.newest = 9
    parameters.update()
    learner.steps = parameters.newest = 2
    assert parameters.staleness == 0
    now[0] += FETCH_SECONDS
    parameters.update()
    parameters.update()
    assert (parameters.params, parameters.steps) == ("OF 2", 2)
