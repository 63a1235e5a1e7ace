"""Sequences of 64 to 8192 rows in training.

bsuite's memory_len at memory length 30: several episodes in a sequence, on two CPU cores. Up to
1024 rows, a batch has 1024 and there are as many updates; beyond, it is one sequence, and from 2048
rows on there are half as many updates. docs/studies/sequence_length.md has the results.
"""

ROWS = 1024
LENGTHS = (64, 256, 1024)
LONGER = (2048, 4096, 8192)


def _variant(length: int) -> dict:
    # A sixteenth of the states; more of them at once would only be a larger batch.
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
