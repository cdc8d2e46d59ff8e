"""Timing fastbp beside other libraries: the workloads, and the machinery that runs them fairly.

`workloads` says what is trained and predicted, as data; `networks` builds it with fastbp; `judge`
tells whether a program did the work; `contest` runs programs in turn, each in a process of its own
(`child`); `table` makes ratios of the times.
"""
