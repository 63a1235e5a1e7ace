"""A run in which nothing moves says so."""

from acme_r2i.distributed.conductor import StallWatch


def test_a_stall_is_told_after_a_while_and_then_less_and_less_often():
    now, notes = [0.0], []
    watch = StallWatch(notes.append, stall_seconds=10.0, clock=lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        watch.look((5, 1), lambda: "actor/0 waits for replay")
    assert notes == [
        f"no step for {seconds} s: actor/0 waits for replay" for seconds in (10, 20, 40, 80)
    ]


def test_a_step_of_any_kind_ends_it():
    now, notes = [0.0], []
    watch = StallWatch(notes.append, stall_seconds=10.0, clock=lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        watch.look((5, second // 9), lambda: "")
    assert notes == []
