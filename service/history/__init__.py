"""The history of health: stores samples; derives statistics, incidents and uptime from them.

How a sample reaches the database
    Each process (an instance with a random id) takes a round of samples every `sample_interval` seconds: one sample of
    each component, with a common time and a sequence number. A round stays in memory until the database has it. It is
    also copied to a Redis stream that all replicas share, so that it survives its process. Whichever replica reaches
    the database writes the stream, with its own rounds and those of other replicas, and then deletes them there. A
    round may therefore arrive twice, late, or out of order, but it is not lost while memory or the stream holds it.
    Both are bounded: the oldest rounds are dropped first, and `dropped` counts them.

Why nothing is counted twice
    The stored sample is the only source: its key is (component, time, instance, sequence), and a second delivery
    changes nothing. When a sample arrives, the statistics of its minute are recomputed from all samples of that minute,
    and those of its hour from all minutes of that hour. Nothing is ever added to a statistic. Replicas therefore need
    no agreement on who counts what, and a sample that arrives ten hours late ends up in its own minute, hour and
    incident. The alternative, one row per minute and instance, stores no samples. But incidents need the order of the
    samples within a minute, and a restarted process would lose what its predecessor had counted in that minute.

    Every writing transaction first takes one advisory lock: two transactions that recompute the same minute at the same
    time would each miss the samples of the other.

What is kept
    Samples for up to three days (they are needed while related samples may still arrive), minutes for
    `retention_minutes_days`, hours and closed incidents for `retention_days`. An older sample is refused and counted:
    its minute can no longer be computed completely.
"""
