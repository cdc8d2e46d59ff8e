"""Arrays of the caller that end where memory ends: kernels read them in place, and no further."""

from __future__ import annotations

import sys
import textwrap

import pytest

import fastbp

pytestmark = [
    pytest.mark.promise(15),
    pytest.mark.skipif(sys.platform != "linux", reason="guards pages by mprotect of Linux"),
]

AT_PAGE_END = textwrap.dedent("""
    import ctypes, mmap
    import numpy as np
    from fastbp import Dense, Network

    def at_page_end(values):
        "A copy whose last byte is the last before a page that may not be touched."
        pages = -(-values.nbytes // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        guard = ctypes.c_void_p(start + pages * mmap.PAGESIZE)
        assert ctypes.CDLL(None).mprotect(guard, mmap.PAGESIZE, 0) == 0
        kept.append(memory)
        offset = pages * mmap.PAGESIZE - values.nbytes
        copy = np.ndarray(values.shape, values.dtype, memory, offset)
        copy[...] = values
        return copy

    kept = []
""")


@pytest.mark.parametrize("isa", ["scalar", "scalar_fma", "avx2", "avx512", "neon"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_nothing_is_read_or_written_behind_an_array(core, python, isa, dtype):
    if isa not in fastbp.build_info()["available_isas"]:
        pytest.skip(f"this processor has no {isa}")
    code = """
        rng = np.random.default_rng(0)
        for inputs, outputs in [(1, 1), (3, 2), (9, 17), (40, 10), (200, 120)]:
            net = Network([Dense(outputs)], input_shape=inputs, loss="mse", seed=0)
            for rows in (1, 5, 6, 7, 65):
                x = at_page_end((9 * rng.random((rows, inputs))).astype(DTYPE))
                y = at_page_end((9 * rng.random((rows, outputs))).astype(DTYPE))
                out = at_page_end(np.zeros((rows, outputs), np.float32))
                weights = at_page_end(np.ones(rows))
                assert (net.predict(x, out=out) == net.predict(x.copy())).all()
                assert (net(x[-1]) == out[-1]).all()
                net.evaluate(x, y, sample_weight=weights)
                net.fit(x, y, sample_weight=weights, batch_size=4, epochs=2, shuffle=rows > 5)
        # operands that products keep close together: x by rows, and by columns
        for inputs, outputs, rows in [(100, 520, 256), (200, 80, 64)]:
            net = Network([Dense(outputs)], input_shape=inputs, loss="mse", seed=0, n_threads=1)
            x = at_page_end((9 * rng.random((rows, inputs))).astype(DTYPE))
            y = at_page_end(rng.random((rows, outputs)).astype(np.float32))
            assert (net.predict(x) == net.predict(x.copy())).all()
            net.train_on_batch(x, y)
        print("done")
    """
    code = textwrap.dedent(code.replace("DTYPE", repr(dtype)))
    assert python(AT_PAGE_END + code, FASTBP_ISA=isa) == "done\n"


def test_the_guard_is_real(python):
    code = "print(ctypes.string_at(at_page_end(np.ones(8)).ctypes.data, 65))"
    with pytest.raises(AssertionError, match="-11"):
        python(AT_PAGE_END + code)
