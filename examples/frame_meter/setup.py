"""Nothing of arcly is linked: its header and its declarations for Cython are all that this needs."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import arcly

meter = Extension("frame_meter", ["frame_meter.pyx"], include_dirs=[arcly.get_include()])

setup(ext_modules=cythonize([meter]))
