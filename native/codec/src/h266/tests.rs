//! Vectors of real encoders and hand-written ones.
