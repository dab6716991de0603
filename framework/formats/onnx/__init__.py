"""ONNX models: reading, sizes, costs of operators."""
