"""What a program calls: `solve`, `compare`, `recommend`, `verify`, `Study`; the package ``pipebound`` hands them on."""
