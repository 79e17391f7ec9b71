"""Benchmarks: paths compared with one another, interleaved in one run, on a lab of their own.

`arm` is what is compared, as rows of a registry; `bed` what an arm runs on; `measure` one sample; `tcp` a whole run;
`report` what comes out of it; `command` is `nvo3 bench …`.
"""
