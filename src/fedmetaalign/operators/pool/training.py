"""Pools in training: they have no parameters, and belong to the layer that they follow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fedmetaalign.operators import Layer
from fedmetaalign.operators.pool.layer import Pool
from fedmetaalign.operators.steps import each_place
from fedmetaalign.operators.training import Trainable


def forward(pool: Pool, x: jax.Array) -> jax.Array:
    """Returns the output for one sample, (inputs,), or some, (rows, inputs)."""
    steps = x.reshape(*x.shape[:-1], pool.steps, pool.channels)
    if pool.size == pool.steps:
        found = steps.max(-2) if pool.kind == "max" else steps.mean(-2)
    else:
        seen = [steps[..., place, :] for place in each_place(pool.steps, pool.size, pool.stride)]
        found = reduce(jnp.maximum, seen) if pool.kind == "max" else sum(seen[1:], seen[0]) * (1 / pool.size)
    return found.reshape(*x.shape[:-1], pool.outputs)


@dataclass(frozen=True)
class Pooled(Trainable):
    """A layer with the pools beside it: whatever counts layers counts those with parameters.

    Attributes:
        layer: what has the parameters.
        after: pools that take its output, the first one first.
        before: pools that give its input, where no layer with parameters comes before them.
    """

    layer: Trainable
    after: tuple[Pool, ...] = ()
    before: tuple[Pool, ...] = ()

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """Units that the first of them takes."""
        return self.before[0].inputs if self.before else self.layer.inputs

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the layer's parameters."""
        return self.layer.shape

    @property
    def parts(self) -> int:
        """The layer and the pools."""
        return len(self.before) + 1 + len(self.after)

    def initial(self, random: np.random.Generator) -> np.ndarray:
        """Draws the layer's parameters."""
        return self.layer.initial(random)

    def deployed(self, w: np.ndarray) -> tuple[Layer, ...]:
        """Returns the pools before it, the layer, and the pools after it."""
        return (*self.before, *self.layer.deployed(w), *self.after)

    def forward(self, w: jax.Array, x: jax.Array) -> jax.Array:
        """Returns what the last of them gives."""
        for pool in self.before:
            x = forward(pool, x)
        x = self.layer.forward(w, x)
        for pool in self.after:
            x = forward(pool, x)
        return x

    def trace(self, w: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Returns what the last of them gives, and what each needs for `backward`."""
        before, after = [], []
        for pool in self.before:
            x, back = jax.vjp(lambda x, pool=pool: forward(pool, x), x)
            before.append(back)
        x, traced = self.layer.trace(w, x)
        for pool in self.after:
            x, back = jax.vjp(lambda x, pool=pool: forward(pool, x), x)
            after.append(back)
        return x, (before, traced, after)

    def backward(self, w: jax.Array, traced: Any, error: jax.Array) -> tuple[Any, jax.Array]:
        """Returns the layer's gradient by its parameters, and that by the input."""
        before, inner, after = traced
        for back in reversed(after):
            (error,) = back(error)
        gradient, error = self.layer.backward(w, inner, error)
        for back in reversed(before):
            (error,) = back(error)
        return gradient, error

    def full(self, gradient: Any, factor: jax.Array | None = None) -> jax.Array:
        """Returns the layer's gradient, times a number perhaps."""
        return self.layer.full(gradient, factor)

    def scaled(self, gradient: Any, factor: jax.Array) -> Any:
        """Returns the layer's gradient times a number."""
        return self.layer.scaled(gradient, factor)


def pooled(layers: Sequence[Trainable | Pool]) -> tuple[Trainable, ...]:
    """Puts each pool to the layer before it, and those before the first layer to that one."""
    found: list[Trainable] = []
    waiting: list[Pool] = []
    for layer in layers:
        if not isinstance(layer, Pool):
            found.append(Pooled(layer, before=tuple(waiting)) if waiting else layer)
            waiting = []
        elif not found:
            waiting.append(layer)
        elif isinstance(found[-1], Pooled):
            found[-1] = replace(found[-1], after=(*found[-1].after, layer))
        else:
            found[-1] = Pooled(found[-1], (layer,))
    return tuple(found)
