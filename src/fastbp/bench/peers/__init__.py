"""The workloads in each library, at its best settings: one file each, with the same names.

What a module holds is said in `fastbp.bench.child`, whose processes alone import them.
"""

from __future__ import annotations

from fastbp.bench.contest import Program

FASTBP = Program("fastbp", "fastbp.bench.peers.fastbp", peer=False)
PEERS = [
    Program("numpy", "fastbp.bench.peers.numpy"),
    Program("NumPy loop", "fastbp.bench.peers.numpy_loop", threaded=False),
    Program("numba", "fastbp.bench.peers.numba", threaded=False),
    Program("jax", "fastbp.bench.peers.jax"),
    Program("torch", "fastbp.bench.peers.torch"),
    Program("torch Adam", "fastbp.bench.peers.torch_adam"),
    Program("scikit-learn", "fastbp.bench.peers.sklearn"),
    Program("onnxruntime", "fastbp.bench.peers.onnxruntime"),
    Program("keras", "fastbp.bench.peers.keras"),
]
