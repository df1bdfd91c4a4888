"""What every stage is made of, so that a stage is its options, its rules and one generator of work.

A new stage NAME is a room builder/NAME with

    config.py    NameConfig(Sharded): its flags; those with content=True decide the bytes, and another value is refused
    recipe.py    or rules.py: what it decides, pure
    work.py      work(setup, units, tell): a generator that takes units as it has room for them, keeps several open,
                 tells of their counts while they are in work, and yields a Done when the files of one lie whole and
                 its marker is written; `units.stopping`, looked at now and then, asks it to end what is in flight
    runner.py    a `run.Stage`, which says what is planned, begun, done and told; run(config, console) hands it to
                 `run.run`, and `cli.STAGES` names both this and the NameConfig

`run.run` does the rest: refusals, the dry run, one run a rank (`hold`), the passes one after the other, each with its
units over processes (`engine`), progress, Ctrl-C (`stop`). A stage of several passes yields them one by one from
`Stage.passes`, the next once the last has every marker, and keeps those of pass n in ledger/NAME/<n>-<pass>/: "NAME/
<n>-<pass>" is its name for `ledger`. What must happen once is a pass of one unit with a lock, which looks first
whether another run has done it; where passes differ in what they do, work.py has a function for each.
`spool` has what passes share; `plan` writes and compares plan.json; `shards` tells the shards of a root, of a rank, and
those that lost a file.
"""
