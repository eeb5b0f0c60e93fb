# `cimport arcly` in an extension: the names of the C API, as arcly.capi has them.
from arcly.capi cimport *
