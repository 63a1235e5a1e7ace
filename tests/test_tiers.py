import json
from types import SimpleNamespace

import pytest

from tests import tiers


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ([], "unit"),
        (["parametrize", "integration"], "integration"),
        (["slow"], "slow"),
        (["integration", "slow"], "slow"),
    ],
)
def test_the_slowest_marker_is_the_tier(markers, expected):
    assert tiers.tier(markers) == expected


def test_the_longest_file_is_first_and_a_new_one_before_it():
    recorded = {"unit": {"a": 3.0, "b": 1.0, "c": 2.0}, "integration": {"b": 4.0, "c": 90.0}}
    tests = [("unit", "a"), ("unit", "b"), ("integration", "b"), ("unit", "c"), ("unit", "new")]
    # b: 1 + 4 seconds; the 90 of c are of a tier that does not run.
    assert list(tiers.longest_first(tests, recorded)) == ["new", "b", "a", "c"]


def test_seconds_are_recorded_by_tier_and_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).touch()
    path = tmp_path / "durations.json"
    former = {"unit": {"gone.py": 1.0, "test_b.py": 9.0}, "integration": {}, "slow": {}}
    path.write_text(json.dumps(former))
    monkeypatch.setattr(tiers, "DURATIONS", path)
    recorder = tiers._Recorder()
    for file, markers, duration in [
        ("test_a.py", {}, 1.0),
        ("test_a.py", {}, 0.5),
        ("test_a.py", {"slow": 1}, 60.0),
    ]:
        recorder.pytest_runtest_logreport(
            SimpleNamespace(nodeid=f"{file}::test", keywords=markers, duration=duration)
        )
    recorder.pytest_sessionfinish()
    assert json.loads(path.read_text()) == {
        "unit": {"test_a.py": 1.5, "test_b.py": 9.0},
        "integration": {},
        "slow": {"test_a.py": 60.0},
    }
