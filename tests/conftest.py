"""Shapes are checked at run time, here and nowhere else: users pay nothing for them."""

from jaxtyping import install_import_hook

install_import_hook(["fourbeat.data", "fourbeat.models", "fourbeat.optim"], "beartype.beartype")
