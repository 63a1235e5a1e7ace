"""Programs as they are written down, before anything runs: no Ray here."""

import pytest

from acme_r2i import launchpad_ray as lp
from acme_r2i.launchpad_ray.launching import check_that_all_fits, default_resources

pytestmark = pytest.mark.integration


def test_nodes_are_in_groups_and_numbered_there():
    program = lp.Program("p")
    with program.group("actor"):
        handles = [program.add_node(lp.CourierNode(dict)) for _ in range(2)]
    program.add_node(lp.CourierNode(dict), label="counter")
    assert list(program.groups) == ["actor", "counter"]
    assert list(program.named_nodes()) == ["actor/0", "actor/1", "counter/0"]
    assert handles[0] is not handles[1]


def test_a_node_needs_one_group_and_one_program():
    program = lp.Program("p")
    node = lp.CourierNode(dict)
    with pytest.raises(ValueError, match="with a label"):
        program.add_node(node)
    with program.group("a"):
        with pytest.raises(ValueError, match="label 'b' within group 'a'"):
            program.add_node(node, label="b")
        with pytest.raises(ValueError, match="groups do not nest"), program.group("b"):
            pass
        program.add_node(node)
    with pytest.raises(ValueError, match="added to program 'p' before"):
        program.add_node(node, label="a")
    with pytest.raises(ValueError, match="one node or more"):
        lp.MultiThreadingColocation([lp.MultiThreadingColocation([node])])
    with pytest.raises(ValueError, match="only thread_pool_size is known"):
        lp.CourierNode(dict, courier_kwargs={"port": 1})


def test_a_handle_leads_nowhere_before_the_launch():
    with pytest.raises(RuntimeError, match="has not been launched"):
        lp.CourierNode(dict).create_handle().dereference()


def test_the_learner_takes_the_gpu_and_the_others_compute_on_the_cpu():
    learner = default_resources("learner", gpus=True)
    assert learner.num_gpus == 1 and learner.variables() == {}
    assert default_resources("learner", gpus=False).variables() == {"JAX_PLATFORMS": "cpu"}
    assert default_resources("actor", gpus=True).variables() == {"JAX_PLATFORMS": "cpu"}
    assert lp.Resources(environment={"JAX_PLATFORMS": "tpu"}).variables()["JAX_PLATFORMS"] == "tpu"
    with pytest.raises(ValueError, match="num_gpus is -1"):
        lp.Resources(num_gpus=-1)


def test_a_program_that_does_not_fit_is_refused():
    wanted = {f"actor/{i}": lp.Resources(num_cpus=2, custom={"fast": 1}) for i in range(3)}
    check_that_all_fits(wanted, {"CPU": 6, "fast": 3}, "p")
    with pytest.raises(ValueError, match="3 nodes of program 'p' take 6 CPU and the cluster has 5"):
        check_that_all_fits(wanted, {"CPU": 5, "fast": 3}, "p")
    with pytest.raises(ValueError, match="take 3 fast and the cluster has 0"):
        check_that_all_fits(wanted, {"CPU": 6}, "p")


def test_what_launch_does_not_take_is_refused_before_ray_starts():
    program = lp.Program("p")
    with pytest.raises(ValueError, match="no nodes"):
        lp.launch(program)
    program.add_node(lp.CourierNode(dict), label="a")
    with pytest.raises(ValueError, match="launch_type is 'vertex_ai'"):
        lp.launch(program, launch_type="vertex_ai")
    with pytest.raises(ValueError, match="terminal is 'teletype'.*current_terminal"):
        lp.launch(program, terminal="teletype")
    with pytest.raises(ValueError, match="there are 2 programs"):
        lp.launch([program, program])
    with pytest.raises(ValueError, match="xm_resources"):
        lp.launch(program, xm_resources={})
    with pytest.raises(ValueError, match="local_resources names b"):
        lp.launch(program, local_resources={"b": lp.Resources()})
    with pytest.raises(ValueError, match="local_resources of a is a dict"):
        lp.launch(program, local_resources={"a": {"num_cpus": 1}})
    with pytest.raises(ValueError, match="max_restarts names b: the groups .* are a"):
        lp.launch(program, max_restarts={"b": 1})
    with pytest.raises(ValueError, match="max_restarts of a is -1: it must be 0 or more"):
        lp.launch(program, max_restarts={"a": -1})


@pytest.mark.parametrize(
    "name", ["CacherNode", "DockerConfig", "MultiProcessingColocation", "batched_handler"]
)
def test_what_is_not_there_says_so(name):
    with pytest.raises(NotImplementedError, match=f"launchpad.{name} is not part of"):
        getattr(lp, name)("a", name="b")
