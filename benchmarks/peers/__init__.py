"""The workloads in each library, at its best settings: one file each, with the same names.

What a module holds is said in `fastbp.bench.child`.
"""
