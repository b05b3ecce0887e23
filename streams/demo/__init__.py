"""The whole job on embedded parts and a generated population, to be watched."""
