"""Logs of a run's metrics for other tools: TensorBoard and Weights & Biases.

Each is a copy of ``metrics.jsonl``: it is opened with the lines so far, and takes each new line. So
a log that is added on resume has all lines, and none has a line that was cut from the file.
"""

from __future__ import annotations

import pathlib
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from acme_r2i.runs import UsageError
from acme_r2i.runs.run_folder import read_metrics


class MetricsLog(Protocol):
    """Takes lines of metrics."""

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Writes a line; None stands for no number."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Writes what is left, and the run's summary if the tool shows one."""


class TensorBoardLog:
    """An event file in the run's folder, over environment steps.

    Lines cannot be removed from an event file, so each process of a run writes the whole file.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        history: Iterable[Mapping[str, Any]] = (),
        *,
        began: float | None = None,
    ):
        """Replaces the event files of earlier processes.

        Args:
          folder: folder of the run.
          history: lines so far.
          began: time at which a run without pauses would have begun, in seconds since 1970; None
            for now.
        """
        # This module of TensorBoard does not need TensorFlow.
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder = folder / "tensorboard"
        former = list(folder.glob("events.out.tfevents.*")) if folder.exists() else []
        self._began = time.time() if began is None else began
        self._writer = EventFileWriter(str(folder))
        for metrics in history:
            self.write(metrics)
        self._writer.flush()
        for path in former:
            path.unlink()

    def write(self, metrics: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in metrics.items()
            if name != "env_steps" and value is not None
        ]
        wall_time = self._began + metrics["wall_seconds"]
        self._writer.add_event(
            Event(step=metrics["env_steps"], wall_time=wall_time, summary=Summary(value=values))
        )

    def close(self, summary: Mapping[str, Any]) -> None:
        self._writer.close()


class WandbLog:
    """A run on Weights & Biases, over environment steps; its files are in the run's folder.

    Online, a resumed run continues under its name there, and sends only steps that were not sent.
    Offline, each process writes a folder with the whole run under the same name, so the latest is
    the one to send: ``wandb sync RUN/wandb/latest-run``.

    Attributes:
      place: address of the run; offline, the folder of its files.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        history: Iterable[Mapping[str, Any]] = (),
        *,
        mode: str,
        project: str,
        config: Mapping[str, Any],
    ):
        """Starts or continues the run.

        Args:
          folder: folder of the run, whose name it gets.
          history: lines so far.
          mode: "online" or "offline".
          project: project. W&B's own variables set account and server.
          config: content of config.json.

        Raises:
          UsageError: if W&B cannot be reached, or has no account.
        """
        import wandb

        path = folder / "wandb" / "run_id"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(secrets.token_hex(4), encoding="utf-8")
        try:
            run = wandb.init(
                dir=str(folder),
                project=project,
                name=folder.name,
                id=path.read_text(encoding="utf-8"),
                mode=mode,
                resume="allow" if mode == "online" else None,
                config=dict(config),
                save_code=False,
                settings=wandb.Settings(console="off", silent=True),
            )
        except wandb.errors.Error as error:
            raise UsageError(f"TrainConfig.wandb {mode} does not work here: {error}") from None
        self._run = run
        self._sent = run.step if run.resumed else -1
        self.place = run.dir.removesuffix("/files") if run.offline else run.url
        for metrics in history:
            self.write(metrics)

    def write(self, metrics: Mapping[str, Any]) -> None:
        if metrics["env_steps"] >= self._sent:
            known = {name: value for name, value in metrics.items() if value is not None}
            self._run.log(known, step=metrics["env_steps"])

    def close(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=1 if summary.get("failure") else 0)


def open_logs(
    folder: pathlib.Path, config: Mapping[str, Any], wall_seconds: float
) -> list[MetricsLog]:
    """Opens the logs of a run, with its metrics so far.

    Args:
      folder: folder of the run.
      config: content of config.json.
      wall_seconds: duration of the run so far, without the time between its processes.

    Raises:
      UsageError: if W&B cannot be reached.
    """
    wanted = packages(config)
    history = read_metrics(folder) if wanted else []
    logs: list[MetricsLog] = []
    if "tensorboard" in wanted:
        logs.append(TensorBoardLog(folder, history, began=time.time() - wall_seconds))
    if "wandb" in wanted:
        names = {"mode": config["wandb"], "project": config["wandb_project"]}
        logs.append(WandbLog(folder, history, **names, config=config))
        print(f"{'wandb':<12}{logs[-1].place}", flush=True)
    return logs


def packages(config: Mapping[str, Any]) -> list[str]:
    """Returns the packages that the logs of a run need, given its config.json."""
    return [name for name in ("tensorboard", "wandb") if config[name]]


def check_wandb(mode: str) -> None:
    """Checks that Weights & Biases has an account to send a run to; UsageError if not."""
    if mode == "online":
        import wandb

        if not wandb.Settings().api_key and not wandb.api.api_key:
            raise UsageError(
                "TrainConfig.wandb online takes an account: `wandb login`, or set WANDB_API_KEY; "
                "offline sends nothing"
            )
