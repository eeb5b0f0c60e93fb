mod mux;
