"""Both ends of phase 2's way between a device and the server, where the recipe saves bytes on it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from fedmetaalign.engine.compression import pack_weights, pack_with_feedback, unpack
from fedmetaalign.engine.messages import Train
from fedmetaalign.errors import RunError
from fedmetaalign.model.mlp import Network, diverged
from fedmetaalign.phases.local import Update
from fedmetaalign.recipe import Transport
from fedmetaalign.writing import replace as replace_file
from fedmetaalign.writing import writing_to


def blocks(network: Network) -> list[int]:
    """Returns how many weights each layer has: those of a layer share a scale."""
    return [rows * columns for rows, columns in network.shapes]


def round_bytes(network: Network, settings: Transport) -> int:
    """Returns the bytes of what a device is sent in a round of phase 2, and of the delta that it sends."""
    weights, layers = network.parameters, len(network.shapes)
    sizes = {"float32": 4 * weights, "float16": 2 * weights + 4 * layers, "int8": weights + 4 * layers}
    return sizes[settings.receive] + sizes[settings.send]


def ask(network: Network, settings: Transport, weights: np.ndarray, number: int) -> Train:
    """Returns the server's request of a round: the devices start from the weights as they arrive."""
    if settings.receive == "float32" or diverged(weights):
        return Train(weights, number)
    packed = pack_weights(weights, blocks(network))
    return Train(unpack(packed, blocks(network)), number, packed)


@dataclass(frozen=True)
class Residuals:
    """What rounding has lost of a device's deltas, by round.

    A round that is asked for again, since the server was stopped, has to be answered again from what was
    lost before it. So the last two are kept.

    Attributes:
        folder: where they survive a restart; None keeps them in memory.
    """

    folder: Path | None = None
    _memory: dict[int, np.ndarray] = field(default_factory=dict)

    def before(self, number: int, parameters: int) -> np.ndarray:
        """Returns what was lost up to a round, (parameters,) float32: zeros before the first.

        Raises:
            RunError: the round is older than what is kept.
        """
        numbers = self._numbers()
        found = max((n for n in numbers if n < number), default=None)
        if found is None:
            if any(n > number for n in numbers):
                raise RunError(
                    f"What rounding lost before round {number} is not kept any more: start the run again with"
                    " another --out."
                )
            return np.zeros(parameters, np.float32)
        return self._memory[found] if self.folder is None else load_file(self._path(found))["residual"]

    def keep(self, number: int, residual: np.ndarray) -> None:
        """Keeps what was lost up to and with a round; of other rounds only the latest one before it."""
        before = max((n for n in self._numbers() if n < number), default=None)
        if self.folder is None:
            self._memory[number] = residual
        else:
            with writing_to(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                replace_file(self._path(number), save({"residual": residual}))
        for other in self._numbers() - {number, before}:
            if self.folder is None:
                del self._memory[other]
            else:
                self._path(other).unlink(missing_ok=True)

    def _numbers(self) -> set[int]:
        if self.folder is None:
            return set(self._memory)
        return {int(path.stem.removeprefix("residual-")) for path in self.folder.glob("residual-*.safetensors")}

    def _path(self, number: int) -> Path:
        assert self.folder is not None  # noqa: S101 - only asked where there is one
        return self.folder / f"residual-{number}.safetensors"


def packed(network: Network, settings: Transport, update: Update, number: int, residuals: Residuals) -> Update:
    """Returns a device's answer as the server will see it, and keeps what rounding loses for the next round."""
    if settings.send == "float32" or diverged(update.delta):
        return update
    lost = residuals.before(number, network.parameters)
    sent, residual = pack_with_feedback(update.delta, lost, settings.send, blocks(network))
    residuals.keep(number, residual)
    return replace(update, delta=unpack(sent, blocks(network)), packed=sent)
