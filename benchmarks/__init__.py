"""Speed of fastbp: pytest-benchmark suites, and `compare`, the contest with other libraries.

``pytest benchmarks`` times fastbp alone, on both engines: products and kernels, one step, one
epoch, prediction. ``python -m benchmarks.compare`` times whole workloads beside other libraries.
Both from the root of the repository.
"""
