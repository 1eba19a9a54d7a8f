"""Writes a signal as C: what `fma_front.c` is compiled with."""

import numpy as np

from fedmetaalign.model.preparation import Preparation
from fedmetaalign.operators.c_text import array, real, table
from fedmetaalign.signals import Signal, names, raw_of, shared
from fedmetaalign.signals.fourier import cosines
from fedmetaalign.signals.moments import NAMES
from fedmetaalign.signals.plan import Spectrum
from fedmetaalign.tinyml import memory
from fedmetaalign.tinyml.firmware_readme import plain
from fedmetaalign.tinyml.network import DeployedNetwork

README = """\

The features are made of windows of a signal. Add `fma_front.c` and `fma_signal.h`, whose first lines say what a
sample is and how much RAM it takes, and compile `fma_front.c`, too, also with `main.c`. In place of step 2 give
it sample after sample:

    #include "fma_front.h"
    static fma_stream_t stream; /* once: fma_stream_init(&stream); */
    said = fma_push(&stream, sample, ...); /* what fma_classify says where a window ends, else FMA_NONE */

`fma_features` gives the features of the window that has just ended: the raw features of `fma_learn.h`. Where
the network takes the samples themselves, `stream.window` is its input, for `fma_trunk`.
"""
"""The end of the firmware's README of a device that takes signals."""


def sources(signal: Signal | None) -> tuple[str, ...]:
    """Returns the C files that a signal needs beside the others."""
    if signal is None:
        return ()
    return ("fma_front.c", "fma_front.h", *(["fma_spectrum.h"] if signal.spectral else []))


def signal_header(preparation: Preparation, network: DeployedNetwork, pairs: bool = False) -> str:
    """Returns `fma_signal.h`.

    Args:
        preparation: from a signal to the network's inputs.
        network: what the device runs.
        pairs: whether its weights are for cores whose multiplier gives 32 bits.
    """
    signal = preparation.signal
    assert signal is not None  # noqa: S101 - asked of signals alone
    stream, buffers = memory.stream(preparation, network), memory.buffers(preparation, network, pairs)
    spectra = signal.spectra
    points = max((how.points for how in spectra.values()), default=0)
    lines = [
        f"/* A window is {signal.length} samples, and one ends every {signal.stride}. Of a sample, in order:",
        *(f" *   {plain(name)}" for name in signal.columns),
        " */",
        "#ifndef FMA_SIGNAL_H",
        "#define FMA_SIGNAL_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define FMA_WINDOW {signal.length}",
        f"#define FMA_STRIDE {signal.stride}",
        f"#define FMA_CHANNELS {len(signal.channels)}",
        f"#define FMA_SAMPLE {len(signal.columns)} /* values of a sample */",
        "",
        f"/* A stream takes {stream:,} bytes of RAM, and buffers that all streams share {buffers:,}. A"
        f" decision",
        f" * takes about {memory.stack(preparation, network):,} bytes of stack besides. */",
        f"#define FMA_RAM {stream + buffers} /* of one stream */",
        *([f"#define FMA_SPEEDS {signal.speeds} /* samples that a mean speed is of */"] * bool(signal.speed)),
        "",
        "#ifdef FMA_SIGNAL_DATA /* the rest is for fma_front.c */",
        "",
        f"#define FMA_FRONTS(DO) {' '.join(f'DO({front})' for front in signal.front)} /* in this order */",
        *(["#define FMA_RAW"] * ("raw" in signal.front)),
        *([f"#define FMA_STATISTICS {len(NAMES)}"] * ("statistics" in signal.front)),
        *(_ranges(signal) if signal.ranges else []),
    ]
    if spectra:
        kind = "float" if signal.speed else "int16_t"
        lines += [
            f"#define FMA_BANDS {signal.bands}",
            f"#define FMA_POINTS {points}",
            *(["#define FMA_HANN"] * (signal.taper == "hann")),
            *([f"#define FMA_TURNS {real(signal.turns)} /* a second, of a speed of 1 */"] * bool(signal.speed)),
            "/* The cosine of a quarter of a turn, in parts of FMA_POINTS a turn. */",
            *array("float fma_cosines", cosines(points)),
            *_demodulation(signal),
            "typedef struct {",
            "    int32_t points, segments;",
            "    int32_t reach;     /* where the last segment starts */",
            "    int demodulated;   /* whether it is of the envelope */",
            f"    const {kind} *edges; /* {_EDGES[bool(signal.speed)]} */",
            "    float scale;       /* from a sum of powers to a share of the variance */",
            "    float bins;        /* frequencies that one turn of the shaft a second is */",
            "} fma_spectrum_t;",
        ]
        for front, how in spectra.items():
            lines += _spectrum(front, how, kind)
    return "\n".join([*lines, "", "#endif", "#endif", ""])


