"""An update on several devices: each has its share of the sequences and a copy of the state.

The update stays one function of the whole batch: XLA's partitioner splits it, draws the same random
numbers wherever they are needed, and adds up gradients and means over the devices. Percentiles of
returns are those of all devices' rollouts.

This module places the arrays (:class:`Placement`). It also reorders rollouts for the networks that
read them (:func:`for_rollouts`): a product flattens its leading axes, and [H, N, ...] split over N
does not stay split when it is flattened, so that every device would compute everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from acme_r2i.agents.r2i.networks import R2INetworks
from acme_r2i.networks.parts import Inputs, leading_shape
from acme_r2i.replay.rows import PyTree

_AXIS = "sequences"


@dataclasses.dataclass(frozen=True)
class Placement:
    """Placement of the arrays of an update.

    Attributes:
      mesh: the devices, in a row.
    """

    mesh: Mesh

    @property
    def split(self) -> NamedSharding:
        """Sharding of arrays [B, ...] that are split along their first axis."""
        return NamedSharding(self.mesh, PartitionSpec(_AXIS))

    @property
    def everywhere(self) -> NamedSharding:
        """Sharding of arrays that every device has a copy of."""
        return NamedSharding(self.mesh, PartitionSpec())


def make_placement(devices: Sequence[jax.Device] | None, batch_size: int) -> Placement | None:
    """Places an update on devices; returns None for JAX's default device alone.

    Args:
      devices: the devices; None for all local ones of JAX's default backend.
      batch_size: sequences in a batch.

    Raises:
      ValueError: if the batch cannot be split evenly over them.
    """
    local = jax.local_devices()
    devices = local if devices is None else list(devices)
    check_batch_size(batch_size, len(devices))
    return None if devices == local[:1] else Placement(Mesh(np.array(devices), (_AXIS,)))


def check_batch_size(batch_size: int, devices: int) -> None:
    """Checks that a batch can be split evenly over the devices.

    Raises:
      ValueError: if not; the message has the allowed batch sizes and numbers of devices.
    """
    if devices < 1 or batch_size % devices:
        fitting = [str(n) for n in range(1, batch_size + 1) if batch_size % n == 0]
        raise ValueError(
            f"batch_size={batch_size} cannot be split evenly over {devices} devices: it must be a "
            f"multiple of {devices}, or their number one of {', '.join(fitting)}"
        )


def for_rollouts(networks: R2INetworks, mesh: Mesh) -> R2INetworks:
    """Returns networks whose actor, critic and predictions take rollouts split over devices.

    They take features [H, N, F] that are split over N, and [N, F] as before.
    """
    heads = {name: _by_device(getattr(networks, name), mesh) for name in ("actor", "critic")}
    model = networks.imagination
    model = model._replace(predict=_by_device(model.predict, mesh))
    return dataclasses.replace(networks, imagination=model, **heads)


def _by_device(
    apply: Callable[[PyTree, Inputs], Any], mesh: Mesh
) -> Callable[[PyTree, Inputs], Any]:
    """Gives a function its rows [H, N, ...] as [H N, ...], those of a device together."""
    devices = mesh.size
    flat, rollout = (
        NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((_AXIS,), (None, _AXIS))
    )
    constrained = jax.lax.with_sharding_constraint

    def flatten(x: Array) -> Array:
        horizon, rows = x.shape[:2]
        x = constrained(x, rollout).reshape(horizon, devices, rows // devices, *x.shape[2:])
        x = jnp.moveaxis(x, 1, 0)
        return constrained(x.reshape(-1, *x.shape[3:]), flat)

    def applied(params: PyTree, features: Inputs) -> Any:
        shape = leading_shape(features)
        if len(shape) == 1:
            return apply(params, features)
        horizon, rows = shape

        def unflatten(x: Array) -> Array:
            x = constrained(x, flat).reshape(devices, horizon, rows // devices, *x.shape[1:])
            x = jnp.moveaxis(x, 0, 1)
            return constrained(x.reshape(horizon, rows, *x.shape[3:]), rollout)

        return jax.tree.map(unflatten, apply(params, jax.tree.map(flatten, features)))

    return applied
