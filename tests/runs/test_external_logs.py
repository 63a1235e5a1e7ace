"""Logs beside the run's own files: what TensorBoard and W&B read back from them."""

from __future__ import annotations

import json
import pathlib
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from acme_r2i.runs import UsageError, external_logs
from acme_r2i.runs.external_logs import TensorBoardLog, WandbLog
from acme_r2i.runs.train_config import default_of
from tests.run_files import documented_metrics

ROOT = pathlib.Path(__file__).parents[2]
LINES = [
    {"env_steps": 10, "wall_seconds": 1.5, "speed/env_steps_per_second": None, "model/loss": 0.25},
    {"env_steps": 20, "wall_seconds": 2.5, "speed/env_steps_per_second": 8.0, "model/loss": 0.5},
    {"env_steps": 30, "wall_seconds": 4.5, "speed/env_steps_per_second": 9.0, "model/loss": 0.75},
]


def in_tensorboard(folder):
    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {
        name: [(event.step, event.wall_time, event.value) for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


def test_tensorboard_shows_each_number_at_its_step_and_time(tmp_path):
    log = TensorBoardLog(tmp_path, began=100.0)
    for line in LINES:
        log.write(line)
    log.close({})
    assert in_tensorboard(tmp_path) == {
        "wall_seconds": [(10, 101.5, 1.5), (20, 102.5, 2.5), (30, 104.5, 4.5)],
        "speed/env_steps_per_second": [(20, 102.5, 8.0), (30, 104.5, 9.0)],
        "model/loss": [(10, 101.5, 0.25), (20, 102.5, 0.5), (30, 104.5, 0.75)],
    }


def test_tensorboard_shows_no_step_twice_when_a_run_goes_on(tmp_path):
    log = TensorBoardLog(tmp_path)
    for line in LINES:
        log.write(line)
    log.close({})
    log = TensorBoardLog(tmp_path, LINES[:2])
    again = LINES[2] | {"model/loss": 1.0}
    log.write(again)
    log.close({})
    values = [(step, value) for step, _, value in in_tensorboard(tmp_path)["model/loss"]]
    assert values == [(10, 0.25), (20, 0.5), (30, 1.0)]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def wandb_records(folder):
    """What a run has written, when it has ended: a process of wandb's own writes it."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    (path,) = folder.glob("*.wandb")
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        store, records = DataStore(), []
        store.open_for_scan(str(path))
        while (data := store.scan_data()) is not None:
            records.append(wandb_internal_pb2.Record())
            records[-1].ParseFromString(data)
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise TimeoutError(f"{path} has no end: {[r.WhichOneof('record_type') for r in records]}")


def wandb_rows(folder):
    rows = []
    for record in wandb_records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {item.key or item.nested_key[0]: item for item in record.history.item}
            row = {name: json.loads(item.value_json) for name, item in items.items()}
            rows.append({name: value for name, value in row.items() if name[0] != "_"})
    return rows


def test_wandb_has_every_line_offline_and_the_run_keeps_its_name(tmp_path):
    config = {"env": "bsuite:catch/0", "config": {"batch_size": 4}}
    log = WandbLog(tmp_path, mode="offline", project=default_of("wandb_project"), config=config)
    assert log.place.startswith(str(tmp_path / "wandb" / "offline-run-"))
    for line in LINES[:2]:
        log.write(line)
    log.close({"solved": None, "failure": None})
    first = pathlib.Path(log.place)

    log = WandbLog(tmp_path, LINES[:1], mode="offline", project="mine", config=config)
    log.write(LINES[2])
    log.close({})
    second = (tmp_path / "wandb" / "latest-run").resolve()

    told = [{key: value for key, value in line.items() if value is not None} for line in LINES]
    assert wandb_rows(first) == told[:2]
    assert wandb_rows(second) == [told[0], told[2]]
    runs = [
        record.run
        for folder in (first, second)
        for record in wandb_records(folder)
        if record.WhichOneof("record_type") == "run"
    ]
    assert len({run.run_id for run in runs}) == 1
    assert {run.display_name for run in runs} == {tmp_path.name}
    assert {run.project for run in runs} == {"acme_r2i", "mine"}
    values = {item.key: json.loads(item.value_json) for item in runs[0].config.update}
    assert values["env"] == "bsuite:catch/0" and values["config"] == {"batch_size": 4}


def test_wandb_is_refused_without_an_account(monkeypatch, tmp_path):
    for name in ("HOME", "NETRC"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UsageError, match="takes an account.*WANDB_API_KEY.*offline"):
        external_logs.check_wandb("online")
    external_logs.check_wandb("offline")


def test_the_documented_metrics_of_distributed_runs_are_reported():
    """By their names in the code; runs of one process are compared in test_train."""
    folder = ROOT / "acme_r2i" / "distributed"
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    names = documented_metrics("Distributed runs")
    assert len(names) == 9
    for name in names:
        assert f'"{name.replace("/I/", "/{number}/")}"' in code
