"""Training on sequences of 64 to 8192 rows, on two CPU cores.

The task is bsuite's memory_len with memory length 30: a sequence holds several episodes. Up to
sequences of 1024 rows, a batch has 1024 rows. A longer sequence is a batch of its own, and there
are half as many updates. Results: docs/studies/sequence_length.md.
"""

ROWS = 1024
LENGTHS = (64, 256, 1024)
LONGER = (2048, 4096, 8192)


def _variant(length: int) -> dict:
    # Imagination starts from a sixteenth of the states, for a batch of the same size.
    starts = {"behaviour.imagination_starts": length // 16}
    return {
        "sequence_length": length,
        "batch_size": max(1, ROWS // length),
        "num_environments": 8 if length < 1024 else 1,
        "train_ratio": max(64, length // 32),
        **starts,
    }


SWEEP = {
    "envs": ["bsuite:memory_len/15"],
    "seeds": [0, 1, 2],
    "options": {
        "preset": "cpu,mini",
        "env-steps": 50_000,
        "world_model.loss_scales.reward": 30,
        "world_model.core": {"state_size": 128, "n_blocks": 4, "dt_min": 0.01, "dt_max": 0.2},
    },
    "variants": {f"rows_{length}": _variant(length) for length in (*LENGTHS, *LONGER)},
}
