"""What `framework.structure.kernel` uses of llvmlite."""
