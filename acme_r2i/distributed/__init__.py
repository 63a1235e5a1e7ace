"""`r2i train --num-actors N`: a run on many processes, on Ray.

The program (`program`) has a node that serves replay, one that learns, N that act, and one that
evaluates if that was asked for. The process in which the command was given launches them, asks each
for a report a few times a second, counts, and writes the run's folder (`conductor`): the same
files as a run in one process has. So there is no recorder that could die beside it, what is
known of the run is in one place, and with that process the run ends.

Nodes are told where they begin (`begin`) when they have been made, at first and after each restart:
the learner gets the newest checkpoint, an actor the number of its restarts.
"""
