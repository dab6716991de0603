"""The finaliser of splitmix64 against its published sequence."""

from __future__ import annotations

import numpy as np

from framework.model import arrays
from framework.structure.scrambling import scrambled


def test_multiples_of_the_step_give_the_sequence_of_seed_0() -> None:
    # The first numbers of splitmix64 from seed 0 (Vigna's reference implementation).
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    found = [int(scrambled(np.uint64(i * arrays.SPLITMIX_STEP % 2**64))) for i in range(3)]
    assert found == expected


def test_arrays_and_words_give_the_same() -> None:
    words = np.array([0, 1, 2**40, 2**64 - 1], np.uint64)
    assert arrays.scrambled(words).tolist() == [int(scrambled(word)) for word in words]
