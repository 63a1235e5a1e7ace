"""Waiting for a node that is being restarted; which errors are a reason to."""

import pytest

from acme_r2i import launchpad_ray as lp
from acme_r2i.launchpad_ray import calls

pytestmark = pytest.mark.integration


def test_who_waits_says_so_until_the_node_is_back(monkeypatch, caplog):
    monkeypatch.setattr(calls, "_WARN_SECONDS", 0.0)
    monkeypatch.setattr(calls, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(calls, "_own_name", "learner/0")
    looks = iter([None, None, "back"])
    assert calls.wait_until_back("replay/0", "a", 60.0, lambda: next(looks)) == "back"
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["learner/0 waits for replay/0, which is being restarted (0 s)"] * 2


def test_the_wait_has_an_end_that_names_both(monkeypatch):
    monkeypatch.setattr(calls, "_LOOK_SECONDS", 0.001)
    message = "the launching process waited 0.05 s for replay/0, which has failed and not come back"
    with pytest.raises(lp.NodeUnavailableError, match=message) as error:
        calls.wait_until_back("replay/0", "a", 0.05, lambda: None)
    assert error.value.node == "replay/0"


def test_nobody_waits_for_a_program_that_ends():
    calls.give_up("of a program that ends")
    with pytest.raises(lp.NodeUnavailableError, match="replay/0 does not run any more"):
        calls.wait_until_back("replay/0", "of a program that ends", 60.0, lambda: None)


def test_a_node_has_gone_by_what_its_process_says_not_by_what_its_method_raised():
    exceptions = pytest.importorskip("ray.exceptions")

    def raised(error):
        # As Ray brings it, which is of the error's own type, too.
        return exceptions.RayTaskError("call", "", error).as_instanceof_cause()

    own = lp.NodeUnavailableError("replay/0 has failed, and answers no calls", "replay/0")
    other = lp.NodeUnavailableError("counter/0 has failed, and answers no calls", "counter/0")
    assert calls.node_has_gone(exceptions.ActorDiedError(), "replay/0")
    assert calls.node_has_gone(exceptions.ActorUnavailableError("", None), "replay/0")
    assert calls.node_has_gone(raised(own), "replay/0")
    assert not calls.node_has_gone(raised(other), "replay/0")
    assert not calls.node_has_gone(raised(exceptions.ActorDiedError()), "replay/0")
    assert not calls.node_has_gone(raised(LookupError("not here")), "replay/0")
