"""What setup.cfg cannot say: the extension module of the agent's fast path."""

from setuptools import setup

setup(cffi_modules=["nvo3/agent/_fastpath_build.py:ffibuilder"])