_EDGES = {False: "the frequencies that bands start at, and an end", True: "of bands, in orders of the shaft"}


def _ranges(signal: Signal) -> list[str]:
    low, high = signal.limits()
    return [
        "/* The least and the greatest value that a sensor can have. */",
        "#define FMA_SIGNAL_RANGES",
        *array("float fma_signal_low", low),
        *array("float fma_signal_high", high),
    ]


def _demodulation(signal: Signal) -> list[str]:
    if signal.envelope is None:
        return []
    how, (low, high) = signal.demodulation, signal.envelope
    return [
        f"/* The band-pass from {low:g} to {high:g} Hz whose size is an envelope. */",
        "#define FMA_ENVELOPE",
        f"#define FMA_ENVELOPE_TAPS {how.taps.shape[1]}",
        f"#define FMA_ENVELOPE_STEP {how.step} /* samples from one number of the envelope to the next */",
        *table("float fma_envelope_taps", "2", how.taps.T),
    ]


def _spectrum(front: str, how: Spectrum, kind: str) -> list[str]:
    edges = how.edges if how.edges.dtype == np.float32 else how.edges.astype(int)
    facts = (how.points, len(how.starts), how.starts[-1], int(front == "envelope"))
    return [
        *array(f"{kind} fma_{front}_edges", edges),
        f"static const fma_spectrum_t fma_{front} = {{{', '.join(map(str, facts))}, fma_{front}_edges,"
        f" {real(how.scale)}, {real(how.bins)}}};",
    ]


def kept(signal: Signal) -> np.ndarray | slice:
    """Returns the features whose mean, factor and fill a device has: of the samples of a channel the first."""
    return np.unique(shared(signal)) if "raw" in signal.front else slice(None)


def constant(signal: Signal) -> str:
    """Returns as C which of those a feature has, an expression in `feature`."""
    if "raw" not in signal.front:
        return "(feature)"
    channels, count, (start, last) = len(signal.channels), len(names(signal)), raw_of(signal)
    end = last + 1
    inside = f"{start} + ((feature) - {start}) % {channels}" if start else f"(feature) % {channels}"
    if not start and end == count:
        return f"({inside})"
    behind = f"(feature) - {end - start - channels}"
    return f"((feature) < {start} ? (feature) : (feature) < {end} ? {inside} : {behind})"


def with_windows(golden: str, windows: np.ndarray) -> str:
    """Returns `fma_golden.h` with windows, (windows, length, columns): its last rows are their features."""
    lines = [
        "/* Windows whose features are the last rows of fma_golden_raw, sample after sample. */",
        '#include "fma_front.h"',
        "",
        f"#define FMA_GOLDEN_WINDOWS {len(windows)}",
        *table("float fma_golden_windows", "FMA_WINDOW * FMA_SAMPLE", windows.reshape(len(windows), -1)),
    ]
    head, end = golden.removesuffix("\n#endif\n"), "\n#endif\n"
    return head + "\n".join(["", *lines, ""]) + end
