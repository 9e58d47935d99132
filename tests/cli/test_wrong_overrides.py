"""Every wrong override: its message to the letter, exit code 2, no traceback, nothing written.

``…`` stands for any text: for what another version of torch, or another machine, would say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Command = Callable[..., Any]

ONE = "fourbeat: 1 fault in the config; nothing was run."

# Wrong whatever the machine: name -> (what is typed, what is answered).
CASES: dict[str, tuple[str, str]] = {
    # --- what is not there
    "option": (
        "optim=adamm",
        "optim=adamm: is not an option. Did you mean optim=adam or optim=adamw?",
    ),
    "option_of_data": ("data=mnits", "data=mnits: is not an option. Did you mean data=mnist?"),
    "option_unlike_any": (
        "optim=foo",
        "optim=foo: is not an option. Choose from: adam, adamw, momentum, sgd.",
    ),
    "option_of_several": (
        "logger=[tensorboard,cvs]",
        "logger=cvs: is not an option. Did you mean logger=csv?",
    ),
    "option_null": (
        "model=null",
        "model=null: is not an option. Take the group away with ~model, or choose from: "
        "circles, mlp.",
    ),
    "group": ("optimizer=adam", "optimizer=adam: is not a key. Did you mean optim=adam?"),
    "group_deleted": (
        "~model",
        "model: must be given. Choose one with model=NAME; --help lists the names.",
    ),
    "key": ("optim.lrr=1", "optim.lrr=1: is not a key. Did you mean optim.lr=1?"),
    "key_of_the_top": ("sead=1", "sead=1: is not a key. Did you mean seed=1?"),
    "key_with_a_long_value": (
        "optim.beta=[0.9,0.99]",
        "optim.beta=[0.9,0.99]: is not a key. Did you mean optim.betas=[0.9,0.99]?",
    ),
    "key_without_its_group": ("lr=0.1", "lr=0.1: is not a key. Did you mean optim.lr=0.1?"),
    "key_added": (
        "+optim.lrr=1",
        "optim.lrr=1: is not an argument of torch.optim.Adam. Did you mean optim.lr=1?",
    ),
    "key_added_that_is_there": (
        "+optim.lr=1",
        "+optim.lr=1: is there already. Leave out the +: optim.lr=1.",
    ),
    "key_added_to_ours": (
        "+trainer.max_epoch=1",
        "trainer.max_epoch=1: is not a key. Did you mean trainer.max_epochs=1?",
    ),
    "section_added": (
        "+foo.bar=1",
        "foo.bar=1: is not a key. Choose from: callbacks, data, debug, logger, loop, loss, model, "
        "optim, paths, resume, scheduler, seed, sweep, test, trainer.",
    ),
    "key_below_a_value": (
        "optim.lr.x=1",
        "optim.lr.x=1: optim.lr is a value and holds no keys. Change optim.lr itself: "
        "optim.lr=VALUE.",
    ),
    "key_deleted": ("~optim.lrr", "~optim.lrr: is not a key. Did you mean optim.lr?"),
    "mapping_with_a_new_key": (
        "callbacks.extra={x:{a:1}}",
        "callbacks.extra={x:{a:1}}: has a key that is not there. Change single keys; add a new one "
        "with a +, e.g. +callbacks.extra.x.a=VALUE.",
    ),
    "leaf_without_a_target": (
        "+callbacks.extra.x.a=1",
        "callbacks.extra.x._target_: is missing: nothing says what to build. Add "
        "+callbacks.extra.x._target_=DOTTED.PATH of a class or function.",
    ),
    "moved_clipping": (
        "trainer.gradient_clip_val=1",
        "trainer.gradient_clip_val=1: is not a key. Did you mean loop.gradient_clip_val=1?",
    ),
    "moved_accumulation": (
        "+trainer.accumulate_grad_batches=4",
        "trainer.accumulate_grad_batches=4: is not a key. "
        "Did you mean loop.accumulate_grad_batches=4?",
    ),
    "key_of_another_data_set": (
        "data.noise=3",
        "data.noise=3: is not a key. Choose from: batch_size, drop_last, image_size, normalize, "
        "num_workers, on_device, pin_memory, seed, shuffle, split_seed, test_fraction, "
        "val_fraction.",
    ),
    # --- optimizer
    "lr_text": ("optim.lr=abc", "optim.lr=abc: must be a number above 0. Try optim.lr=0.001."),
    "lr_negative": ("optim.lr=-1", "optim.lr=-1: must be a number above 0. Try optim.lr=0.001."),
    "lr_zero": ("optim.lr=0", "optim.lr=0: must be a number above 0. Try optim.lr=0.001."),
    "lr_true": ("optim.lr=true", "optim.lr=true: must be a number above 0. Try optim.lr=0.001."),
    "lr_inf": (
        "optim.lr=inf",
        "optim.lr=inf: must be a finite number above 0. Try optim.lr=0.001.",
    ),
    "lr_nan": (
        "optim.lr=nan",
        "optim.lr=nan: must be a finite number above 0. Try optim.lr=0.001.",
    ),
    "lr_null": (
        "optim.lr=null",
        "optim.lr=null: must be a number. The default is optim.lr=0.001.",
    ),
    "weight_decay": (
        "optim.weight_decay=-0.1",
        "optim.weight_decay=-0.1: must be a number of at least 0. Try optim.weight_decay=0.01.",
    ),
    "fused": (
        "optim.fused=maybe",
        "optim.fused=maybe: must be true or false. Try optim.fused=true.",
    ),
    "betas_out_of_range": (
        "optim.betas=[2,3]",
        "optim.betas=[2,3]: must be a list of 2 entries, each a number of at least 0 and below 1. "
        "Try optim.betas=[0.9,0.999].",
    ),
    "betas_too_few": (
        "optim.betas=[0.9]",
        "optim.betas=[0.9]: must be a list of 2 entries, each a number of at least 0 and below 1. "
        "Try optim.betas=[0.9,0.999].",
    ),
    "nesterov_alone": (
        "optim=momentum optim.momentum=0 optim.nesterov=true",
        "optim.nesterov=true: torch.optim.SGD cannot be built with it: … Try optim.nesterov=false.",
    ),
    "eps_that_only_torch_refuses": (
        "optim.eps=-1",
        "optim.eps=-1: torch.optim.Adam cannot be built with it: … Try optim.eps=1e-08.",
    ),
    "weight_decay_exclusion": (
        "optim.exclude_from_weight_decay=[foo]",
        "optim.exclude_from_weight_decay=[foo]: must be a list, each bias or norm. "
        "The default is optim.exclude_from_weight_decay=[].",
    ),
    # --- scheduler
    "gamma": (
        "scheduler=step scheduler.gamma=-1",
        "scheduler.gamma=-1: must be a number above 0. Try scheduler.gamma=0.1.",
    ),
    "step_size": (
        "scheduler=step scheduler.step_size=0",
        "scheduler.step_size=0: must be a whole number above 0. Try scheduler.step_size=10.",
    ),
    "warmup_fraction": (
        "scheduler=linear_warmup_cosine scheduler.warmup_fraction=2",
        "scheduler.warmup_fraction=2: must be a number of at least 0 and below 1. "
        "Try scheduler.warmup_fraction=0.05.",
    ),
    "interval": (
        "scheduler=cosine scheduler.interval=week",
        "scheduler.interval=week: must be step or epoch. Try scheduler.interval=step.",
    ),
    "pct_start": (
        "scheduler=onecycle scheduler.pct_start=1.5",
        "scheduler.pct_start=1.5: torch.optim.lr_scheduler.OneCycleLR cannot be built with it: … "
        "Try scheduler.pct_start=0.3.",
    ),
    "pct_start_of_exactly_one_step": (
        "scheduler=onecycle scheduler.pct_start=0.1 trainer.max_epochs=-1 trainer.max_steps=10",
        "scheduler.pct_start=0.1: torch.optim.lr_scheduler.OneCycleLR cannot be built with it: … "
        "Try scheduler.pct_start=0.3.",
    ),
    "pct_start_that_fails_at_the_last_of_800_steps": (
        "scheduler=onecycle scheduler.pct_start=1.0",
        "scheduler.pct_start=1.0: torch.optim.lr_scheduler.OneCycleLR cannot be built with it: … "
        "Try scheduler.pct_start=0.3.",
    ),
    # --- metrics that are watched
    "scheduler_monitor": (
        "scheduler=plateau scheduler.monitor=val/los",
        "scheduler.monitor=val/los: is not measured here. Did you mean scheduler.monitor=val/loss? "
        "Measured are: val/loss, val/accuracy, val/f1, train/loss, train/loss_epoch.",
    ),
    "early_stopping_monitor": (
        "callbacks.early_stopping.monitor=val/acc",
        "callbacks.early_stopping.monitor=val/acc: is not measured here. Did you mean "
        "callbacks.early_stopping.monitor=val/accuracy? Measured are: val/loss, val/accuracy, "
        "val/f1, train/loss, train/loss_epoch.",
    ),
    "sweep_metric_of_another_task": (
        "data=diabetes sweep.metric=val/accuracy",
        "sweep.metric=val/accuracy: is not measured here. "
        "Choose from: test/loss, test/mae, test/r2, train/loss_epoch, val/loss, val/mae, val/r2.",
    ),
    "watched_the_wrong_way_round": (
        "callbacks.early_stopping.monitor=val/accuracy",
        "callbacks.early_stopping.mode=min: val/accuracy is best large. "
        "Set callbacks.early_stopping.mode=max.",
    ),
    "checkpoint_monitor_of_another_task": (
        "callbacks.model_checkpoint.monitor=val/r2",
        "callbacks.model_checkpoint.monitor=val/r2: is not measured here. Did you mean …? "
        "Measured are: val/loss, val/accuracy, val/f1, train/loss, train/loss_epoch.",
    ),
    "progress": (
        "callbacks.progress=loud",
        "callbacks.progress=loud: must be auto, bar, lines or none. "
        "The default is callbacks.progress=auto.",
    ),
    "patience": (
        "callbacks.early_stopping.patience=0",
        "callbacks.early_stopping.patience=0: must be a whole number above 0. "
        "The default is callbacks.early_stopping.patience=10.",
    ),
    # --- trainer and loop
    "max_epochs_zero": (
        "trainer.max_epochs=0",
        "trainer.max_epochs=0: must be -1 or a whole number above 0. "
        "The default is trainer.max_epochs=20.",
    ),
    "max_epochs_fraction": (
        "trainer.max_epochs=2.5",
        "trainer.max_epochs=2.5: must be -1 or a whole number above 0. "
        "The default is trainer.max_epochs=20.",
    ),
    "max_epochs_text": (
        "trainer.max_epochs=abc",
        "trainer.max_epochs=abc: must be -1 or a whole number above 0. "
        "The default is trainer.max_epochs=20.",
    ),
    "max_steps_zero": (
        "trainer.max_steps=0",
        "trainer.max_steps=0: must be -1 or a whole number above 0. "
        "The default is trainer.max_steps=-1.",
    ),
    "no_end": (
        "trainer.max_epochs=-1 trainer.max_steps=-1",
        "trainer.max_epochs=-1: with trainer.max_steps=-1 a training never ends. "
        "Set one of them above 0.",
    ),
    "precision": (
        "trainer.precision=8",
        "trainer.precision=8: must be 32-true, 16-mixed, bf16-mixed, 64-true, 16-true or "
        "bf16-true. The default is trainer.precision=32-true.",
    ),
    "precision_of_the_cpu": (
        "trainer=cpu trainer.precision=16-true",
        "trainer.precision=16-true: is not supported on the CPU. "
        "Use trainer.precision=bf16-mixed or 16-mixed.",
    ),
    "precision_of_fsdp": (
        "trainer=fsdp trainer.precision=16-mixed",
        "trainer.precision=16-mixed: cannot go with trainer.strategy=fsdp: its gradients cannot be "
        "unscaled here. Use trainer.precision=bf16-mixed.",
    ),
    "clipping_of_fsdp": (
        "trainer=fsdp loop.gradient_clip_val=1",
        "loop.gradient_clip_algorithm=norm: cannot clip the norm of gradients that "
        "trainer.strategy=fsdp has sharded. Use loop.gradient_clip_algorithm=value, "
        "or trainer=ddp.",
    ),
    "devices_zero": (
        "trainer.devices=0",
        "trainer.devices=0: must be a whole number above 0, auto or a list, each a whole number of "
        "at least 0. The default is trainer.devices=1.",
    ),
    "devices_of_the_cpu": (
        "trainer=cpu trainer.devices=[0,1]",
        "trainer.devices=[0,1]: must be a number: this is the CPU, which has no devices to choose "
        "from. Use trainer.devices=1, or trainer=ddp_cpu for several processes.",
    ),
    "deterministic": (
        "trainer.deterministic=maybe",
        "trainer.deterministic=maybe: must be true, false or warn. "
        "The default is trainer.deterministic=false.",
    ),
    "profiler": (
        "trainer.profiler=fast",
        "trainer.profiler=fast: must be simple, advanced, pytorch or null. "
        "The default is trainer.profiler=null.",
    ),
    "log_every_n_steps": (
        "trainer.log_every_n_steps=0",
        "trainer.log_every_n_steps=0: must be a whole number above 0. "
        "The default is trainer.log_every_n_steps=10.",
    ),
    "limit_of_nothing": (
        "trainer.limit_train_batches=0",
        "trainer.limit_train_batches=0: leaves nothing to train on. "
        "Use scripts/eval.py to evaluate without training.",
    ),
    "limit_below_one_batch": (
        "trainer.limit_val_batches=0.001",
        "trainer.limit_val_batches=0.001: leaves none of the 9 batches of an epoch. "
        "Use trainer.limit_val_batches=1 for one batch.",
    ),
    "limit_above_one": (
        "trainer.limit_train_batches=1.5",
        "trainer.limit_train_batches=1.5: must be a whole number of at least 0 or a number of at "
        "least 0 and at most 1. The default is trainer.limit_train_batches=1.0.",
    ),
    "clip_val": (
        "loop.gradient_clip_val=-1",
        "loop.gradient_clip_val=-1: must be a number above 0 or null. "
        "The default is loop.gradient_clip_val=null.",
    ),
    "clip_algorithm": (
        "loop.gradient_clip_algorithm=both",
        "loop.gradient_clip_algorithm=both: must be norm or value. "
        "The default is loop.gradient_clip_algorithm=norm.",
    ),
    "accumulation": (
        "loop.accumulate_grad_batches=0",
        "loop.accumulate_grad_batches=0: must be a whole number above 0. "
        "The default is loop.accumulate_grad_batches=1.",
    ),
    # --- data
    "batch_size_zero": (
        "data.batch_size=0",
        "data.batch_size=0: must be a whole number above 0. Try data.batch_size=32.",
    ),
    "batch_size_negative": (
        "data.batch_size=-1",
        "data.batch_size=-1: must be a whole number above 0. Try data.batch_size=32.",
    ),
    "batch_size_fraction": (
        "data.batch_size=2.5",
        "data.batch_size=2.5: must be a whole number above 0. Try data.batch_size=32.",
    ),
    "batch_size_above_the_training_set": (
        "data.batch_size=5000 data.drop_last=true",
        "data.batch_size=5000: must be 1257 or less with data.drop_last=true, as the training "
        "split has 1257 samples. Try data.drop_last=false or data.batch_size=32.",
    ),
    "batch_size_above_a_process's_share": (
        "trainer=ddp_cpu data.batch_size=700 data.drop_last=true",
        "data.batch_size=700: must be 628 or less with data.drop_last=true, as the training split "
        "has 1257 samples, shared by 2 processes. Try data.drop_last=false or data.batch_size=32.",
    ),
    "num_workers": (
        "data.num_workers=-1",
        "data.num_workers=-1: must be a whole number of at least 0. Try data.num_workers=0.",
    ),
    "fractions_that_leave_nothing": (
        "data.val_fraction=0.6 data.test_fraction=0.5",
        "data.val_fraction=0.6: and data.test_fraction=0.5 leave too few samples to train on. "
        "Try data.val_fraction=0.15 data.test_fraction=0.15.",
    ),
    "fraction_above_one": (
        "data.val_fraction=1.5",
        "data.val_fraction=1.5: must be a number of at least 0 and below 1. "
        "Try data.val_fraction=0.15.",
    ),
    "shuffle": (
        "data.shuffle=maybe",
        "data.shuffle=maybe: must be true or false. Try data.shuffle=true.",
    ),
    "argument_of_a_data_set": (
        "data.image_size=abc",
        "data.image_size=abc: must be a whole number. The default is data.image_size=28.",
    ),
    "files_that_are_not_there": (
        "data=mnist data.download=false",
        "data.data_dir=data: lacks train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz (gzipped or not), and "
        "data.download=false. Put the files into data/mnist, or set data.download=true.",
    ),
    "data_dir_that_is_a_file": (
        "data=mnist paths.data_dir=a_file",
        "data.data_dir=a_file: must be a folder; a_file is a file. "
        "Give another folder with paths.data_dir=FOLDER.",
    ),
    "output_dir_in_a_file": (
        "paths.output_dir=a_file/runs",
        "paths.output_dir=a_file/runs: must be a folder; a_file is a file. "
        "Give another folder with paths.output_dir=FOLDER.",
    ),
    # --- model and loss
    "model_that_does_not_fit_the_data": (
        "model.in_features=100",
        "model.in_features=100: layer layers.0 (Linear) got the shape [2, 784] and wants [*, 100]. "
        "The data's inputs have the shape [1, 28, 28]: set model.in_features=784.",
    ),
    "hidden_features": (
        "model.hidden_features=abc",
        "model.hidden_features=abc: must be a list, each a whole number. "
        "The default is model.hidden_features=[128].",
    ),
    "hidden_features_of_zero": (
        "model.hidden_features=[64,0]",
        "model.hidden_features=[64,0]: project.models.MLP cannot be built with it: … "
        "Try model.hidden_features=[128].",
    ),
    "activation": (
        "model.activation=foo",
        "model.activation=foo: must be relu, leaky_relu, gelu, silu or tanh. "
        "The default is model.activation=relu.",
    ),
    "dropout": (
        "model.dropout=2",
        "model.dropout=2: project.models.MLP cannot be built with it: dropout is 2: it must be at "
        "least 0 and below 1. Try model.dropout=0.0.",
    ),
    "target_of_no_module": (
        "model._target_=nope.X",
        "model._target_=nope.X: cannot be imported: No module named 'nope'. "
        "Give the dotted path of a class or function that Python can import.",
    ),
    "target_misspelt": (
        "model._target_=project.models.Mlp",
        "model._target_=project.models.Mlp: there is no Mlp in project.models. "
        "Did you mean model._target_=project.models.MLP?",
    ),
    "target_without_a_module": (
        "model._target_=MLP",
        "model._target_=MLP: is not a dotted path. "
        "Give the dotted path of a class or function that Python can import.",
    ),
    "target_that_cannot_be_called": (
        "model._target_=torch.pi",
        "model._target_=torch.pi: Expected a callable target, got …. "
        "Give the dotted path of a class or function that Python can import.",
    ),
    "target_that_hydra_blocks": (
        "model._target_=builtins.eval",
        "model._target_=builtins.eval: Target 'builtins.eval' is blocklisted … "
        "Give the dotted path of a class or function that Python can import.",
    ),
    "target_that_is_no_data_set": (
        "data._target_=torch.nn.Identity",
        "data._target_=torch.nn.Identity: must build a fourbeat.data.DataModule, not a Identity. "
        "See the README, Add your own data.",
    ),
    "mse_on_classes": (
        "loss=mse",
        "loss=MSELoss: compares numbers, but the targets of Digits are labels of 10 classes "
        "(int64). Use loss=cross_entropy, or loss=auto.",
    ),
    "cross_entropy_on_numbers": (
        "data=diabetes loss=cross_entropy",
        "loss=CrossEntropyLoss: compares classes, but the targets of Diabetes are numbers "
        "(float32). Use loss=mse, loss=l1 or loss=huber.",
    ),
    "bce_on_ten_classes": (
        "loss=bce_with_logits",
        "loss=BCEWithLogitsLoss: tells two classes apart, but Digits has 10. "
        "Use loss=cross_entropy, or loss=auto.",
    ),
    "fewer_outputs_than_classes": (
        "model.out_features=5",
        "loss=CrossEntropyLoss: needs 10 outputs, one for each class of Digits; the network gives "
        "5. Set model.out_features=10.",
    ),
    "argument_of_a_loss": (
        "data=diabetes loss=huber loss.delta=-1",
        "loss.delta=-1: torch.nn.HuberLoss cannot be built with it: … Try loss.delta=1.0.",
    ),
    # --- packages
    "wandb": (
        "logger=wandb",
        "logger=wandb: needs the package wandb, which is not installed. "
        "Install it with `pip install wandb`, or use logger=tensorboard.",
    ),
    "mlflow": (
        "logger=mlflow",
        "logger=mlflow: needs the package mlflow, which is not installed. "
        "Install it with `pip install mlflow`, or use logger=tensorboard.",
    ),
    # --- seed, references, syntax
    "seed_negative": (
        "seed=-1",
        "seed=-1: must be a whole number of at least 0 and below 4294967296. "
        "The default is seed=42.",
    ),
    "seed_empty": (
        "seed=",
        "seed='': must be a whole number of at least 0 and below 4294967296. "
        "The default is seed=42.",
    ),
    "seed_text": (
        "seed=abc",
        "seed=abc: must be a whole number of at least 0 and below 4294967296. "
        "The default is seed=42.",
    ),
    "reference_to_nothing": (
        "seed=${nokey}",
        "seed=${nokey}: points at a key that does not exist. "
        "Point it at a key that exists: --cfg job prints them all.",
    ),
    "environment_variable": (
        "seed=${oc.env:FOURBEAT_NOPE}",
        "seed=${oc.env:FOURBEAT_NOPE}: needs the environment variable FOURBEAT_NOPE, which is not "
        "set. Set it, or give a value for when it is not: ${oc.env:FOURBEAT_NOPE,VALUE}.",
    ),
    "reference_to_no_property_of_the_data": (
        "model.in_features=${from_data:nope}",
        "model.in_features=${from_data:nope}: cannot be resolved: Digits has no property 'nope'. "
        "Give model.in_features a plain value.",
    ),
    "not_an_override": (
        "optim=adam=3",
        "optim=adam=3: is not an override. Write key=value; quote a value with spaces, commas or "
        "=, e.g. 'key=\"a, b\"'.",
    ),
    "several_values_without_m": (
        "optim=sgd,adam",
        "optim=sgd,adam: has several values. Add -m to run once for each, or write a list: "
        "optim=[...].",
    ),
    "flag": (
        "--lr 0.1",
        "--lr: is not a flag. Write key=value without dashes, "
        "e.g. optim.lr=0.01 and not --lr 0.01.",
    ),
    "config_path": (
        "--config-path=/tmp",
        "--config-path=/tmp: cannot be used: the configs are in conf. Add a folder of your own "
        "with --config-dir, or put your YAML files into conf.",
    ),
    "key_of_hydra": (
        "hydra.foo=1",
        "hydra.foo=1: Could not override 'hydra.foo'. --hydra-help tells about Hydra's own keys.",
    ),
    "printed_config": (
        "--cfg job optim=adamm",
        "optim=adamm: is not an option. Did you mean optim=adam or optim=adamw?",
    ),
    # --- resume and sweeps
    "resume_empty": (
        "resume=",
        "resume='': must be text that is not empty or null. The default is resume=null.",
    ),
    "resume_in_a_sweep": (
        "-m resume=last",
        "resume=last: cannot be used with -m. Leave out -m.",
    ),
    "sweep_over_processes": (
        "-m trainer=ddp_cpu",
        "trainer.strategy=ddp: starts processes that would each run the whole sweep again. "
        "Leave out -m and give one command for each, or use trainer.strategy=auto.",
    ),
    "sweep_over_an_option": (
        "-m optim=sgd,foo",
        "optim=foo: is not an option. Choose from: adam, adamw, momentum, sgd.",
    ),
    "sweep_over_a_value": (
        "-m optim.lr=0.1,abc",
        "optim.lr=abc: must be a number above 0. Try optim.lr=0.001.",
    ),
    "sweep_over_an_interval_of_no_key": (
        "-m optim.lrr=interval(0.1,1)",
        "optim.lrr=0.1: is not a key. Did you mean optim.lr=0.1?",
    ),
}

# Where there is no GPU.
NO_GPU: dict[str, tuple[str, str]] = {
    "gpu": (
        "trainer=gpu",
        "trainer.accelerator=gpu: this machine has no GPU that torch … can use. "
        "Use trainer=cpu, or trainer=default for whatever there is.",
    ),
    "mps": (
        "trainer=mps",
        "trainer.accelerator=mps: this machine has no Apple GPU (MPS) that torch … can use. "
        "Use trainer=cpu, or trainer=default for whatever there is.",
    ),
    "ddp": (
        "trainer=ddp",
        "trainer.accelerator=gpu: this machine has no GPU that torch … can use. "
        "Use trainer=ddp_cpu to try several processes without GPUs.",
    ),
    "fsdp": (
        "trainer=fsdp trainer.accelerator=auto",
        "trainer.strategy=fsdp: needs GPUs, and this machine has none. "
        "Use trainer=ddp_cpu to try several processes without GPUs.",
    ),
}

# Several at once: all are told.
SEVERAL: dict[str, tuple[str, list[str]]] = {
    "while_composing_and_after": (
        "optim=foo data=bar +x.y=1 seed=x optim.lrr=3 a=b=c",
        [
            "a=b=c: is not an override…",
            "optim=foo: is not an option…",
            "data=bar: is not an option…",
            "seed=x: must be a whole number…",
            "x.y=1: is not a key…",
        ],
    ),
    "our_own_keys": (
        "seed=-1 optim.lr=abc trainer.max_epochs=0 logger=wandb model.in_features=${nokey}",
        [
            "model.in_features=${nokey}: points at a key that does not exist…",
            "seed=-1: must be…",
            "trainer.max_epochs=0: must be…",
            "optim.lr=abc: must be…",
            "logger=wandb: needs the package wandb…",
        ],
    ),
    "leaves": (
        "optim.eps=-1 loss=mse data=mnist data.download=false",
        [
            "data.data_dir=data: lacks train-images…",
            "optim.eps=-1: torch.optim.Adam cannot be built with it…",
            "loss=MSELoss: compares numbers…",
        ],
    ),
    "signatures_and_trials": (
        "model.dropout=2 loss=mse +optim.foo=1 scheduler=plateau scheduler.monitor=x",
        [
            "optim.foo=1: is not an argument of torch.optim.Adam…",
            "scheduler.monitor=x: is not measured here…",
            "model.dropout=2: project.models.MLP cannot be built with it…",
            "loss=MSELoss: compares numbers…",
        ],
    ),
    "data_that_cannot_be_built_and_what_does_not_need_it": (
        "data=circles data.factor=abc optim.eps=-1",
        ["data.factor=abc: must be a number…", "optim.eps=-1: torch.optim.Adam cannot…"],
    ),
    "no_validation_to_watch": (
        "data.val_fraction=0 scheduler=plateau",
        [
            "callbacks.early_stopping.monitor=val/loss: is never measured with "
            "data.val_fraction=0. Use callbacks=no_early_stopping.",
            "callbacks.model_checkpoint.monitor=val/loss: is never measured with "
            "data.val_fraction=0. Use callbacks.model_checkpoint.monitor=train/loss_epoch.",
            "scheduler.monitor=val/loss: is never measured with data.val_fraction=0. "
            "Use scheduler=constant.",
        ],
    ),
    "sweep": (
        "-m optim.lr=0.1,abc,-1 trainer.max_epochs=0",
        [
            "trainer.max_epochs=0: must be…",
            "optim.lr=abc: must be a number above 0…",
            "optim.lr=-1: must be a number above 0…",
        ],
    ),
}

# Not the config: a run that is not there.
EVAL: dict[str, tuple[str, str]] = {
    "no_run": ("", f"{ONE}\n  run: must be given. Add run=last, or run=RUN_FOLDER."),
    "split": (
        "run=last split=foo",
        f"{ONE}\n  split=foo: must be val or test. The default is split=test.",
    ),
    "no_such_run": (
        "run=nope",
        "fourbeat: run=nope: there is no such folder, neither here nor under runs. "
        "There is no run under runs yet. Train one with: python scripts/train.py",
    ),
    "key": ("run=last splitt=val", f"{ONE}\n  splitt=val: is not a key. Did you mean split=val?"),
    "sweep": ("-m run=a,b", f"{ONE}\n  -m: is for train.py alone. Call eval.py once for each run."),
}


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(script: Command, place: Path, name: str, typed: str, expected: str) -> None:
    (place / "a_file").touch()
    before = listing(place)
    # Not shlex: what a shell would take away as quotes belongs to none of these.
    result = script(name, *typed.split())
    pattern = re.escape(expected).replace("…", ".*")
    assert re.fullmatch(pattern, result.err.rstrip("\n")), result.err
    assert result.code == 2
    assert "Traceback" not in result.err + result.out
    assert listing(place) == before


def params(cases: dict[str, tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("typed", "expected"), cases.values(), ids=cases.keys())


@pytest.mark.one_in(2)
@params(CASES)
def test_a_wrong_override_is_one_message_and_leaves_nothing_behind(
    script: Command, place: Path, typed: str, expected: str
) -> None:
    refused(script, place, "train.py", typed, f"{ONE}\n  {expected}")


@params(NO_GPU)
@pytest.mark.skipif(
    torch.accelerator.is_available(), reason="this machine has what the message says it has not"
)
def test_hardware_that_is_not_there_is_refused(
    script: Command, place: Path, typed: str, expected: str
) -> None:
    refused(script, place, "train.py", typed, f"{ONE}\n  {expected}")


@pytest.mark.parametrize(("typed", "expected"), SEVERAL.values(), ids=SEVERAL.keys())
def test_all_faults_are_told_at_once(
    script: Command, place: Path, typed: str, expected: list[str]
) -> None:
    head = f"fourbeat: {len(expected)} faults in the config; nothing was run."
    refused(script, place, "train.py", typed, "\n  ".join([head, *expected]))


@params(EVAL)
def test_a_wrong_evaluation_is_one_message_and_leaves_nothing_behind(
    script: Command, place: Path, typed: str, expected: str
) -> None:
    refused(script, place, "eval.py", typed, expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["a b"],
            f"{ONE}\n  a b: is not an override. Write key=value; quote a value with spaces, commas "
            "or =, e.g. 'key=\"a, b\"'.",
        ),
        (
            ["resume=nope"],
            "fourbeat: resume=nope: there is no such folder, neither here nor under runs. "
            "There is no run under runs yet. Train one with: python scripts/train.py",
        ),
        (
            ["resume=last", "paths.output_dir=elsewhere"],
            "fourbeat: resume=last: there is no run under elsewhere yet. "
            "Train one with: python scripts/train.py",
        ),
        (
            ["-m", "optim=sgd", "-m", "seed=1"],
            f"{ONE}\n  seed=1: stands apart from the other overrides. Put the flags first.",
        ),
    ],
    ids=["two_words", "resume", "resume_elsewhere", "flags_in_between"],
)
def test_what_is_no_config_at_all_is_one_message_too(
    script: Command, place: Path, words: list[str], expected: str
) -> None:
    before = listing(place)
    result = script("train.py", *words)
    assert (result.err, result.code) == (f"{expected}\n", 2)
    assert listing(place) == before
