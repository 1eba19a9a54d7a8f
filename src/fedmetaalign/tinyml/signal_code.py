"""Writes a signal as C: what `fma_front.c` is compiled with."""

import numpy as np

from fedmetaalign.operators.c_text import array, real, table
from fedmetaalign.signals import Signal
from fedmetaalign.signals.fourier import cosines
from fedmetaalign.signals.moments import NAMES
from fedmetaalign.signals.plan import Spectrum
from fedmetaalign.tinyml.firmware_readme import plain

SOURCES = ("fma_front.c", "fma_front.h")
"""In `firmware/`, beside which it belongs."""


def signal_header(signal: Signal) -> str:
    """Returns `fma_signal.h`."""
    spectra = _spectra(signal)
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


def _spectra(signal: Signal) -> dict[str, Spectrum]:
    found = {}
    if "bands" in signal.front:
        found["bands"] = signal.spectrum
    if "envelope" in signal.front:
        found["envelope"] = signal.envelope_spectrum
    return found


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
    how = signal.demodulation
    return [
        f"/* The band-pass from {signal.envelope[0]:g} to {signal.envelope[1]:g} Hz whose size is an envelope. */",
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
