"""The checker of proof logs: plain code that shares nothing with the methods whose claims it checks.

It reads a graph and prices it as everybody does (`framework.formats`, `framework.model`), and knows nothing else of the
project. docs/proofs.md has the lemma of each rule. In the order in which a reader meets them: `problem`, `given`,
`log`, `reductions`, `sums`, `cuts`, `stages`, `spreading`, `lp`, `nested`, `ideals`, `walk`, `check`.
"""
