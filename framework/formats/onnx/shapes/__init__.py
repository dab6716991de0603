"""Shapes and values of an ONNX model, where onnx infers them and where it does not."""
