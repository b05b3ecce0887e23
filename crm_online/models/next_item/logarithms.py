"""Kernel: logarithms of many numbers at once, the same on every machine."""

from __future__ import annotations

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import Float32, Int32

__all__ = ["take_logarithms"]

ONE = np.int32(0x3F800000)  # the bits of 1.0
MANTISSA = np.int32(0x007FFFFF)
LN_2 = np.float32(0.6931471805599453)
ROOT = np.float32(1.4142135)


@compiled
def take_logarithms(rows: int, columns: int, numbers: Float32, bits: Int32) -> None:
    """Replace positive numbers by their natural logarithms, to about 1e-6.

    The library's logarithm takes one number at a time, and its last bit depends on the machine.
    A number is split into 2^e m with m around 1, and log m = 2 artanh((m - 1) / (m + 1)) is
    summed from its series.

    Parameters
    ----------
    rows, columns
        The part to replace.
    numbers
        float32.
    bits
        The same memory as int32.
    """
    for row in range(rows):
        for column in range(columns):
            whole = bits[row, column]
            exponent = np.float32((whole >> np.int32(23)) - np.int32(127))
            bits[row, column] = (whole & MANTISSA) | ONE
            mantissa = numbers[row, column]
            if mantissa > ROOT:
                mantissa *= np.float32(0.5)
                exponent += np.float32(1)
            part = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
            square = part * part
            series = np.float32(1 / 9)
            series = series * square + np.float32(1 / 7)
            series = series * square + np.float32(1 / 5)
            series = series * square + np.float32(1 / 3)
            series = series * square + np.float32(1)
            numbers[row, column] = np.float32(2) * part * series + exponent * LN_2
