"""What the operators of ONNX cost."""
