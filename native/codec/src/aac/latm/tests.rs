//! LATM and LOAS.
