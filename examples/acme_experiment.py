"""R2I in an Acme experiment of your own: `python examples/acme_experiment.py --env-steps 30000`.

Acme's EnvironmentLoop steps one environment; its LocalLayout acts, writes to Reverb and learns.
"""

import argparse
import dataclasses
import tempfile

import acme_r2i.acme_compat  # noqa: F401 (makes dm-acme importable beside today's JAX)

import acme
from acme import specs
from acme.jax.layouts import local_layout
from acme.utils import loggers

from acme_r2i import make_environment
from acme_r2i.agents import r2i


def make_config(preset: str) -> r2i.R2IConfig:
    """Returns the settings of a preset, for one environment; change more of them here."""
    return dataclasses.replace(r2i.presets.compose([preset]), num_environments=1)


def make_loop(env: str, config: r2i.R2IConfig, seed: int, workdir: str) -> acme.EnvironmentLoop:
    """Builds environment, agent and loop; Acme's checkpoints go to ``workdir``."""
    environment = make_environment(env, seed=seed)
    environment_spec = specs.make_environment_spec(environment)
    builder = r2i.R2IBuilder(config)
    networks = builder.make_networks(environment_spec)
    agent = local_layout.LocalLayout(
        seed=seed,
        environment_spec=environment_spec,
        builder=builder,
        networks=networks,
        policy_network=builder.make_policy(networks),
        workdir=workdir,
        **builder.local_layout_arguments(),
    )
    return acme.EnvironmentLoop(environment, agent, logger=loggers.NoOpLogger())


def train(loop: acme.EnvironmentLoop, env_steps: int) -> list[float]:
    """Plays whole episodes until so many steps are taken; returns the episodes' returns."""
    returns, steps = [], 0
    while steps < env_steps:
        episode = loop.run_episode()
        steps += episode["episode_length"]
        returns.append(float(episode["episode_return"]))
        if len(returns) % 100 == 0:
            print(f"env steps {steps:,}: mean return {sum(returns[-100:]) / 100:.2f}", flush=True)
    return returns


def main() -> None:
    """Trains R2I on a task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--env", default="bsuite:memory_len/9")
    parser.add_argument("--preset", default="memory")
    parser.add_argument("--env-steps", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as workdir:
        loop = make_loop(options.env, make_config(options.preset), options.seed, workdir)
        train(loop, options.env_steps)


if __name__ == "__main__":
    main()
