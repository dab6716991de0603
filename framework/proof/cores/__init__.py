"""Rules about cores: some nodes become divisible, and the others have few ideals."""
