"""Distributed runs: `r2i train --num-actors N`, on Ray.

The nodes of a run (`launch_nodes`) are a replay server, a learner (`learner_node`), N actors
(`actor_node`) and, if asked for, an evaluator. The process of the command (`train`) launches them,
asks each for a report several times a second, counts, and writes the run's folder (`conductor`),
which has the same files as that of a run in one process. No other process counts or records, and
the run ends with this one.

Each new process of a node waits for a call of ``begin``: the learner then gets the newest
checkpoint, an actor its restart count.
"""
