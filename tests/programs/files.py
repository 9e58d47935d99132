"""What programs read from disk, drawn from seeds."""

from __future__ import annotations

from pathlib import Path


def write_files(folder: Path) -> None:
    """Write the pictures of ``images``, and the weights that ``finetune`` begins with.

    Args:
        folder: Where to.
    """
    from programs.finetune import write_backbone  # late: not each program has to import
    from programs.images import draw_images

    draw_images(folder / "images")
    write_backbone(folder / "backbone.pt")
