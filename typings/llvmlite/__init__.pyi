"""What `framework.structure.kernel_compiler` uses of llvmlite."""
