"""Speed of fastbp, measured from the root of the repository.

``pytest benchmarks`` times fastbp alone, on both engines: one step, one epoch, prediction; ``python
-m benchmarks.matmul`` and ``benchmarks.kernels`` the products and the other kernels, beside their
floors. ``benchmarks.compare`` is `fastbp bench` with the targets of the project and what else is
claimed, ``benchmarks.threads`` the grid of threads, ``benchmarks.scaling`` time against batch,
width and depth, ``benchmarks.structured_dropout`` a step that leaves out what it drops beside one
that masks it, ``benchmarks.c_export`` networks as C beside ``net(x)``, ``benchmarks.limits`` what
the machine can do at most; and ``benchmarks.results`` writes their files into RESULTS.md and the
README.
"""
