"""The `r2i` command.

It imports what it needs when it needs it: help and wrong arguments are answered at once, and only a
run that can be loads JAX, Acme and the simulators, which takes seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import pathlib
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from acme_r2i import __version__
from acme_r2i.launch import env_options, options, overrides
from acme_r2i.launch.agent_kinds import AGENTS, DEFAULT_AGENT
from acme_r2i.launch.errors import UsageError

_DESCRIPTION = "Recall to Imagine (R2I): a world-model agent with state-space memory."

_EPILOG = """\
r2i COMMAND --help tells what a command takes, e.g.
  r2i train --env popgym:RepeatPreviousEasy --workdir runs/first
"""

_TRAIN_DESCRIPTION = """\
Trains an agent on a task; R2I, unless --agent names another. The run's folder gets config.json
(every setting), metrics.jsonl (a line every so many environment steps), episodes.csv (a line an
episode) and, at the end, parameters.npz and summary.json. Ctrl-C ends a run early and leaves its
files whole.
"""

_TRAIN_EPILOG = """\
agents:
{agents}

{presets}
  With commas between them they stack: --preset popgym,dreamerv3,small

fields:
  Every field of the settings can be set by its dotted path, on top of the preset:
    --batch_size 8 --behaviour.horizon 10 --world_model.core.layers 3
  Settings that come in kinds change kind, and keep what both kinds have:
    --world_model.core.kind s4d --world_model.latent.kind gaussian
  r2i train --help-fields lists them, for the agent and the preset that are given with it.

environments:
  --env.NAME VALUE sets an option of the task's suite, as with bsuite_vision:
    --env bsuite_vision:catch/0 --env.size 32
  With --env-workers inline, environments are stepped one after another where the agent runs; with
  threads or processes, side by side. One that raises an error begins anew with another seed, its
  episode is dropped, and so it is with a process that dies or takes longer than
  --env-step-timeout. (A thread that hangs cannot be ended, and ends the run.)

examples:
  r2i train --env popgym:RepeatPreviousEasy --env-steps 100000 --seed 0 --workdir runs/first
  r2i train --env bsuite:memory_len/3 --env-steps 50000 --behaviour.entropy_scale 1e-3
  r2i train --agent r2d2 --core lstm --env popgym:RepeatPreviousEasy --trace_length 32

exit code: 0 when the run is done, 1 if environments failed too often, 2 if the run cannot be, 130
after Ctrl-C, 143 after SIGTERM.
"""


_PRESETS_DESCRIPTION = """\
Lists the named settings with their numbers of parameters, or shows one whole: every field, its
value and what it means. With commas between them, presets stack: popgym,dreamerv3,small.
"""


_IMAGINE_DESCRIPTION = """\
Plays an episode with the policy of a run that has ended. The world model sees the first rows; from
there on it is given the actions alone, and imagines. Draws lines.png and, of images, strip.png and
animation.gif.
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
    _silence_tensorflow()
    return typed.run(typed, others)


