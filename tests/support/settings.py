"""Overrides for trainings that are over in a moment. A file adds what is its own after these."""

# 92 samples for training: 12 batches of 8, the last one with 4.
CIRCLES = ("data=circles", "model=circles", "data.num_samples=130", "data.batch_size=8")
QUIET = ("logger=none", "callbacks.progress=none", "callbacks.model_checkpoint=null")
# On the CPU, and until the end: nothing stops it early, no validation comes before it.
BARE = ("trainer=cpu", "callbacks.early_stopping=null", "trainer.num_sanity_val_steps=0")

# A whole run with all its files: 12 batches of 16 in each of three epochs, 36 steps.
SMALL = (
    *("data=circles", "model=circles", "data.num_samples=260", "data.batch_size=16"),
    *("trainer=cpu", "trainer.max_epochs=3", "trainer.log_every_n_steps=5"),
    *("callbacks.progress=none", "logger=[tensorboard,csv]"),
    # Tests must not depend on how fast a machine is.
    "callbacks.model_checkpoint.max_time_share=1",
)
