"""Arguments that several tests of the command type, and files before and after."""

TASK = ("--env", "bsuite:memory_len/0")
VISION = ("--env", "bsuite_vision:catch/0")
R2D2 = ("--agent", "r2d2")
TINY = (*TASK, "--preset", "debug", "--env-steps", "100")
TRAIN = ("train", *TINY, "--workdir", "new")


def contents(folder):
    """The bytes of every file."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
