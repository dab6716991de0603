"""Studies: many graphs, devices, numbers of stages and entries; run, stored, resumed, analysed."""