def _make_parser() -> _Parser:
    parser = _Parser(prog="r2i", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument(
        "--version", action="version", version=f"r2i {__version__}", help="show it and exit"
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    _add_train(commands)
    _add_presets(commands)
    _add_imagine(commands)
    return parser


def _describe_presets(agent: str) -> str:
    return "\n".join(
        f"  {name:<13}{inspect.getdoc(preset).splitlines()[0]}"
        for name, preset in AGENTS[agent].presets.items()
    )


def _add_presets(commands: argparse._SubParsersAction) -> None:
    presets = commands.add_parser(
        "presets",
        help="list the named settings, or show one",
        usage="r2i presets [NAME[,NAME...]] [--agent NAME] [--json]",
        description=_PRESETS_DESCRIPTION,
        epilog="\n\n".join(f"presets of {name}:\n{_describe_presets(name)}" for name in AGENTS),
    )
    presets.set_defaults(run=_presets)
    presets.add_argument("name", nargs="?", metavar="NAME", help="show this one whole")
    presets.add_argument("--agent", metavar="NAME", default=DEFAULT_AGENT, help=_help("whose"))
    presets.add_argument("--json", action="store_true", help="show it as JSON")


def _add_train(commands: argparse._SubParsersAction) -> None:
    train = commands.add_parser(
        "train",
        help="train an agent on a task",
        usage="r2i train --env SUITE:TASK [options] [--FIELD VALUE ...]",
        description=_TRAIN_DESCRIPTION,
        epilog=_TRAIN_EPILOG.format(
            agents="\n".join(f"  {name:<13}{kind.summary}" for name, kind in AGENTS.items()),
            presets="\n\n".join(
                f"presets of {name}:\n{_describe_presets(name)}" for name in AGENTS
            ),
        ),
    )
    train.set_defaults(run=_train)
    add = train.add_argument
    add("--env", metavar="SUITE:TASK", help="the task, e.g. popgym:RepeatPreviousEasy (needed)")
    add(
        "--env-workers",
        metavar="|".join(options.ENV_WORKERS),
        default=options.ENV_WORKERS[0],
        help=_help("where environments run"),
    )
    add(
        "--env-step-timeout",
        metavar="SECONDS",
        help="longest that a step or a reset may take, or none (default: "
        f"{options.DEFAULT_ENV_STEP_TIMEOUT:g}; inline: none)",
    )
    add(
        "--env-max-restarts",
        metavar="N",
        default=str(options.DEFAULT_ENV_MAX_RESTARTS),
        help=_help("how often environments may begin anew after failing, all together"),
    )
    add("--agent", metavar="NAME", default=DEFAULT_AGENT, help=_help("what to train"))
    add(
        "--core",
        metavar="NAME",
        help=f"sequence core, with --agent r2d2: {', '.join(AGENTS['r2d2'].core_names)}",
    )
    add(
        "--preset",
        metavar="NAME[,NAME...]",
        default=options.DEFAULT_PRESET,
        help=_help("named settings"),
    )
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


def _add_imagine(commands: argparse._SubParsersAction) -> None:
    imagine = commands.add_parser(
        "imagine",
        help="draw what a trained world model expects, beside what happens",
        usage="r2i imagine RUN [options]",
        description=_IMAGINE_DESCRIPTION,
    )
    imagine.set_defaults(run=_imagine)
    add = imagine.add_argument
    add("folder", metavar="RUN", help="folder of a run that has ended")
    add("--context", metavar="N", default="10", help=_help("rows that the model sees"))
    add("--horizon", metavar="N", default="30", help=_help("rows that it then imagines"))
    add("--seed", metavar="N", default="0", help=_help("of the episode and of imagination"))
    add("--out", metavar="DIR", help="folder of the pictures (default: RUN/imagine)")


def _help(text: str) -> str:
    return f"{text} (default: %(default)s)"


def _train(typed: argparse.Namespace, fields: list[str]) -> int:
    if typed.help_fields:
        task = options.task_name(typed.env) if typed.env else ""
        fields, _ = env_options.split(fields)
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
        env_workers=typed.env_workers,
        env_step_timeout=typed.env_step_timeout,
        env_max_restarts=typed.env_max_restarts,
        fields=fields,
    )
    from acme_r2i.launch.train import train

    return train(checked)


def _imagine(typed: argparse.Namespace, others: list[str]) -> int:
    if others:
        raise UsageError(f"unexpected argument {others[0]!r}; see r2i imagine --help")
    context, horizon, seed = (
        options.whole_number(f"--{name}", getattr(typed, name), minimum)
        for name, minimum in (("context", 1), ("horizon", 1), ("seed", 0))
    )
    folder = pathlib.Path(typed.folder)
    from acme_r2i.launch import imagine  # imports JAX
    from acme_r2i.reports import open_loop

    run = imagine.load_run(folder, seed)
    prediction = imagine.predict(run, context, horizon, seed)
    out = pathlib.Path(typed.out) if typed.out else folder / "imagine"
    for path in open_loop.draw(prediction, f"R2I on {run.task}", out):
        print(path)
    return 0


def _presets(typed: argparse.Namespace, others: list[str]) -> int:
    if others:
        raise UsageError(f"unexpected argument {others[0]!r}; see r2i presets --help")
    if typed.name is None:
        if typed.json:
            raise UsageError("--json shows one preset: r2i presets NAME --json")
        for name in AGENTS:
            print(f"presets of {name}:\n{_describe_presets(name)}\n")
        from acme_r2i.launch import preset_listing  # imports JAX

        for line in preset_listing.table():
            print(line, flush=True)
        return 0
    config, _ = options.make_config(typed.name, "", agent=typed.agent)
    if typed.json:
        print(json.dumps(dataclasses.asdict(config), indent=2))
    else:
        _print_fields(config)
    return 0


def _print_fields(config: Any) -> None:
    for field in overrides.list_fields(config):
        value = ",".join(map(str, field.value)) if isinstance(field.value, tuple) else field.value
        print(f"--{field.name} {value}")
        print(textwrap.indent(textwrap.fill(field.description, 92), "    "))


def _silence_tensorflow() -> None:
    """Hides TensorFlow's start-up complaints unless the user wants some level, as acme_compat does.

    It has to be done before TensorFlow is loaded, and rlax loads it where it is installed, through
    TensorFlow Probability. JAX sets "1" itself, so that is nobody's wish.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


if __name__ == "__main__":
    sys.exit(main())
