"""The config: composing it, its schema, its checks, its messages. No torch.

Imports nothing here: ``--help`` composes without the schema, whose pydantic costs 70 ms.
"""
