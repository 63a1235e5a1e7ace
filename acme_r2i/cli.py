"""The `r2i` command.

It imports what it needs when it needs it: help and wrong arguments are answered at once, and only a
run that can be loads JAX, Acme and the simulators, which takes seconds.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from acme_r2i import __version__
from acme_r2i.launch import options, overrides
from acme_r2i.launch.agent_kinds import AGENTS, DEFAULT_AGENT
from acme_r2i.launch.errors import UsageError

_DESCRIPTION = "Recall to Imagine (R2I): a world-model agent with state-space memory."

_EPILOG = """\
r2i train --help tells what a run takes, e.g.
  r2i train --env popgym:RepeatPreviousEasy --workdir runs/first
"""

_TRAIN_DESCRIPTION = """\
Trains an agent on a task; R2I, unless --agent names another. The run's folder gets config.json
(every setting), metrics.jsonl (a line every so many environment steps), episodes.csv (a line an
episode) and, at the end, summary.json. Ctrl-C ends a run early and leaves its files whole.
"""

_TRAIN_EPILOG = """\
agents:
{agents}

{presets}

fields:
  Every field of the settings can be set by its dotted path, on top of the preset:
    --batch_size 8 --behaviour.horizon 10 --world_model.core.layers 3
  r2i train --help-fields lists them, for the agent and the preset that are given with it.

examples:
  r2i train --env popgym:RepeatPreviousEasy --env-steps 100000 --seed 0 --workdir runs/first
  r2i train --env bsuite:memory_len/3 --env-steps 50000 --behaviour.entropy_scale 1e-3
  r2i train --agent r2d2 --core lstm --env popgym:RepeatPreviousEasy --trace_length 32

exit code: 0 when the run is done, 2 if it cannot be, 130 after Ctrl-C, 143 after SIGTERM.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and takes no abbreviations, which may be meant for fields."""

    def __init__(self, **arguments: Any):
        super().__init__(
            **arguments,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--help", "-h", action="help", help="show this and exit")

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code.

    Args:
      arguments: what was typed after `r2i`; None takes it from the process.
    """
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"r2i: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    except BrokenPipeError:  # as in `r2i train --help-fields | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str]) -> int:
    parser = _make_parser()
    typed, others = parser.parse_known_args(arguments)
    if typed.command is None:
        if others:
            raise UsageError(f"unexpected argument {others[0]!r}; see r2i --help")
        parser.print_help()
        return 0
    return typed.run(typed, others)


def _make_parser() -> _Parser:
    parser = _Parser(prog="r2i", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"r2i {__version__}", help="show it and exit"
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    _add_train(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction) -> None:
    agents = "\n".join(f"  {name:<13}{kind.summary}" for name, kind in AGENTS.items())
    presets = "\n\n".join(
        "\n".join([f"presets of {name}:", *map(_describe_preset, kind.presets.items())])
        for name, kind in AGENTS.items()
    )
    train = commands.add_parser(
        "train",
        help="train an agent on a task",
        usage="r2i train --env SUITE:TASK [options] [--FIELD VALUE ...]",
        description=_TRAIN_DESCRIPTION,
        epilog=_TRAIN_EPILOG.format(agents=agents, presets=presets),
    )
    train.set_defaults(run=_train)
    add = train.add_argument
    add("--env", metavar="SUITE:TASK", help="the task, e.g. popgym:RepeatPreviousEasy (needed)")
    add("--agent", metavar="NAME", default=DEFAULT_AGENT, help=_help("what to train"))
    add(
        "--core",
        metavar="NAME",
        help=f"sequence core, with --agent r2d2: {', '.join(AGENTS['r2d2'].core_names)}",
    )
    add("--preset", metavar="NAME", default=options.DEFAULT_PRESET, help=_help("named settings"))
    add(
        "--env-steps",
        metavar="N",
        default=str(options.DEFAULT_ENV_STEPS),
        help=_help("actions to take, over all environments together"),
    )
    add("--seed", metavar="N", default="0", help=_help("of parameters, actions and environments"))
    add(
        "--workdir",
        metavar="DIR",
        help="folder of the run, which must not hold another (default: a new one under runs/)",
    )
    add(
        "--log-every",
        metavar="N",
        default=str(options.DEFAULT_LOG_EVERY_ENV_STEPS),
        help=_help("environment steps between two lines of metrics"),
    )
    add("--help-fields", action="store_true", help="show every field and its value, and exit")


def _describe_preset(item: tuple[str, Any]) -> str:
    name, preset = item
    return f"  {name:<13}{inspect.getdoc(preset).splitlines()[0]}"


def _help(text: str) -> str:
    return f"{text} (default: %(default)s)"


def _train(typed: argparse.Namespace, fields: list[str]) -> int:
    if typed.help_fields:
        task = options.task_name(typed.env) if typed.env else ""
        config, _ = options.make_config(
            typed.preset, task, fields, agent=typed.agent, core=typed.core
        )
        _print_fields(config)
        return 0
    checked = options.make_options(
        env=typed.env,
        agent=typed.agent,
        core=typed.core,
        preset=typed.preset,
        env_steps=typed.env_steps,
        seed=typed.seed,
        workdir=typed.workdir,
        log_every=typed.log_every,
        fields=fields,
    )
    from acme_r2i.launch.train import train

    return train(checked)


def _print_fields(config: Any) -> None:
    for field in overrides.list_fields(config):
        value = ",".join(map(str, field.value)) if isinstance(field.value, tuple) else field.value
        print(f"--{field.name} {value}")
        print(textwrap.indent(textwrap.fill(field.description, 92), "    "))


if __name__ == "__main__":
    sys.exit(main())
