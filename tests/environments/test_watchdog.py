"""The watchdog, around environments that really hang."""

from __future__ import annotations

import functools
import threading

import dm_env
import pytest

from acme_r2i.environments import EnvironmentHungError, Watchdog
from tests.faulty_environments import Numbers


def watched(seconds=30.0, **arguments):
    return Watchdog(
        functools.partial(Numbers, seed=1, **arguments),
        name="test:numbers",
        step_seconds=seconds,
        reset_seconds=seconds,
        start_seconds=seconds,
    )


def played(environment):
    timesteps = [environment.reset()]
    while not timesteps[-1].last():
        timesteps.append(environment.step(len(timesteps)))
    return str(timesteps)


def test_an_environment_that_answers_is_passed_on_whole():
    environment = watched()
    plain = Numbers(seed=1)
    assert played(environment) == played(plain)
    assert environment.observation_spec() == plain.observation_spec()
    environment.close()


@pytest.mark.parametrize(
    ("at", "waited_for"), [(None, "its start"), ((0, 0), "a reset"), ((0, 1), "a step")]
)
def test_what_takes_too_long_is_named(at, waited_for):
    message = rf"^test:numbers did not answer within 0.2 s to {waited_for}$"
    with pytest.raises(EnvironmentHungError, match=message) as caught:
        environment = watched(0.2, faults={1: "hang"}, at=at)
        environment.reset()
        environment.step(1)
    assert caught.value.waited_for.startswith("did not answer")
    if at is not None:
        environment.close()  # does not wait for what hangs


def test_everything_happens_in_one_thread_that_ends_with_the_environment():
    threads = []

    class Here(Numbers):
        def __init__(self, *, seed):
            super().__init__(seed=seed)
            threads.append(threading.current_thread())

        def reset(self):
            threads.append(threading.current_thread())
            return super().reset()

        def step(self, action):
            threads.append(threading.current_thread())
            return super().step(action)

        def close(self):
            threads.append(threading.current_thread())

    make = functools.partial(Here, seed=1)
    environment = Watchdog(make, name="test", step_seconds=None, reset_seconds=None)
    environment.reset()
    environment.step(1)
    environment.close()
    assert len(threads) == 4 and len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_errors_of_the_environment_come_through_also_its_own_timeouts():
    environment = watched(faults={1: "raise"})
    environment.reset()
    with pytest.raises(RuntimeError, match="the simulator"):
        environment.step(1)
    environment.close()

    class Slow(Numbers):
        def reset(self):
            raise TimeoutError("of the simulator's own")

    environment = Watchdog(lambda: Slow(seed=1), name="test", step_seconds=9.0, reset_seconds=9.0)
    with pytest.raises(TimeoutError, match="of the simulator's own") as caught:
        environment.reset()
    assert not isinstance(caught.value, EnvironmentHungError)
    assert isinstance(environment, dm_env.Environment)
