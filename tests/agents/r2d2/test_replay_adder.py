"""Acme's adder through real Reverb, with episodes that are dropped in the middle."""

from __future__ import annotations

import acme_r2i.acme_compat  # noqa: F401

import dm_env
import numpy as np
import pytest
import reverb
from acme import specs
from acme.adders import reverb as adders_reverb

from acme_r2i.agents.r2d2.acting import DroppingAdder
from acme_r2i.replay import reverb_server, reverb_tables

pytestmark = pytest.mark.integration

LENGTH, PERIOD = 4, 2
SPEC = specs.EnvironmentSpec(
    observations=specs.Array((), np.float32),
    actions=specs.DiscreteArray(9),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0, 1),
)


def play(adder, episode, steps, ends):
    """Observations are 100 times the episode's number, plus the step's."""

    def observe(step):
        return np.float32(100 * episode + step)

    adder.add_first(dm_env.restart(observe(0)))
    for step in range(1, steps + 1):
        end = dm_env.termination if ends and step == steps else dm_env.transition
        timestep = end(np.float32(step), observe(step))
        adder.add(np.int32(1), timestep._replace(discount=np.float32(timestep.discount)))


def test_dropped_episodes_leave_their_sequences_and_no_mixed_ones():
    table = adders_reverb.SequenceAdder
    server = reverb_server.start_server(
        [
            reverb.Table.queue(
                adders_reverb.DEFAULT_PRIORITY_TABLE, 100, signature=table.signature(SPEC)
            )
        ]
    )
    try:
        client = server.localhost_client()
        adder = DroppingAdder(lambda: table(client, LENGTH, PERIOD, delta_encoded=True))
        adder.reset()  # nothing to drop
        play(adder, 1, 4, ends=True)
        play(adder, 2, 7, ends=False)
        adder.reset()
        play(adder, 3, 3, ends=False)
        adder.reset()
        play(adder, 4, 0, ends=False)
        adder.reset()
        play(adder, 5, 4, ends=True)
        number = client.server_info()[adders_reverb.DEFAULT_PRIORITY_TABLE].current_size
        sampler = client.sample(adders_reverb.DEFAULT_PRIORITY_TABLE, number, emit_timesteps=False)
        observations = [sample.data[0].tolist() for sample in sampler]
    finally:
        with reverb_tables.silenced_stderr():
            server.stop()
    # Whole episodes end with their terminal row and zeros; of episode 2 there is what was complete
    # before it broke, of 3 and 4 nothing.
    assert observations == [
        *([100, 101, 102, 103], [102, 103, 104, 0]),
        *([200, 201, 202, 203], [202, 203, 204, 205]),
        *([500, 501, 502, 503], [502, 503, 504, 0]),
    ]
