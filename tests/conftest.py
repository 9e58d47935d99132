"""Shapes and types are checked at run time here and nowhere else: users pay nothing for them."""

from jaxtyping import install_import_hook

PACKAGES = ["data", "models", "modules", "optim"]

install_import_hook([f"fourbeat.{name}" for name in PACKAGES], "typechecker.check")
