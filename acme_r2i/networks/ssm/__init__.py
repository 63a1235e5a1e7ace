"""Diagonal state-space models with resets, as Haiku modules.

``SSMStack`` is a whole sequence core, ``SSMBlock`` one residual block, ``S5`` the layer inside;
``spectra``, ``discretisation`` and ``scan`` are the functions they are made of.
"""

from acme_r2i.networks.ssm.s5 import S5
from acme_r2i.networks.ssm.stack import SSMBlock, SSMStack

__all__ = ["S5", "SSMBlock", "SSMStack"]
