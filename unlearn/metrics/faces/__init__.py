"""Scores of face identification and attacks on it, pure functions of stored embeddings [models, pictures, d].

Everywhere M counts models, N pictures, P people, S the samples of an attack and d the length of an embedding. `fold`
[M] numbers models that belong together (`accuracy.pairs`): they are left out together, and drawn together.
"""
