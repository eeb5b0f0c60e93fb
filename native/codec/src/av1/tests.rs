//! Vectors of real encoders.
