"""torch's tracing: the warning that it gives of a line that it cannot follow."""

from __future__ import annotations

from torch.jit._trace import TracerWarning as TracerWarning
