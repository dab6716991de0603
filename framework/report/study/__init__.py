"""Studies on the terminal, as pages, figures, LaTeX and data files."""
