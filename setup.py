"""The Cython half of the package. maturin is the build backend; src/build.rs runs this (docs/architecture.md).

Usable alone while working on the Cython code: `python setup.py build_ext --inplace`.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

capi = Extension("arcly.capi", ["src/capi.pyx"], include_dirs=["arcly/include"])

setup(name="arcly", packages=[], ext_modules=cythonize([capi], build_dir="target/cython", include_path=["."]))
