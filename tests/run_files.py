"""What a run has left in its folder, and whether its parts belong together."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
import re

METRICS_PAGE = pathlib.Path(__file__).parents[1] / "docs" / "metrics.md"


def documented_metrics(heading):
    """Names in the tables under a heading of docs/metrics.md; lines about evaluations left out."""
    section = METRICS_PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section
    names = re.findall(r"^\| `(\S+)` \|", section, re.MULTILINE)
    return {name for name in names if not name.startswith("evaluation/")}


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """A run's folder."""

    folder: pathlib.Path

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    @property
    def metrics(self):
        text = (self.folder / "metrics.jsonl").read_text()
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    @property
    def episodes(self):
        """(env_steps, number, return, length) of each."""
        text = (self.folder / "episodes.csv").read_text()
        assert text.endswith("\n")
        return [
            (int(row["env_steps"]), int(row["episode"]), float(row["return"]), int(row["length"]))
            for row in csv.DictReader(text.splitlines())
        ]

    @property
    def checkpoints(self):
        return sorted(path for path in (self.folder / "checkpoints").glob("0*"))

    def assert_continuous(self):
        """Every step is told once, in its order; episodes have the numbers 1, 2, ..."""
        lines, episodes = self.metrics, self.episodes
        steps = [(line["env_steps"], line["learner_steps"]) for line in lines]
        assert all(before < after for before, after in zip(steps, steps[1:], strict=False))
        for name in ("learner_steps", "episodes", "wall_seconds", "learner/skipped_updates"):
            values = [line[name] for line in lines]
            assert values == sorted(values), name
        assert [episode[1] for episode in episodes] == list(range(1, len(episodes) + 1))
        ends = [episode[0] for episode in episodes]
        assert ends == sorted(set(ends))
        for line in lines:
            assert line["episodes"] == sum(end <= line["env_steps"] for end in ends)
