"""The history of health: samples in, figures, incidents and uptime out.

How a sample reaches the database
    Each process (an instance, with a random id) takes a round of samples every `sample_interval` seconds: one of each
    component, with one time and a sequence number. A round waits in memory until it is in the database; it also goes
    into a Redis stream that all replicas share, so that it outlives its process. Whoever reaches the database writes
    what waits in the stream, its own rounds and those of others, and then removes it there. A round may therefore
    arrive twice, or late, or out of order, and never not at all while one of the two places keeps it. Both are
    bounded: the oldest rounds go first, and `dropped` counts them.

Why nothing counts twice
    The stored sample is the only fact: its key is (component, time, instance, sequence), and a second delivery changes
    nothing. Figures of minutes are computed from all samples of the minute, and those of hours from all minutes of the
    hour, again and whole, whenever a sample of theirs arrives. They are never added to. So replicas need no agreement
    on who counts what, and a sample that comes ten hours late lands in its own minute, hour and incident. The other
    design, a row per minute and instance that its instance overwrites, needs no samples in the database; but incidents
    need the order of the samples within a minute, and a process that is restarted in the middle of one would lose what
    the first had counted.

    A transaction that writes takes one advisory lock first, for two that computed the same minute at once would each
    miss the other's samples.

What is kept
    Samples for up to three days (they are needed while something may still arrive), minutes for
    `retention_minutes_days`, hours and ended incidents for `retention_days`. A sample from before the time for which
    samples are kept is refused and counted: its minute could no more be computed whole.
"""
