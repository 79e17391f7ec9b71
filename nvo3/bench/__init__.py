"""Benchmarks: paths compared with one another, interleaved in one run, on labs of their own.

`arm` is what is compared, as rows of a registry; `bed` what an arm runs on, made by `overlay` and `kernel`.  `benchmark`
is what is measured, as rows too: `tcp`, `udp`, `pps`, `latency`.  `run` measures all arms in turn, `cpu` what that cost,
`report` is what comes out.  `tool` starts the programs that measure, `buffers` and `machine` are about the machine;
`command` is `nvo3 bench …`.
"""
