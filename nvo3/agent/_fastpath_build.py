"""Builds the extension module `_nvo3_fastpath`: the C of `native/fastpath/` for `nvo3.agent.fastpath`, by cffi in API mode.

setup.py uses it for an installation, `nvo3.prepare.fastpath` for the checkout: `python _fastpath_build.py DIRECTORY`.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from cffi import FFI

MODULE = "_nvo3_fastpath"
_CHECKOUT = Path(__file__).resolve().parents[2]
_NATIVE = _CHECKOUT / "native"
_OPTIONS = ["-std=c11", "-O3", "-pthread"]


def _declarations() -> str:
    """Return what the header declares, without what is the preprocessor's."""
    lines = (_NATIVE / "fastpath" / "fastpath.h").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def builder(path_of: Callable[[Path], str]) -> FFI:
    """Return what builds the module.  path_of: how the compiler shall be given a path of the checkout."""
    ffi = FFI()
    ffi.cdef(_declarations())
    sources = sorted([*_NATIVE.glob("*.c"), *(_NATIVE / "fastpath").glob("*.c")])
    ffi.set_source(
        MODULE,
        '#include "fastpath.h"',
        sources=[path_of(source) for source in sources],
        include_dirs=[path_of(_NATIVE), path_of(_NATIVE / "fastpath")],
        extra_compile_args=_OPTIONS,
        extra_link_args=["-pthread"],
    )
    return ffi


# What setuptools asks for, in the root of the source tree.
ffibuilder = builder(os.path.relpath)

if __name__ == "__main__":
    builder(str).compile(tmpdir=sys.argv[1])
