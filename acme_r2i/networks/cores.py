from acme_r2i.networks.ssm import SSMStack


def make_core(kind, output_size, name=None, **o):
    assert kind == "s5"
    return SSMStack(output_size, name=name, **o)
