"""State-space models with resets, as Haiku modules.

``SSMStack`` is a whole sequence core and ``SSMBlock`` one residual block. The layer inside is one
of three: ``S5`` (diagonal, all features in one system), ``S4D`` (diagonal, a system of its own for
every feature) and ``S4`` (the same, with the rank-one term of HiPPO-LegS); ``SSMLayer`` is what
they share. ``spectra``, ``discretisation`` and ``scan`` are the functions they are made of.
"""

from acme_r2i.networks.ssm.dplr import S4
from acme_r2i.networks.ssm.layer import PARAMETER_NAMES, SSMLayer
from acme_r2i.networks.ssm.s4d import S4D
from acme_r2i.networks.ssm.s5 import S5
from acme_r2i.networks.ssm.stack import SSM_LAYERS, SSMBlock, SSMStack

__all__ = ["PARAMETER_NAMES", "S4", "S4D", "S5", "SSM_LAYERS", "SSMBlock", "SSMLayer", "SSMStack"]
