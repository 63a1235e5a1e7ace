"""Steps shared out among actors that act on their own."""

import random

import pytest

from acme_r2i.distributed.actor_group import StepShares


class Actor:
    """Acts in batches up to its limit, as an actor node does."""

    def __init__(self, batch, speed):
        self.batch, self.speed = batch, speed
        self.taken = self.limit = 0

    def act(self):
        for _ in range(self.speed):
            self.taken += min(self.batch, self.limit - self.taken)

    def report(self, limit):
        self.limit = max(self.taken, limit)
        return self.taken, self.limit


@pytest.mark.parametrize("total", [1, 7, 64, 1000])
@pytest.mark.parametrize("speeds", [(1,), (1, 1), (0, 5, 3), (1, 40)])
def test_all_steps_are_taken_and_no_more(total, speeds):
    actors = [Actor(batch=4, speed=speed) for speed in speeds]
    shares = StepShares(total, len(actors), batch=4)
    order = random.Random(0)
    for _ in range(500):
        number = order.randrange(len(actors))
        actor = actors[number]
        limit = shares.next_limit(number)
        actor.act()  # it acts while the answer is on its way
        shares.confirm(number, *actor.report(limit))
        actor.act()
        assert sum(each.taken for each in actors) <= total
        assert sum(each.limit for each in actors) <= total
        # Only the last batch of the run may be a part of one.
        assert sum(each.taken % 4 > 0 for each in actors) <= 1
    for number, actor in enumerate(actors):
        shares.confirm(number, actor.taken, actor.limit)
    # An actor that does nothing keeps one batch: it may have begun with it.
    idle = 4 * speeds.count(0)
    assert shares.left <= idle
    assert sum(actor.taken for actor in actors) >= total - idle


def test_what_a_failed_actor_had_told_stays_taken_and_the_rest_is_given_away():
    shares = StepShares(100, 2, batch=1)
    for number in (0, 1):
        assert shares.next_limit(number) == 50
        shares.confirm(number, 0, 50)
    shares.confirm(0, 30, 50)
    shares.restart(0)  # the 20 it may have taken are not known of: others take them
    assert shares.left == 70
    assert shares.next_limit(0) == 20  # as actor 1 may have taken its 50
    shares.confirm(0, 0, 20)
    assert shares.next_limit(1) == 35  # half of what is left
    shares.confirm(1, 10, 35)
    assert shares.left == 60
    assert shares.next_limit(0) == 30


def test_shares_of_a_slow_actor_go_to_others_once_it_has_confirmed():
    shares = StepShares(40, 2, batch=2)
    for number in (0, 1):
        shares.confirm(number, 0, shares.next_limit(number))
    shares.confirm(1, 20, 20)
    assert shares.next_limit(1) == 20  # nothing is free yet
    assert shares.next_limit(0) == 10  # half of the 20 that are left
    shares.confirm(0, 0, 10)
    assert shares.next_limit(1) == 30
