"""Waveforms block by block: how loud, how alike, and of what spectrum.

Pure numbers on samples of -1 to 1; what they mean for a call is said in `sound.py`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Flags = NDArray[np.bool_]

QUIET_DB = -42.0
"""Below this, of full scale, a telephone is silent."""
SILENT_DB = -90.0
_ALIKE = 0.8  # the correlation of two blocks that are the same sound
_TINY = 1e-9


def alike(should: Samples, did: Samples) -> tuple[Flags, Flags]:
    """Block by block: the same waveform, or both silent; and whether there is any sound."""
    active = (levels_db(should) >= QUIET_DB) | (levels_db(did) >= QUIET_DB)
    power = np.einsum("ij,ij->i", should, should) * np.einsum("ij,ij->i", did, did)
    shared = np.einsum("ij,ij->i", should, did)
    return ~active | (shared >= _ALIKE * np.sqrt(power + _TINY)), active


def runs(flags: Flags, joined: int) -> list[tuple[int, int]]:
    """Where flags are set, from and to; with fewer than `joined` between them they are one."""
    at = np.flatnonzero(flags)
    if not len(at):
        return []
    cuts = np.flatnonzero(np.diff(at) > joined)
    starts = at[np.r_[0, cuts + 1]]
    stops = at[np.r_[cuts, len(at) - 1]] + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def levels_db(blocks: Samples) -> NDArray[Any]:
    """How loud each block is, of full scale."""
    levels: NDArray[Any] = 10 * np.log10(
        np.einsum("ij,ij->i", blocks, blocks) / blocks.shape[1] + _TINY
    )
    return levels


def level_db(samples: Samples) -> float:
    """How loud all of it is; -90 for nothing."""
    return float(levels_db(samples.reshape(1, -1))[0]) if len(samples) else SILENT_DB


def correlation(one: Samples, other: Samples) -> float:
    """Of two pieces of one length; 0 for pieces that cannot be compared."""
    if len(one) != len(other) or not len(one):
        return 0.0
    return float(one @ other / np.sqrt((one @ one) * (other @ other) + _TINY))


def correlations(window: Samples, chunk: Samples) -> NDArray[Any]:
    """Of the chunk with each part of the window."""
    size = 1 << (len(window) + len(chunk) - 1).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(chunk, size))
    shared = np.fft.irfft(spectrum, size)[: len(window) - len(chunk) + 1]
    energy = np.cumsum(np.r_[0.0, window.astype(np.float64) ** 2])
    power = energy[len(chunk) :] - energy[: -len(chunk)]
    scores: NDArray[Any] = shared / np.sqrt(np.maximum(power, _TINY) * float(chunk @ chunk) + _TINY)
    return scores


_EDGES = np.array([3, 6, 9, 12, 16, 21, 28, 38, 50, 65])  # of bands, in steps of 50 Hz
_FLOOR = 10 ** (QUIET_DB / 10 - 1)


def bands_db(samples: Samples, block: int) -> NDArray[Any]:
    """How loud each of ten bands is, block by block, in windows of two blocks."""
    size = 2 * block  # 20 ms, 50 Hz a step
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::block] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 / (0.1875 * size * size)
    bands: NDArray[Any] = np.add.reduceat(power[:, :76], _EDGES, axis=1)
    return 10 * np.log10(bands + _FLOOR)
