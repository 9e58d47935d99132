"""Speed side by side with rivals: ``python -m benchmarks`` prints and writes ``RESULTS.md``.

From the command to the file: :mod:`~benchmarks.arguments` reads what was typed,
:mod:`~benchmarks.tables` says which :class:`~benchmarks.task.Task` each table needs,
:mod:`~benchmarks.processes` runs each task in a process of its own (:mod:`~benchmarks.worker`,
which trains one of :mod:`~benchmarks.rivals`, or two in turns, see :mod:`~benchmarks.alternation`),
:mod:`~benchmarks.report` writes the tables, and :mod:`~benchmarks.readme` README's.
"""
